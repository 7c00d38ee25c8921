package main

import (
	"context"
	"flag"
	"slices"
	"strconv"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-audit/auditlog"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

var rotationsCommand = command{
	name: "rotations", summary: "who rotated what, when, how and why", synopsis: "[flags] <audit log>...",
	help: `
Lists imports and rotations, the refused ones too. The column how says

  import      the token was made with the credential of that time
  handed in   somebody handed in the new value, and so knows it
  consent     somebody agreed in a browser; the engine got the value for it, and nobody has seen it
  automatic   the engine got the new value itself, on request
  background  no request in the log: a schedule, a hook that was late, or a log that is missing. The time is that of the first
              read of the version; ` + "`vault read <mount>/tokens/<name>/history`" + ` tells the rest

  adtokens-audit rotations -since 2026-11-01 /var/log/vault/audit.log*
  adtokens-audit rotations -token acme-rw -follow /var/log/vault/audit.log`,
	prepare: func(flags *flag.FlagSet) action {
		q := rotations{query{output: formatTable}}
		q.declareRange(flags)
		q.declareOutput(flags)
		q.declareToken(flags, "only this `token`")
		q.shows = func(e *auditlog.Entry) bool {
			return e.Rotation != nil || e.Kind == auditlog.KindDelete || e.Kind == auditlog.KindConsent
		}
		return func(ctx context.Context, files []string, s cli.Streams) error {
			return q.answer(ctx, files, s, q.reply)
		}
	},
}

type rotations struct{ query }

type rotationsAnswer struct {
	header
	Rotations []rotationRow `json:"rotations"`
}

// rotationRow is a rotation or an attempt at one.
type rotationRow struct {
	Time time.Time `json:"time"`
	tokenRef
	versionRef
	Previous     int    `json:"previous_version,omitempty"`
	How          string `json:"how"`
	DisplayName  string `json:"display_name,omitempty"`
	EntityID     string `json:"entity_id,omitempty"`
	Accessor     string `json:"accessor,omitempty"`
	Address      string `json:"address,omitempty"`
	Reason       string `json:"reason,omitempty"`
	Verification string `json:"verification,omitempty"`
	// PreviousCredential is what became of the previous value.
	PreviousCredential string `json:"previous_credential,omitempty"`
	State              string `json:"rotation_state,omitempty"`
	Error              string `json:"error,omitempty"`
}

var rotationColumns = []string{"time", "token", "version", "how", "display name", "entity", "address", "reason", "outcome", "previous credential"}

func (r *rotationRow) cells() []string {
	version := "?"
	if r.Version != nil {
		version = strconv.Itoa(*r.Version)
	}
	outcome := inClear(r.Verification)
	switch {
	case r.Error != "":
		version, outcome = "", "failed: "+r.Error
	case r.State != "" && r.PreviousCredential == "":
		outcome = "under way: " + inClear(r.State)
	}
	return []string{
		timestamp(r.Time), r.Namespace + r.Name, version, r.How, r.DisplayName, entity(r.EntityID, r.Accessor), r.Address,
		inClear(r.Reason), outcome, inClear(r.PreviousCredential),
	}
}

func (q *rotations) reply(ctx context.Context, f *findings) *report {
	rows := q.rotationRows(ctx, f.Tally, time.Time{})
	list := rotationTable(rows)
	answer := rotationsAnswer{header: q.header(f, append([]string{q.backgroundNote()}, q.hiddenNotes(rows)...)...), Rotations: rows}
	answer.NotAnswered = q.unanswered(f)
	return &report{document: answer, tables: []table{list}, notes: answer.Notes, unanswered: answer.NotAnswered}
}

func rotationTable(rows []rotationRow) table {
	t := table{name: "rotations", columns: rotationColumns, none: "No rotations, as far as the logs tell."}
	for _, row := range rows {
		t.add(row.cells())
	}
	return t
}

// rotationRows lists the rotations from a time on, in the order of time.
func (q *query) rotationRows(ctx context.Context, t *auditlog.Tally, since time.Time) []rotationRow {
	rows := []rotationRow{}
	for token := range q.tokens(ctx, t) {
		rows = append(rows, rotationsOf(token)...)
	}
	rows = slices.DeleteFunc(rows, func(r rotationRow) bool { return r.Time.Before(since) })
	slices.SortStableFunc(rows, func(a, b rotationRow) int { return a.Time.Compare(b.Time) })
	return rows
}

// rotationsOf lists the rotations of a token in the order of time.
func rotationsOf(token *auditlog.Token) []rotationRow {
	var rows []rotationRow
	for _, e := range token.Rotations {
		rows = append(rows, requested(&e))
	}
	rows = append(rows, background(token)...)
	slices.SortStableFunc(rows, func(a, b rotationRow) int { return a.Time.Compare(b.Time) })
	return rows
}

func requested(e *auditlog.Entry) rotationRow {
	row := rotationRow{
		Time: e.Time, tokenRef: tokenRef(e.Token), Previous: e.Rotation.Previous, How: "automatic",
		DisplayName: e.By.DisplayName, EntityID: e.By.EntityID, Accessor: e.By.Accessor, Address: e.Address, Reason: e.Rotation.Reason,
		Verification: e.Rotation.Verification, PreviousCredential: e.Rotation.PreviousCredential, State: e.Rotation.State, Error: e.Rotation.Error,
	}
	switch {
	case e.Kind == auditlog.KindImport:
		row.How = "import"
	case e.Rotation.HandedIn:
		row.How = "handed in"
	case e.Rotation.Consent:
		row.How = "consent"
	}
	if e.Version != (auditlog.Version{}) {
		row.versionRef = refOf(&auditlog.Period{Version: e.Version})
	}
	return row
}

const howBackground = "background"

// background finds the versions that no request published. The first one may be older than the log.
func background(token *auditlog.Token) []rotationRow {
	var rows []rotationRow
	for i, period := range token.Versions() {
		if !period.ByRequest && i > 0 {
			rows = append(rows, rotationRow{
				Time: period.First, tokenRef: tokenRef(token.TokenID), versionRef: refOf(period), How: howBackground,
			})
		}
	}
	return rows
}
