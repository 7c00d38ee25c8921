package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-audit/auditlog"
)

// The keys that the engine's documentation exempts from the HMAC.
var (
	requestKeys  = []string{"reason", "cas"}
	responseKeys = []string{
		"version", "previous_version", "fingerprint", "verification", "previous_credential", "outcome", "health", "rotation_state",
	}
)

// header begins the answer: what it rests on, and the notes.
func (q *query) header(f *findings, notes ...string) header {
	return header{Mount: q.mount, Notes: slices.Concat(q.coverageNotes(f), notes), Log: coverage{
		Files: f.files, Lines: f.stats.Lines, Entries: f.stats.Entries, Duplicates: f.Duplicates, Foreign: f.stats.Foreign, TooLong: f.stats.TooLong,
		First: f.First, Last: f.Last,
	}}
}

func (q *query) coverageNotes(f *findings) []string {
	var notes []string
	if f.First.IsZero() {
		notes = append(notes, fmt.Sprintf("In %d lines there is no such entry of the mount %s: is -mount right, and the time?", f.stats.Lines, q.mount))
	} else {
		notes = append(notes, fmt.Sprintf("This rests on %d lines, whose entries of the mount %s are from %s to %s. Nothing is known of other times.",
			f.stats.Lines, q.mount, timestamp(f.First), timestamp(f.Last)))
	}
	if f.stats.Foreign > 0 {
		notes = append(notes, fmt.Sprintf("Lines that were left out, being cut or no audit entries: %d.", f.stats.Foreign))
	}
	if f.stats.TooLong > 0 {
		notes = append(notes, fmt.Sprintf("Lines of more than %d MiB, which were left out: %d.", auditlog.MaxLine>>20, f.stats.TooLong))
	}
	if f.Duplicates > 0 {
		notes = append(notes, fmt.Sprintf("Entries that were left out, because the logs have their requests twice, as several audit devices write them: %d.", f.Duplicates))
	}
	return notes
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
			wrapped = wrapped || r.Total().Wrapped > 0
		}
		versions := token.Versions()
		unnumbered = unnumbered || slices.ContainsFunc(versions, func(p *auditlog.Period) bool { return p.Number == 0 })
		if !token.Deleted.IsZero() {
			notes = append(notes, deletedNote(token, versions))
		}
	}
	if wrapped {
		notes = append(notes, "A wrapped read gave out a wrapping token: whoever asked need not know the credential. Whoever unwrapped it does, and is listed.")
	}
	if f.Unwrapped > 0 {
		notes = append(notes, fmt.Sprintf("Unwrapped credentials that belong to no read of this mount in these logs, but to another mount or earlier logs: %d.", f.Unwrapped))
	}
	if unnumbered {
		notes = append(notes, "Versions that begin with # have no number in the log. To have it from now on: "+q.tune("response", responseKeys))
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
