package backend

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

const (
	// defaultStatusLimit keeps the answer about as large as a person or a small program can take.
	defaultStatusLimit = 1000
	// maxStatusLimit keeps the time to answer, most of which is Vault's audit, below a second.
	maxStatusLimit = 5000
)

// maxProblems keeps the warnings on one screen.
const maxProblems = 20

func (b *backend) pathStatus() *framework.Path {
	return &framework.Path{
		Pattern: "status$",
		Fields: map[string]*framework.FieldSchema{
			"after": afterField(),
			"limit": {Type: framework.TypeInt, Query: true, Default: defaultStatusLimit, Description: fmt.Sprintf("How many tokens to show at most, up to %d.", maxStatusLimit)},
		},
		DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: operationPrefix, OperationSuffix: "status"},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: readOperation(b.pathStatusRead, "Read the state of every token at a glance.", "read", map[string]*framework.FieldSchema{
				"summary": {Type: framework.TypeMap, Required: true, Description: "Counts over all tokens: total, which is the sum of ok, rejected, unverified and " +
					"none (by health); and of these, overdue and in_flight."},
				"tokens": {Type: framework.TypeMap, Required: true, Description: "By name: account, type, version, fingerprint, age (seconds), health, overdue, " +
					"next_vault_rotation, expires_at, rotation_state, last_error."},
				"notifications": {Type: framework.TypeMap, Description: "Where there are any, by name: waiting and dropped, which count messages, and last_error."},
				"campaigns":     {Type: framework.TypeMap, Description: "Where some are running or have failed, by name: state and progress."},
			}),
		},
		HelpSynopsis: "Read the state of every token at a glance.",
		HelpDescription: "The summary counts all tokens of the mount; tokens shows up to limit of them, those whose names sort after `after`. " +
			"While many tokens are still being read, just after a start, a warning says how many of them are known. " +
			"The warnings name what a person has to look at. With -format=yaml it is easier to read.",
	}
}

// statusSummary counts the tokens of the mount, each once by its health.
type statusSummary struct {
	total, ok, rejected, unverified, none, overdue, inFlight int
}

func (s *statusSummary) add(t *token, now time.Time) {
	s.total++
	switch t.health() {
	case rotation.HealthOK:
		s.ok++
	case rotation.HealthRejected:
		s.rejected++
	case rotation.HealthUnverified:
		s.unverified++
	case rotation.HealthNone:
		s.none++
	}
	if t.overdue(now) {
		s.overdue++
	}
	if t.State() != rotation.StateIdle {
		s.inFlight++
	}
}

func (b *backend) pathStatusRead(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	after, limit := d.Get("after").(string), d.Get("limit").(int)
	if limit < 1 {
		return nil, badInput("limit must be at least 1")
	}
	s, err := b.surveyTokens(ctx, req.Storage)
	if err != nil {
		return nil, err
	}
	campaigns, campaignProblems, err := b.campaignStatus(ctx, req.Storage)
	if err != nil {
		return nil, err
	}
	now := b.now()
	var summary statusSummary
	shown, last, left := map[string]any{}, "", 0
	response := &logical.Response{}
	s.warn(response)
	for _, name := range slices.Sorted(maps.Keys(s.unreadable)) {
		response.AddWarning(s.unreadable[name].Error())
	}
	for _, problem := range b.unusableAccounts(ctx, req.Storage, s.tokens) {
		response.AddWarning(problem.Error())
	}
	for _, problem := range slices.Concat(problems(s.tokens, now), campaignProblems, b.readerProblems(s.tokens)) {
		response.AddWarning(problem)
	}
	notifications := b.notificationStatus(ctx, req.Storage, response)
	for _, t := range s.tokens {
		summary.add(t, now)
		switch {
		case t.name <= after:
		case len(shown) < min(limit, maxStatusLimit):
			shown[t.name], last = t.status(now), t.name
		default:
			left++
		}
	}
	if _, asked := d.GetOk("limit"); left > 0 && (!asked || limit > maxStatusLimit) {
		response.AddWarning(fmt.Sprintf("tokens that are not shown: %d; read on with after=%s", left, last))
	}
	response.Data = map[string]any{
		"summary": map[string]any{
			"total": summary.total, "ok": summary.ok, "rejected": summary.rejected, "unverified": summary.unverified,
			"none": summary.none, "overdue": summary.overdue, "in_flight": summary.inFlight,
		},
		"tokens": shown,
	}
	for part, there := range map[string]map[string]any{"campaigns": campaigns, "notifications": notifications} {
		if len(there) > 0 {
			response.Data[part] = there
		}
	}
	return response, nil
}

// notificationStatus tells of all notifications, and warns of what is wrong with them.
func (b *backend) notificationStatus(ctx context.Context, storage logical.Storage, response *logical.Response) map[string]any {
	states, err := b.notificationStates(ctx, storage)
	if err != nil {
		response.AddWarning("not all notifications are known yet: " + err.Error())
	}
	for _, problem := range append(b.unreadableNotifications(ctx, storage), notificationProblems(states, b.now())...) {
		response.AddWarning(problem)
	}
	shown := map[string]any{}
	for name, state := range states {
		shown[name] = state.shown()
	}
	return shown
}

// problems says what a person has to look at, in a sentence or two for each token, at most maxProblems of them.
func problems(tokens []*token, now time.Time) []string {
	var all []string
	for _, t := range tokens {
		for _, problem := range []string{t.problem(now), t.identityProblem(now)} {
			if problem != "" {
				all = append(all, t.name+": "+problem)
			}
		}
	}
	if surplus := len(all) - maxProblems; surplus > 0 {
		all = append(all[:maxProblems], fmt.Sprintf("%d more tokens have problems", surplus))
	}
	return all
}

// problem is the worst of the token's problems; empty where it has none.
func (t *token) problem(now time.Time) string {
	tells := "; " + readRunbook(t.name) + " tells how it is replaced"
	switch healing := t.healingProblem(now); {
	case healing != "":
		return healing + tells
	case t.health() == rotation.HealthRejected:
		return fmt.Sprintf("the provider rejects version %d", t.Number()) + tells
	case t.expired(now):
		return fmt.Sprintf("version %d has ended by itself at %s", t.Number(), t.expires.UTC().Format(time.RFC3339)) + tells
	case t.LastError != "":
		return "the last problem was: " + t.LastError
	case t.planProblem != "":
		return t.planProblem
	case t.untried():
		return fmt.Sprintf("version %d was published with verify=false, and the provider has not accepted it yet; "+
			"`vault write -f <mount>/tokens/%s/verify` asks now", t.Number(), t.name)
	case t.overdue(now):
		return "its rotation is overdue since " + t.nextRotation.UTC().Format(time.RFC3339) + tells
	}
	return ""
}

// unusableAccounts says why tokens cannot be used although they can be read, once for each account.
func (b *backend) unusableAccounts(ctx context.Context, storage logical.Storage, tokens []*token) []error {
	patience, cancel := context.WithTimeout(ctx, surveyPatience)
	defer cancel()
	looked := map[string]bool{}
	var unusable []error
	for _, t := range tokens {
		if looked[t.Account] {
			continue
		}
		looked[t.Account] = true
		_, err := b.account(patience, storage, t.Account)
		if patience.Err() != nil {
			return append(unusable, errors.New("storage is slow: not all accounts were looked at; ask again"))
		}
		if err != nil {
			unusable = append(unusable, err)
		}
	}
	return unusable
}

func (t *token) status(now time.Time) map[string]any {
	status := map[string]any{
		"account":             t.Account,
		"type":                t.Type,
		"version":             t.Number(),
		"fingerprint":         t.fingerprint(),
		"age":                 nil,
		"health":              string(t.health()),
		"overdue":             t.overdue(now),
		"next_vault_rotation": timestamp(t.nextRotation),
		"expires_at":          timestamp(t.expires),
		"rotation_state":      string(t.State()),
		"last_error":          t.LastError,
	}
	if t.Current != nil {
		status["age"] = int(now.Sub(t.Current.PublishedAt).Seconds())
	}
	return status
}
