package main

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-audit/auditlog"
)

// header is what all answers in JSON begin with.
type header struct {
	Mount string   `json:"mount"`
	Log   coverage `json:"log"`
	Notes []string `json:"notes"`
	// NotAnswered is why the lists say nothing, being empty: the logs do not have what was asked for.
	NotAnswered string `json:"not_answered,omitempty"`
}

// coverage is what an answer rests on.
type coverage struct {
	Files      int       `json:"files"`
	Lines      int       `json:"lines"`
	Entries    int       `json:"entries"`
	Duplicates int       `json:"duplicates"`
	Foreign    int       `json:"foreign_lines"`    // of Vault's own log
	Unreadable int       `json:"unreadable_lines"` // may have said something that the answer lacks
	CutEnds    int       `json:"cut_last_lines"`
	TooLong    int       `json:"too_long_lines"`
	First      time.Time `json:"first_entry,omitzero"`
	Last       time.Time `json:"last_entry,omitzero"`
}

// tokenRef names a token.
type tokenRef struct {
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"token"`
}

// versionRef names a version.
type versionRef struct {
	Version *int   `json:"version"` // null if the log does not tell
	ID      string `json:"version_id,omitempty"`
}

func refOf(p *auditlog.Period) versionRef {
	switch {
	case p == nil:
		return versionRef{}
	case p.Number == 0:
		return versionRef{ID: p.ID}
	default:
		return versionRef{Version: &p.Number, ID: p.ID}
	}
}

// label is the number, or what stands for a hidden one.
func (r versionRef) label() string {
	v := auditlog.Version{ID: r.ID}
	if r.Version != nil {
		v.Number = *r.Version
	}
	return v.String()
}

// person is a reader.
type person struct {
	DisplayName string `json:"display_name"`
	EntityID    string `json:"entity_id"`
	// Accessor tells Vault tokens without an entity apart, as a rule by its HMAC.
	Accessor      string   `json:"accessor,omitempty"`
	Addresses     []string `json:"addresses"`
	MoreAddresses bool     `json:"more_addresses,omitempty"`
}

func personOf(id auditlog.Identity, r *auditlog.Reader) person {
	return person{
		DisplayName: id.DisplayName, EntityID: id.EntityID, Accessor: id.Accessor,
		Addresses: r.Addresses, MoreAddresses: r.MoreAddresses,
	}
}

// cells are those of the columns display name, entity and addresses.
func (p *person) cells() []string {
	addresses := strings.Join(p.Addresses, " ")
	if p.MoreAddresses {
		addresses += " and others"
	}
	return []string{p.DisplayName, entity(p.EntityID, p.Accessor), addresses}
}

// entity is the entity's ID, or a part of the accessor of the Vault token that has none.
func entity(id, accessor string) string {
	if id != "" || accessor == "" {
		return id
	}
	return "accessor " + auditlog.Version{ID: accessor}.String()
}

// reads say when and how somebody came to know a credential.
type reads struct {
	First     time.Time `json:"first,omitzero"`
	Last      time.Time `json:"last,omitzero"`
	Reads     int       `json:"reads"`
	Wrapped   int       `json:"wrapped"`
	Unwrapped int       `json:"unwrapped"`
	HandedIn  int       `json:"handed_in"`
}

func readsOf(k auditlog.Knowledge) reads {
	return reads{First: k.First, Last: k.Last, Reads: k.Reads, Wrapped: k.Wrapped, Unwrapped: k.Unwrapped, HandedIn: k.HandedIn}
}

func (r *reads) count() int { return r.Reads + r.Unwrapped + r.HandedIn }

// cells are those of the columns first, last, count and how.
func (r *reads) cells() []string {
	var how []string
	for _, way := range []struct {
		count int
		name  string
	}{{r.Reads - r.Wrapped, "read"}, {r.Wrapped, "wrapped read"}, {r.Unwrapped, "unwrapped"}, {r.HandedIn, "handed in"}} {
		if way.count > 0 {
			how = append(how, way.name)
		}
	}
	return []string{timestamp(r.First), timestamp(r.Last), strconv.Itoa(r.count()), strings.Join(how, ", ")}
}

// sortedReaders yields readers, the latest first.
func sortedReaders(readers map[auditlog.Identity]*auditlog.Reader) iter.Seq2[auditlog.Identity, *auditlog.Reader] {
	return func(yield func(auditlog.Identity, *auditlog.Reader) bool) {
		last := make(map[auditlog.Identity]time.Time, len(readers))
		for id, r := range readers {
			last[id] = r.Total().Last
		}
		ids := slices.SortedFunc(maps.Keys(readers), func(a, b auditlog.Identity) int {
			return cmp.Or(last[b].Compare(last[a]), cmp.Compare(a.DisplayName, b.DisplayName), cmp.Compare(a.EntityID, b.EntityID), cmp.Compare(a.Accessor, b.Accessor))
		})
		for _, id := range ids {
			if !yield(id, readers[id]) {
				return
			}
		}
	}
}

var accessColumns = []string{"token", "display name", "entity", "addresses", "first", "last", "count", "how"}

// accessRow is a reader of access tokens.
type accessRow struct {
	tokenRef
	person
	reads
}

// accessTokens lists the readers of short-lived access tokens whom the filter accepts.
func (q *query) accessTokens(ctx context.Context, t *auditlog.Tally, accept func(auditlog.Identity) bool) []accessRow {
	rows := []accessRow{}
	for token := range q.tokens(ctx, t) {
		rows = append(rows, accessRows(token, accept)...)
	}
	return rows
}

func accessRows(token *auditlog.Token, accept func(auditlog.Identity) bool) []accessRow {
	var rows []accessRow
	for id, r := range sortedReaders(token.AccessTokens) {
		if accept(id) {
			rows = append(rows, accessRow{tokenRef(token.TokenID), personOf(id, r), readsOf(r.Total())})
		}
	}
	return rows
}
