package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-audit/auditlog"
)

// The keys that the engine's documentation exempts from the HMAC.
var (
	requestKeys  = []string{"reason", "cas"}
	responseKeys = []string{
		"version", "previous_version", "fingerprint", "verification", "previous_credential", "outcome", "health", "rotation_state",
		"current_version", "state", "how",
	}
)

// header begins the answer: what it rests on, and the notes.
func (q *query) header(f *findings, notes ...string) header {
	return header{Mount: q.mount, Notes: slices.Concat(q.coverageNotes(f), notes), Log: coverage{
		Files: f.files, Lines: f.stats.Lines, Entries: f.Entries, Duplicates: f.Duplicates, Foreign: f.stats.Foreign,
		Unreadable: f.stats.Broken, CutEnds: f.stats.CutEnds, TooLong: f.stats.TooLong,
		First: f.First, Last: f.Last,
	}}
}

func (q *query) coverageNotes(f *findings) []string {
	var notes []string
	if f.First.IsZero() {
		notes = append(notes, fmt.Sprintf("In %d lines%s there is no such entry of the mount %s: is -mount right, and the time?",
			f.stats.Lines, covered(f.stats), q.mount))
	} else {
		notes = append(notes, fmt.Sprintf("This rests on %d lines, whose entries of the mount %s are from %s to %s. Nothing is known of other times.",
			f.stats.Lines, q.mount, timestamp(f.First), timestamp(f.Last)))
	}
	if f.problem != nil {
		for problem := range strings.Lines(f.problem.Error()) {
			notes = append(notes, strings.ToUpper(problem[:1])+strings.TrimSpace(problem[1:])+".")
		}
	}
	if f.stats.Foreign > 0 {
		notes = append(notes, fmt.Sprintf("Lines that were left out, being of Vault's own log: %d.", f.stats.Foreign))
	}
	if f.stats.Broken > 0 {
		notes = append(notes, fmt.Sprintf("Lines that were left out, being no audit entries or not whole ones: %d. "+
			"Whatever they said is not part of this answer.", f.stats.Broken))
	}
	if f.stats.CutEnds > 0 {
		notes = append(notes, fmt.Sprintf("Logs whose last line is cut, as in one that is being written, or whose server was killed: %d.", f.stats.CutEnds))
	}
	if f.stats.TooLong > 0 {
		notes = append(notes, fmt.Sprintf("Lines of more than %d MiB, which were left out: %d.", auditlog.MaxLine>>20, f.stats.TooLong))
	}
	if f.Duplicates > 0 {
		notes = append(notes, fmt.Sprintf("Entries that were left out, because the logs have their requests twice, as several audit devices write them: %d.", f.Duplicates))
	}
	return notes
}

// covered says from when to when logs are, if that is known.
func covered(stats auditlog.Stats) string {
	if stats.First.IsZero() {
		return ""
	}
	return fmt.Sprintf(", from %s to %s,", timestamp(stats.First), timestamp(stats.Last))
}

// unanswered is why an empty answer would say nothing; empty if the logs have what was asked for.
func (q *query) unanswered(f *findings) string {
	switch {
	case f.stats.Lines == 0:
		return "there is nothing in the logs"
	case len(f.Tokens) == 0 && len(f.others) == 0:
		return fmt.Sprintf("the logs have no entry of the mount %s that tells of a credential%s", q.mount, nearest(q.mount, f.parser.Elsewhere()))
	case len(f.Tokens) == 0 && !q.isCovered(f.stats):
		return fmt.Sprintf("the logs are from %s to %s, and have nothing of the time that is asked for",
			timestamp(f.stats.First), timestamp(f.stats.Last))
	}
	var names []string
	for _, id := range slices.Concat(slices.Collect(maps.Keys(f.Tokens)), slices.Collect(maps.Keys(f.others))) {
		if q.isAbout(id) {
			return ""
		}
		names = append(names, id.String())
	}
	return fmt.Sprintf("the logs have no entry of a token %q in the mount %s%s", q.token, q.mount, nearest(q.token, names))
}

// isCovered reports whether the logs have entries of the time that is asked for, whatever these are about.
func (q *query) isCovered(stats auditlog.Stats) bool {
	return !stats.First.IsZero() && !stats.Last.Before(q.since.Time) && (q.until.IsZero() || !stats.First.After(q.until.Time))
}

// knowledgeNotes say what a list of those who know these tokens cannot know.
func (q *query) knowledgeNotes(f *findings, tokens []*auditlog.Token) []string {
	var notes []string
	if len(tokens) > 0 {
		notes = append(notes, q.backgroundNote())
	}
	var wrapped, unnumbered bool
	for _, token := range tokens {
		for _, r := range token.Readers {
			total := r.Total()
			wrapped = wrapped || total.Wrapped+total.Unwrapped > 0
		}
		versions := token.Versions()
		unnumbered = unnumbered || slices.ContainsFunc(versions, func(p *auditlog.Period) bool { return p.Number == 0 })
		if !token.Deleted.IsZero() {
			notes = append(notes, deletedNote(token, versions))
		}
	}
	if wrapped {
		notes = append(notes, "A wrapped read gave out a wrapping token: whoever asked need not know the credential. Whoever unwrapped it in these logs "+
			"is listed: by sys/wrapping/unwrap or cubbyhole/response, also with a token that it was rewrapped to.")
	}
	credentials, cubbyholes := f.Unmatched()
	if credentials > 0 {
		notes = append(notes, fmt.Sprintf("Unwrapped credentials that belong to no read of this mount in these logs, so that nobody is listed for them: %d. "+
			"They are of another mount, or their reads are in other logs.", credentials))
	}
	if cubbyholes > 0 {
		notes = append(notes, fmt.Sprintf("Reads of cubbyhole/response that belong to no read of this mount in these logs, so that nobody is listed for them: %d. "+
			"The log does not tell what they gave out: answers of other mounts, or credentials whose reads are in other logs.", cubbyholes))
	}
	notes = append(notes, sameValueNotes(f, tokens)...)
	if unnumbered {
		notes = append(notes, "Versions that begin with # have no number in the log. To have it from now on: "+q.tune("response", responseKeys))
	}
	return notes
}

// accessNotes say what those know who have read access tokens.
func accessNotes(rows []accessRow) []string {
	if len(rows) == 0 {
		return nil
	}
	return []string{"Who has read access-token/ knows an access token, which ends by itself, as a rule within the hour, and not the refresh token or key " +
		"that it was made from: nothing has to be reset for it. A rotation need not end it before its time; a revocation at the provider does."}
}

// maxSame is how many notes there are, at most, about versions or tokens that are the same value.
const maxSame = 20

// sameValueNotes say which versions are the same value: whoever has read one knows the others.
func sameValueNotes(f *findings, tokens []*auditlog.Token) []string {
	type version struct {
		token  *auditlog.Token
		period *auditlog.Period
	}
	var notes []string
	holders := map[string][]version{}
	for _, token := range f.Tokens {
		for _, period := range token.Versions() {
			for _, value := range period.Values() {
				holders[value] = append(holders[value], version{token, period})
			}
		}
	}
	told := map[string]bool{}
	for _, token := range tokens {
		for _, period := range token.Versions() {
			for _, value := range period.Values() {
				same := holders[value]
				if len(same) < 2 || told[value] {
					continue
				}
				told[value] = true
				var names []string
				for _, v := range same {
					names = append(names, fmt.Sprintf("version %s of %s", v.period, v.token))
				}
				slices.Sort(names)
				note := strings.Join(slices.Compact(names), ", ") + " are the same value: whoever knows one of them knows the others."
				if names[0] != names[len(names)-1] && !slices.Contains(notes, note) {
					notes = append(notes, note)
				}
			}
		}
	}
	if len(notes) > maxSame {
		notes = append(notes[:maxSame], fmt.Sprintf("More values that are several versions: %d.", len(notes)-maxSame))
	}
	return notes
}

func (q *query) backgroundNote() string {
	return "A rotation in the background is no request: the log shows its version from the first read on. `vault read " + q.mount + "status` tells the current ones."
}

// hiddenNotes say how to have in clear what the rotations have as HMACs.
func (q *query) hiddenNotes(rows []rotationRow) []string {
	var notes []string
	if slices.ContainsFunc(rows, func(r rotationRow) bool { return auditlog.Hidden(r.Reason) }) {
		notes = append(notes, "The log has reasons as HMACs only. To have them in clear from now on: "+q.tune("request", requestKeys))
	}
	if slices.ContainsFunc(rows, func(r rotationRow) bool {
		return auditlog.Hidden(r.Verification) || auditlog.Hidden(r.PreviousCredential) || auditlog.Hidden(r.State)
	}) {
		notes = append(notes, "The log has outcomes as HMACs only. To have them in clear from now on: "+q.tune("response", responseKeys))
	}
	return notes
}

func deletedNote(token *auditlog.Token, versions []*auditlog.Period) string {
	if len(versions) == 0 { // a deletion of a token that never was succeeds too
		return fmt.Sprintf("%s was deleted at %s, if there was such a token: the logs tell of no credential of it.", token, timestamp(token.Deleted))
	}
	note := fmt.Sprintf("%s was deleted at %s; its credential may live on at the provider.", token, timestamp(token.Deleted))
	if slices.ContainsFunc(versions, func(p *auditlog.Period) bool { return p.ID == "" }) {
		note += " If it was made anew, numbers stand for several credentials: a fingerprint in clear would tell them apart."
	}
	return note
}

// tune is the command that has keys in clear from now on. It replaces the mount's list, so it names all of them.
func (q *query) tune(direction string, keys []string) string {
	var command strings.Builder
	command.WriteString("vault secrets tune")
	for _, key := range keys {
		fmt.Fprintf(&command, " -audit-non-hmac-%s-keys=%s", direction, key)
	}
	return command.String() + " " + q.mount
}
