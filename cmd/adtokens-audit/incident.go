package main

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-audit/auditlog"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

var incidentCommand = command{
	name: "incident", summary: "who read a token after it was compromised, and who has not picked up the new version", synopsis: "-token NAME -since TIME [flags] <audit log>...",
	help: `
After a token was compromised: who has read it since, and who knows an older version only, so that their requests fail, or
go on with the compromised value. Those come first. Give the logs from before the compromise too.

  current  knows the version that the logs show last
  stale    knows older versions only
  unknown  the logs do not tell

Readers of access-token/ are listed apart: what they have is not the credential, and ends by itself. An access token that was
made from the compromised value may go on until then.

  adtokens-audit incident -token acme-rw -since 2026-11-20T14:00:00Z /var/log/vault/audit.log*
  adtokens-audit incident -token acme-rw -since 2h -follow /var/log/vault/audit.log.1 /var/log/vault/audit.log`,
	prepare: func(flags *flag.FlagSet) action {
		q := incident{query: query{output: formatTable}, after: auditlog.NewTally()}
		q.declareMount(flags)
		q.declareOutput(flags)
		q.declareToken(flags, "the compromised `token`")
		flags.Var(&q.compromised, "since", "when it was compromised: a `time` in RFC 3339, a date (UTC), or a duration back from now such as 72h")
		flags.Var(&q.until, "until", "leave out what happened after this `time`")
		q.counted = q.countAfter
		q.shows = q.isAfter
		return func(ctx context.Context, files []string, s cli.Streams) error {
			if q.token == "" || q.compromised.IsZero() {
				return cli.Usagef("say which token was compromised and when, with -token and -since")
			}
			return q.answer(ctx, files, s, q.reply)
		}
	},
}

type incident struct {
	query
	compromised moment
	// after keeps account of what happened since.
	after *auditlog.Tally
}

func (q *incident) isAfter(e *auditlog.Entry) bool {
	return !e.Time.Before(q.compromised.Time) && e.Kind != auditlog.KindRenew
}

func (q *incident) countAfter(e *auditlog.Entry) {
	if q.isAfter(e) {
		q.after.Add(e)
	}
}

type incidentAnswer struct {
	header
	Token        string        `json:"token"`
	Since        time.Time     `json:"since"`
	Readers      []incidentRow `json:"readers"`
	Rotations    []rotationRow `json:"rotations"`
	AccessTokens []accessRow   `json:"access_tokens"`
}

// incidentRow is what somebody knows of the token.
type incidentRow struct {
	tokenRef
	State auditlog.State `json:"state"`
	Known versionRef     `json:"known"` // the newest
	Last  time.Time      `json:"last"`
	person
	Since reads `json:"since"`
}

var incidentColumns = []string{"state", "token", "knows version", "display name", "entity", "addresses", "last", "first since", "last since", "count since", "how since"}

func (q *incident) reply(ctx context.Context, f *findings) *report {
	answer := incidentAnswer{
		Token: q.token, Since: q.compromised.Time, Readers: []incidentRow{},
		Rotations: q.rotationRows(ctx, f.Tally, q.compromised.Time), AccessTokens: q.accessTokens(ctx, q.after, everybody),
	}
	tokens := slices.Collect(q.tokens(ctx, f.Tally))
	for _, token := range tokens {
		for id, r := range sortedReaders(token.Readers) {
			answer.Readers = append(answer.Readers, incidentRow{
				tokenRef(token.TokenID), token.State(r), refOf(token.Newest(r)), r.Total().Last, personOf(id, r), q.readsSince(token, id),
			})
		}
	}
	slices.SortStableFunc(answer.Readers, func(a, b incidentRow) int { return urgency(a.State) - urgency(b.State) })

	readers := table{name: "readers", columns: incidentColumns, none: "Nobody has read it, as far as the logs tell."}
	for _, row := range answer.Readers {
		readers.add([]string{string(row.State), row.Namespace + row.Name, row.Known.label()}, row.cells(),
			[]string{timestamp(row.Last)}, row.Since.cells())
	}
	access := table{name: "access tokens since", columns: accessColumns}
	for _, row := range answer.AccessTokens {
		access.add([]string{row.Namespace + row.Name}, row.person.cells(), row.reads.cells())
	}
	changes := rotationTable(answer.Rotations)
	changes.name += " since"
	notes := slices.Concat(q.knowledgeNotes(f, tokens), q.hiddenNotes(answer.Rotations), q.compromisedNotes(f, tokens), accessNotes(answer.AccessTokens))
	answer.header = q.header(f, notes...)
	answer.NotAnswered = q.unanswered(f)
	return &report{document: answer, tables: []table{readers, changes, access}, notes: answer.Notes, unanswered: answer.NotAnswered}
}

// compromisedNotes say whether the compromised value is still the current one, as far as the logs tell.
func (q *incident) compromisedNotes(f *findings, tokens []*auditlog.Token) []string {
	var notes []string
	if first := f.stats.First; first.After(q.compromised.Time) {
		notes = append(notes, fmt.Sprintf("The logs begin at %s, after it was compromised: who read it before that is not known.", timestamp(first)))
	}
	for _, token := range tokens {
		current := token.Current()
		at, state := token.AsOf(q.compromised.Time)
		switch {
		case current == nil:
		case at == current || state == auditlog.StateUnknown && !current.First.After(q.compromised.Time):
			notes = append(notes, fmt.Sprintf("The logs show no new value of %s since: whoever is current may know the compromised one.", token))
		case state == auditlog.StateCurrent:
			notes = append(notes, fmt.Sprintf("Version %s of %s is the compromised value of version %s again: rotate it to a new one.", current, token, at))
		case state == auditlog.StateUnknown:
			notes = append(notes, fmt.Sprintf("The logs do not tell which version of %s was the current one when it was compromised: "+
				"whoever is current may know that value.", token))
		}
	}
	return notes
}

// readsSince sums up what somebody has read of a token since it was compromised.
func (q *incident) readsSince(token *auditlog.Token, id auditlog.Identity) reads {
	if after, ok := q.after.Tokens[token.TokenID]; ok && after.Readers[id] != nil {
		return readsOf(after.Readers[id].Total())
	}
	return reads{}
}

// urgency sorts states: first those who have to be told.
func urgency(s auditlog.State) int {
	return slices.Index([]auditlog.State{auditlog.StateStale, auditlog.StateUnknown, auditlog.StateCurrent}, s)
}
