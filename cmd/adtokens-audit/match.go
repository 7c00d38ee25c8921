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
)

var matchCommand = command{
	name: "match", summary: "where one specific value was read or handed in", synopsis: "[flags] <audit log>... < value",
	help: `
Finds every request and answer with a value that you have, in all mounts: who has read it, who handed it in. The value
comes from standard input, never from the command line. Vault computes its HMAC as the audit device does, at
sys/audit-hash/<device>, so that the value is not in the logs and not in the answer.

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
	seen   map[sightingKey]*sightingRow
}

// sightingKey is what sightings have in common that are counted together.
type sightingKey struct {
	Path      string `json:"path"`
	Operation string `json:"operation"`
	// Field is where the value is: request.data.… was handed in, response.data.… was read.
	Field       string `json:"field"`
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
	Device    string         `json:"device"`
	Log       coverage       `json:"log"`
	Notes     []string       `json:"notes"`
	Sightings []*sightingRow `json:"sightings"`
}

func (q *match) run(ctx context.Context, files []string, s streams) error {
	if slices.Contains(files, auditlog.Stdin) {
		return fmt.Errorf("%w: standard input is for the value; name the logs", errUsage)
	}
	if isTerminal(s.in) {
		fmt.Fprintln(s.err, "Paste the value, press Enter and then Ctrl-D.")
	}
	hashes, err := q.hashes(ctx, s.in)
	if err != nil {
		return err
	}
	stats, err := readLogs(ctx, files, s, auditlog.Consumer[auditlog.Sighting]{Parse: auditlog.NewMatcher(hashes...).Parse, Each: q.count})
	if err != nil && stats == (auditlog.Stats{}) {
		return err
	}
	return errors.Join(q.reply(len(files), stats).print(s, q.output), err)
}

// hashes asks Vault for the HMACs of the value: as it is read, and as it was handed in if its line break came along.
func (q *match) hashes(ctx context.Context, in io.Reader) ([]string, error) {
	value, err := io.ReadAll(io.LimitReader(in, maxValue+1))
	if err != nil {
		return nil, fmt.Errorf("reading the value: %w", err)
	}
	value = bytes.TrimSpace(value)
	if len(value) == 0 || len(value) > maxValue {
		return nil, fmt.Errorf("%w: feed the value to standard input, of at most %d bytes", errUsage, maxValue)
	}
	client, err := api.NewClient(nil)
	if err != nil {
		return nil, fmt.Errorf("the environment does not tell how to reach Vault: %w", err)
	}
	if client.Token() == "" {
		return nil, errors.New("VAULT_TOKEN is not set; `vault print token` tells that of your login")
	}
	ctx, cancel := context.WithTimeout(ctx, hashTimeout)
	defer cancel()
	var hashes []string
	for _, form := range []string{string(value), string(value) + "\n"} {
		hash, err := client.Sys().AuditHashWithContext(ctx, q.device, form)
		var refused *api.ResponseError
		switch {
		case errors.As(err, &refused) && refused.StatusCode == http.StatusForbidden:
			return nil, fmt.Errorf("VAULT_TOKEN may not compute HMACs; its policy needs: path \"sys/audit-hash/%s\" { capabilities = [\"update\"] }", q.device)
		case err != nil:
			return nil, fmt.Errorf("Vault does not compute the value's HMAC for the audit device %q (`vault audit list` tells which there are): %w", q.device, err)
		}
		hashes = append(hashes, hash)
	}
	return hashes, nil
}

func (q *match) count(s auditlog.Sighting) {
	if !q.selects(s.Time) {
		return
	}
	for _, field := range s.Fields {
		key := sightingKey{
			Path: s.Path, Operation: s.Operation, Field: field, Failed: s.Failed,
			DisplayName: s.By.DisplayName, EntityID: s.By.EntityID, Accessor: s.By.Accessor,
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

var matchColumns = []string{"path", "operation", "field", "outcome", "display name", "entity", "last address", "first", "last", "count"}

func (q *match) reply(files int, stats auditlog.Stats) *report {
	answer := matchAnswer{
		Device: q.device, Log: coverage{Files: files, Lines: stats.Lines, Entries: stats.Entries, Foreign: stats.Foreign, TooLong: stats.TooLong},
		Sightings: slices.SortedFunc(maps.Values(q.seen), func(a, b *sightingRow) int {
			return cmp.Or(a.First.Compare(b.First), strings.Compare(a.Path+a.Field, b.Path+b.Field))
		}),
		Notes: []string{fmt.Sprintf("This rests on %d lines. Only entries of the audit device %q can match: HMACs are a device's own.", stats.Lines, q.device)},
	}
	if stats.Foreign+stats.TooLong > 0 {
		answer.Notes = append(answer.Notes, fmt.Sprintf("%d lines were left out: they are no audit entries, cut or too long.", stats.Foreign+stats.TooLong))
	}
	list := table{name: "sightings", columns: matchColumns, none: "The value is in no request or answer of these logs."}
	for _, row := range answer.Sightings {
		outcome := "ok"
		if row.Failed {
			outcome = "failed"
		}
		list.add([]string{
			row.Path, row.Operation, row.Field, outcome, row.DisplayName, entity(row.EntityID, row.Accessor), row.Address,
			timestamp(row.First), timestamp(row.Last), strconv.Itoa(row.Count),
		})
	}
	return &report{document: answer, tables: []table{list}, notes: answer.Notes}
}
