package main

import (
	"context"
	"flag"
	"slices"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-audit/auditlog"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

var exposureCommand = command{
	name: "exposure", summary: "who knows the current version of each token", synopsis: "[flags] <audit log>...",
	help: `
Lists who knows the current version of each token: who has read it, unwrapped it or handed it in. With -all, who knows
which older version too. The current version is the one that the logs show last.

Readers of access-token/ are listed apart: an access token ends by itself, and tells nothing of the refresh token or key
that it is made from. Whoever began a consent with fields of the client, such as its secret, has handed these in.

  adtokens-audit exposure /var/log/vault/audit.log*
  adtokens-audit exposure -all -token acme-rw -output csv audit.log audit.log.1.gz > readers.csv
  kubectl logs -f vault-0 | adtokens-audit exposure -follow -output json -`,
	prepare: func(flags *flag.FlagSet) action {
		q := exposure{query: query{output: formatTable}}
		q.declareRange(flags)
		q.declareOutput(flags)
		q.declareToken(flags, "only this `token`")
		flags.BoolVar(&q.all, "all", false, "older versions too")
		q.shows = func(e *auditlog.Entry) bool {
			return e.Kind != auditlog.KindDelete && e.Kind != auditlog.KindRenew && (e.Kind != auditlog.KindConsent || e.Client) && (e.Rotation == nil || e.Rotation.HandedIn && e.Rotation.Error == "")
		}
		return func(ctx context.Context, files []string, s cli.Streams) error {
			return q.answer(ctx, files, s, q.reply)
		}
	},
}

type exposure struct {
	query
	all bool
}

type exposureAnswer struct {
	header
	Readers      []exposureRow `json:"readers"`
	AccessTokens []accessRow   `json:"access_tokens"`
}

// exposureRow is what somebody knows of one version.
type exposureRow struct {
	tokenRef
	versionRef
	State auditlog.State `json:"state"`
	person
	reads
}

var exposureColumns = []string{"token", "version", "state", "display name", "entity", "addresses", "first", "last", "count", "how"}

func (q *exposure) reply(ctx context.Context, f *findings) *report {
	answer := exposureAnswer{Readers: []exposureRow{}, AccessTokens: q.accessTokens(ctx, f.Tally, everybody)}
	for token := range q.tokens(ctx, f.Tally) {
		answer.Readers = append(answer.Readers, exposureRows(token, q.all)...)
	}
	notes := q.knowledgeNotes(f, slices.Collect(q.tokens(ctx, f.Tally)))
	answer.header = q.header(f, append(notes, accessNotes(answer.AccessTokens)...)...)
	tables := []table{exposureTable(answer.Readers), exposureAccessTable(answer.AccessTokens)}
	answer.NotAnswered = q.unanswered(f)
	return &report{document: answer, tables: tables, notes: answer.Notes, unanswered: answer.NotAnswered}
}

// exposureRows lists who knows a token: the current version, or all of them.
func exposureRows(token *auditlog.Token, all bool) []exposureRow {
	var rows []exposureRow
	for id, r := range sortedReaders(token.Readers) {
		current := false
		for _, k := range r.Knowledge {
			period, state := token.Knows(k)
			current = current || state == auditlog.StateCurrent
			if state == auditlog.StateStale && !all {
				continue
			}
			rows = append(rows, exposureRow{tokenRef(token.TokenID), refOf(period), state, personOf(id, r), readsOf(*k)})
		}
		if !current && token.State(r) == auditlog.StateCurrent { // knows it from longer ago than is kept apart
			rows = append(rows, exposureRow{tokenRef(token.TokenID), refOf(token.Newest(r)), auditlog.StateCurrent, personOf(id, r), readsOf(r.Total())})
		}
	}
	return rows
}

func exposureTable(rows []exposureRow) table {
	t := table{name: "credentials", columns: exposureColumns, none: "Nobody, as far as the logs tell."}
	for _, row := range rows {
		t.add([]string{row.Namespace + row.Name, row.label(), string(row.State)}, row.person.cells(), row.reads.cells())
	}
	return t
}

func exposureAccessTable(rows []accessRow) table {
	t := table{name: "access tokens", columns: exposureColumns}
	for _, row := range rows {
		t.add([]string{row.Namespace + row.Name, "", ""}, row.person.cells(), row.reads.cells())
	}
	return t
}

func everybody(auditlog.Identity) bool { return true }
