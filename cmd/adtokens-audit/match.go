package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-audit/auditlog"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

var matchCommand = command{
	name: "match", summary: "where one specific value was read or handed in", synopsis: "[flags] <audit log>... < value",
	help: `
Finds every request and answer with a value that you have, in all mounts: who has read it, who handed it in. The value
comes from standard input, never from the command line. Vault computes its HMAC as the audit device does, at
sys/audit-hash/<device>, so that the value is not in the logs and not in the answer. It is looked for in every spelling that
a person or the engine would use: with and without a line break at the end, a key file's JSON on one line, indented or
sorted. The column spelling says which one it was.

Vault is reached as by the vault command: VAULT_ADDR, VAULT_TOKEN, VAULT_CACERT, VAULT_NAMESPACE and so on. The token needs

  path "sys/audit-hash/file" { capabilities = ["update"] }

A device's HMACs are its own: name the one that wrote the logs.

  adtokens-audit match /var/log/vault/audit.log* < leaked-value
  pass show impact/acme | adtokens-audit match -device socket -output json /var/log/collected/vault*.gz`,
	prepare: func(flags *flag.FlagSet) action {
		q := match{query: query{output: formatTable}, device: "file", seen: map[sightingKey]*sightingRow{}}
		flags.StringVar(&q.device, "device", q.device, "`path` of the audit device that wrote the logs; `vault audit list` tells")
		flags.Var(&q.since, "since", "leave out what happened before this `time`: RFC 3339, a date (UTC), or a duration back from now such as 72h")
		flags.Var(&q.until, "until", "leave out what happened after this `time`")
		flags.Var(&q.output, "output", "`format` of the answer: table, json or csv")
		return q.run
	},
}

const (
	// maxValue is the length of the longest value to look for, in bytes: far beyond a service account's key file.
	maxValue    = 1 << 20
	hashTimeout = 30 * time.Second
)

type match struct {
	query
	device string
	// spellings are what is looked for.
	spellings []spelling
	seen      map[sightingKey]*sightingRow
}

// sightingKey is what sightings have in common that are counted together.
type sightingKey struct {
	Path      string `json:"path"`
	Operation string `json:"operation"`
	// Field is where the value is: request.data.… was handed in, response.data.… was read.
	Field string `json:"field"`
	// Spelling is the way in which the value is written there.
	Spelling    string `json:"spelling"`
	Failed      bool   `json:"failed"`
	DisplayName string `json:"display_name"`
	EntityID    string `json:"entity_id"`
	Accessor    string `json:"accessor,omitempty"`
}

type sightingRow struct {
	sightingKey
	Address string    `json:"last_address"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Count   int       `json:"count"`
}

type matchAnswer struct {
	Device      string         `json:"device"`
	Log         coverage       `json:"log"`
	Notes       []string       `json:"notes"`
	NotAnswered string         `json:"not_answered,omitempty"`
	Sightings   []*sightingRow `json:"sightings"`
}

func (q *match) run(ctx context.Context, files []string, s cli.Streams) error {
	if slices.Contains(files, auditlog.Stdin) {
		return cli.Usagef("standard input is for the value; name the logs")
	}
	if isTerminal(s.In) {
		fmt.Fprintln(s.Err, "Paste the value, press Enter and then Ctrl-D.")
	}
	value, err := readValue(ctx, s.In)
	if err != nil {
		return err
	}
	q.spellings = spellings(value)
	needles, witnesses, err := q.ask(ctx)
	if err != nil {
		return err
	}
	matcher := auditlog.NewMatcher(needles, witnesses...)
	stats, err := readLogs(ctx, files, s, auditlog.Consumer[auditlog.Sighting]{Parse: matcher.Parse, Each: q.count})
	if err != nil && (stats == (auditlog.Stats{}) || ctx.Err() != nil) {
		return err
	}
	answer := q.reply(len(files), stats, matcher.Witnessed())
	answer.incomplete = err != nil
	return errors.Join(answer.print(s, q.output), answer.doubt(), err)
}

// readValue reads the value until the context ends.
func readValue(ctx context.Context, in io.Reader) (string, error) {
	type result struct {
		value []byte
		err   error
	}
	read := make(chan result, 1)
	go func() {
		value, err := io.ReadAll(io.LimitReader(in, maxValue+1))
		read <- result{value, err}
	}()
	select {
	case <-ctx.Done():
		return "", errInterrupted
	case r := <-read:
		switch {
		case r.err != nil:
			return "", fmt.Errorf("reading the value: %w", r.err)
		case len(bytes.TrimSpace(r.value)) == 0 || len(r.value) > maxValue:
			return "", cli.Usagef("feed the value to standard input, of at most %d bytes", maxValue)
		}
		return string(r.value), nil
	}
}

// commonTexts are likely to be in any log of an audit device: their HMACs show that the device wrote it.
var commonTexts = []string{"", "root", "default", "service", "https://api.impact.com", "https://googleads.googleapis.com"}

// ask asks Vault for the HMACs of the value in its spellings, and of texts that show whose log it is.
func (q *match) ask(ctx context.Context) (needles []auditlog.Needle, witnesses []string, err error) {
	client, err := api.NewClient(nil)
	if err != nil {
		return nil, nil, fmt.Errorf("the environment does not tell how to reach Vault: %w", err)
	}
	client.AddHeader("User-Agent", "adtokens-audit/"+cli.Version())
	if client.Token() == "" {
		return nil, nil, errors.New("VAULT_TOKEN is not set; `vault print token` tells that of your login")
	}
	ctx, cancel := context.WithTimeout(ctx, hashTimeout)
	defer cancel()
	for _, spelling := range q.spellings {
		hash, err := q.hash(ctx, client, spelling.text)
		if err != nil {
			return nil, nil, err
		}
		needles = append(needles, auditlog.Needle{Hash: hash, Text: spelling.text})
	}
	for _, text := range append([]string{client.Token()}, commonTexts...) {
		hash, err := q.hash(ctx, client, text)
		if err != nil {
			continue // Vault need not hash the empty text
		}
		witnesses = append(witnesses, hash)
	}
	return needles, witnesses, nil
}

func (q *match) hash(ctx context.Context, client *api.Client, text string) (string, error) {
	hash, err := client.Sys().AuditHashWithContext(ctx, q.device, text)
	var refused *api.ResponseError
	switch {
	case errors.As(err, &refused) && refused.StatusCode == http.StatusForbidden:
		return "", fmt.Errorf("VAULT_TOKEN may not compute HMACs; its policy needs: path \"sys/audit-hash/%s\" { capabilities = [\"update\"] }", q.device)
	case err != nil:
		return "", fmt.Errorf("Vault does not compute the value's HMAC for the audit device %q (`vault audit list` tells which there are): %w", q.device, err)
	}
	return hash, nil
}

func (q *match) count(s auditlog.Sighting) {
	if !q.selects(s.Time) {
		return
	}
	for _, field := range s.Fields {
		key := sightingKey{
			Path: s.Path, Operation: s.Operation, Field: field.Path, Failed: s.Failed, Spelling: q.spellings[field.Spelling].name,
			DisplayName: s.By.DisplayName, EntityID: s.By.EntityID, Accessor: s.By.Accessor,
		}
		if field.Clear {
			key.Spelling += ", in clear"
		}
		row, ok := q.seen[key]
		if !ok {
			row = &sightingRow{sightingKey: key, First: s.Time}
			q.seen[key] = row
		}
		if s.Time.Before(row.First) {
			row.First = s.Time
		}
		if !s.Time.Before(row.Last) {
			row.Last, row.Address = s.Time, s.Address
		}
		row.Count++
	}
}

var matchColumns = []string{"path", "operation", "field", "spelling", "outcome", "display name", "entity", "last address", "first", "last", "count"}

func (q *match) reply(files int, stats auditlog.Stats, witnessed bool) *report {
	answer := matchAnswer{
		Device: q.device, Log: coverage{
			Files: files, Lines: stats.Lines, Entries: stats.Entries, Foreign: stats.Foreign, Unreadable: stats.Broken,
			CutEnds: stats.CutEnds, TooLong: stats.TooLong,
		},
		Sightings: slices.SortedFunc(maps.Values(q.seen), func(a, b *sightingRow) int {
			return cmp.Or(a.First.Compare(b.First), strings.Compare(a.Path+a.Field, b.Path+b.Field),
				strings.Compare(a.DisplayName, b.DisplayName), strings.Compare(a.Spelling, b.Spelling))
		}),
		Notes: []string{fmt.Sprintf("This rests on %d lines. Only entries of the audit device %q can match: HMACs are a device's own.", stats.Lines, q.device)},
	}
	if left := stats.Foreign + stats.Broken + stats.CutEnds + stats.TooLong; left > 0 {
		answer.Notes = append(answer.Notes, fmt.Sprintf("%d lines were left out: they are no audit entries, cut or too long.", left))
	}
	answer.Notes = append(answer.Notes, fmt.Sprintf("The value was looked for in %d spellings.", len(q.spellings)))
	list := table{name: "sightings", columns: matchColumns, none: "The value is in no request or answer of these logs that the audit device wrote."}
	for _, row := range answer.Sightings {
		outcome := "ok"
		if row.Failed {
			outcome = "failed"
		}
		list.add([]string{
			row.Path, row.Operation, row.Field, row.Spelling, outcome, row.DisplayName, entity(row.EntityID, row.Accessor), row.Address,
			timestamp(row.First), timestamp(row.Last), strconv.Itoa(row.Count),
		})
	}
	answer.NotAnswered = q.unanswered(stats, witnessed)
	return &report{document: answer, tables: []table{list}, notes: answer.Notes, unanswered: answer.NotAnswered}
}

// unanswered is empty if there is a sighting, or if something shows that the device wrote these logs.
func (q *match) unanswered(stats auditlog.Stats, witnessed bool) string {
	switch {
	case len(q.seen) > 0:
		return ""
	case stats.Lines == 0:
		return "there is nothing in the logs"
	case !witnessed:
		return fmt.Sprintf("the value is not in these logs, but nothing shows that the audit device %q wrote them: "+
			"HMACs of another one cannot match (-device)", q.device)
	}
	return ""
}
