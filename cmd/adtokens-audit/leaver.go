package main

import (
	"context"
	"flag"
	"fmt"
	"slices"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-audit/auditlog"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

var leaverCommand = command{
	name: "leaver", summary: "which tokens a person or app knows, and so must be reset", synopsis: "-entity ID | -display-name NAME [flags] <audit log>...",
	help: `
Lists the tokens that somebody who leaves, or an app that is shut down, knows. The column reset says

  yes    they know the current version: reset the token at the provider and rotate it
  no     they know older versions only. Where a provider lets old and new values live side by side, see that the old one is
         revoked: ` + "`vault read <mount>/tokens/<name>/history`" + ` tells
  check  the logs do not tell which version they know, or the token was deleted with it and made anew: the provider may still
         accept it

Readers of access-token/ are listed apart, without that column: an access token ends by itself, as a rule within the hour,
and tells nothing of the credential. Nothing has to be reset for it.

-campaign NAME prints the command too that begins a campaign of that name: it resets what is yes or check. Afterwards this command
shows what is still to do.

An entity is all logins of one person. The display name is that of one login, such as oidc-jane@acme.example.

  adtokens-audit leaver -display-name oidc-jane@acme.example /var/log/vault/audit.log*
  adtokens-audit leaver -display-name oidc-jane@acme.example -campaign jane-leaves /var/log/vault/audit.log*
  adtokens-audit leaver -entity 8a8583bb-0a2d-11e3-0840-44c1604b02b5 -output json /var/log/vault/audit.log*`,
	prepare: func(flags *flag.FlagSet) action {
		q := leaver{query: query{output: formatTable}}
		q.declareRange(flags)
		q.declareOutput(flags)
		flags.StringVar(&q.entity, "entity", "", "`ID` of the entity")
		flags.StringVar(&q.displayName, "display-name", "", "display `name`, whole")
		flags.StringVar(&q.campaign, "campaign", "", "`name` of the campaign that is to reset what they know: prints the command that begins it")
		return func(ctx context.Context, files []string, s cli.Streams) error {
			if err := q.checkCampaign(); err != nil {
				return err
			}
			if (q.entity == "") == (q.displayName == "") {
				return cli.Usagef("say who leaves, with either -entity or -display-name")
			}
			q.names = true
			q.shows = func(e *auditlog.Entry) bool { return q.leaves(e.By) && e.Kind != auditlog.KindRenew }
			return q.answer(ctx, files, s, q.reply)
		}
	},
}

type leaver struct {
	query
	entity, displayName string
	// campaign is the name of the one that is to begin; empty for none.
	campaign string
}

func (q *leaver) leaves(id auditlog.Identity) bool {
	if q.entity != "" {
		return id.EntityID == q.entity
	}
	return id.DisplayName == q.displayName
}

type leaverAnswer struct {
	header
	Tokens       []leaverRow `json:"tokens"`
	AccessTokens []accessRow `json:"access_tokens"`
	// Commands begin the campaign that was asked for.
	Commands []string `json:"commands,omitempty"`
}

// leaverRow is what somebody knows of a token.
type leaverRow struct {
	tokenRef
	Reset   string     `json:"reset"`
	Known   versionRef `json:"known"` // the newest
	Current versionRef `json:"current"`
	person
	reads
}

var resets = map[auditlog.State]string{auditlog.StateCurrent: "yes", auditlog.StateStale: "no", auditlog.StateUnknown: "check"}

var leaverColumns = []string{"token", "reset", "knows version", "current version", "display name", "entity", "addresses", "first", "last", "count", "how"}

func (q *leaver) reply(ctx context.Context, f *findings) *report {
	answer := leaverAnswer{Tokens: []leaverRow{}, AccessTokens: q.accessTokens(ctx, f.Tally, q.leaves)}
	known := table{name: "credentials", columns: leaverColumns, none: "None, as far as the logs tell."}
	var tokens []*auditlog.Token
	for token := range q.tokens(ctx, f.Tally) {
		for id, r := range sortedReaders(token.Readers) {
			if !q.leaves(id) {
				continue
			}
			tokens = append(tokens, token)
			row := leaverRowOf(token, id, r)
			answer.Tokens = append(answer.Tokens, row)
			known.add([]string{token.String(), row.Reset, row.Known.label(), row.Current.label()}, row.person.cells(), row.reads.cells())
		}
	}
	short := table{name: "access tokens", columns: leaverColumns}
	for _, row := range answer.AccessTokens {
		short.add([]string{row.Namespace + row.Name, "", "", ""}, row.person.cells(), row.reads.cells())
	}
	var notes []string
	if q.campaign != "" {
		answer.Commands = q.campaignCommands(answer.Tokens)
		notes = q.campaignNotes(answer.Commands)
	}
	notes = slices.Concat(notes, q.knowledgeNotes(f, slices.Compact(tokens)), q.holderNotes(ctx, f), q.otherNames(ctx, f), accessNotes(answer.AccessTokens))
	answer.header = q.header(f, notes...)
	answer.NotAnswered = q.unanswered(f)
	return &report{document: answer, tables: []table{known, short}, notes: answer.Notes, unanswered: answer.NotAnswered, commands: answer.Commands}
}

func leaverRowOf(token *auditlog.Token, id auditlog.Identity, r *auditlog.Reader) leaverRow {
	newest, current := token.Newest(r), token.Current()
	reset := resets[token.State(r)]
	if reset == resets[auditlog.StateStale] && token.AnyAbandoned(r) {
		reset = resets[auditlog.StateUnknown]
	}
	return leaverRow{tokenRef(token.TokenID), reset, refOf(newest), refOf(current), personOf(id, r), readsOf(r.Total())}
}

// unanswered is empty if the logs have the leaver, whatever their requests were about.
func (q *leaver) unanswered(f *findings) string {
	if reason := q.query.unanswered(f); reason != "" {
		return reason
	}
	displayNames, more := f.parser.DisplayNames()
	entities, moreEntities := f.parser.Entities()
	switch {
	case q.displayName != "" && !more && !slices.Contains(displayNames, q.displayName):
		if slices.Contains(entities, q.displayName) {
			return fmt.Sprintf("the logs do not have the display name %q, but an entity with this ID: use -entity", q.displayName)
		}
		return fmt.Sprintf("the logs do not have the display name %q%s", q.displayName, nearest(q.displayName, displayNames))
	case q.entity != "" && !moreEntities && !slices.Contains(entities, q.entity):
		if slices.Contains(displayNames, q.entity) {
			return fmt.Sprintf("the logs do not have an entity with the ID %q, but this display name: use -display-name", q.entity)
		}
		return fmt.Sprintf("the logs do not have an entity with the ID %q%s", q.entity, nearest(q.entity, entities))
	}
	return ""
}

// holderNotes say that unwrappings by wrapping tokens may be the leaver's.
func (q *leaver) holderNotes(ctx context.Context, f *findings) []string {
	count := 0
	for token := range q.tokens(ctx, f.Tally) {
		for id, r := range token.Readers {
			if id.IsHolder() {
				count += r.Total().Unwrapped
			}
		}
	}
	if count == 0 {
		return nil
	}
	return []string{fmt.Sprintf("Credentials that the wrapping token itself unwrapped, so that the log does not tell for whom: %d. "+
		"`exposure -all` lists them with their addresses.", count)}
}

// otherNames notes under which other display names the leaver's entities are known.
func (q *leaver) otherNames(ctx context.Context, f *findings) []string {
	if q.displayName == "" {
		return nil
	}
	entities := map[string]bool{}
	var others []auditlog.Identity
	for pass := range 2 {
		for token := range q.tokens(ctx, f.Tally) {
			for id := range sortedReaders(token.Readers) {
				switch {
				case pass == 0 && id.DisplayName == q.displayName && id.EntityID != "":
					entities[id.EntityID] = true
				case pass == 1 && id.DisplayName != q.displayName && entities[id.EntityID] && !slices.Contains(others, id):
					others = append(others, id)
				}
			}
		}
	}
	var notes []string
	for _, id := range others {
		notes = append(notes, fmt.Sprintf("The same entity is known as %s too: -entity %s finds both.", id.DisplayName, id.EntityID))
	}
	return notes
}
