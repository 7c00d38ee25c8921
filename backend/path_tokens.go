package backend

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/cache"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// maxKeyInfo bounds the details of one list: Vault's audit log hashes each string of them.
const maxKeyInfo = 1000

const (
	tokensHelp = "Define a token of an account."

	tokensHelpLong = `
A token is a named credential of one account, with its type and its rotation policy. Credential fields are accepted
when the token is created: that imports the value which apps use today, after the provider has confirmed it
(verify=false skips that). Later changes go through tokens/<name>/rotate. Reading a token never reveals its value;
that is what creds/<name> is for.

refresh_ttl bounds how long an app goes on with an old value after a rotation: it is the ttl of creds/<name>.
A rotation_period or rotation_schedule says when the token is due; one that needs a person becomes overdue.
`
)

func (b *backend) pathTokens() *framework.Path {
	return &framework.Path{
		Pattern:        "tokens/" + namePattern("name") + "$",
		Fields:         b.tokenFields(),
		ExistenceCheck: b.pathTokensExists,
		DisplayAttrs:   &framework.DisplayAttributes{OperationPrefix: operationPrefix, OperationSuffix: "token"},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.CreateOperation: writeOperation(b.pathTokensCreate, "Create a token, with or without importing its credential.", "write", publishResponses()),
			logical.UpdateOperation: writeOperation(b.pathTokensUpdate, "Change a token's policy.", "write", publishResponses()),
			logical.ReadOperation:   readOperation(b.pathTokensRead, "Read a token's definition, policy and state, without its value.", "read", b.tokenResponseFields()),
			logical.DeleteOperation: writeOperation(b.pathTokensDelete, "Delete a token from Vault. It lives on at the provider.", "delete", warningsOnly),
		},
		HelpSynopsis:    tokensHelp,
		HelpDescription: strings.TrimSpace(tokensHelpLong),
	}
}

func (b *backend) pathTokensList() *framework.Path {
	return &framework.Path{
		Pattern: "tokens/?$",
		Fields: map[string]*framework.FieldSchema{
			"after": afterField(),
			"limit": {Type: framework.TypeInt, Query: true, Default: 0, Description: "How many tokens to list at most; 0 for all."},
		},
		DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: operationPrefix, OperationSuffix: "tokens"},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ListOperation: listOperation(b.pathTokensListAll, "List the tokens.", "Account, type, version, health, overdue and next_vault_rotation of each token."),
		},
		HelpSynopsis:    "List the tokens.",
		HelpDescription: "With -detailed, account, type, version, health, overdue and next_vault_rotation are shown of the first 1,000 tokens. Page through more with `after` and `limit`.",
	}
}

func (b *backend) pathTokensExists(ctx context.Context, req *logical.Request, d *framework.FieldData) (bool, error) {
	t, err := b.tokens.Get(ctx, req.Storage, d.Get("name").(string))
	return t != nil, err
}

func (b *backend) pathTokensListAll(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	limit := d.Get("limit").(int)
	if limit < 0 {
		return nil, badInput("limit must not be negative")
	}
	names, err := b.tokens.List(ctx, req.Storage)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	after, found := slices.BinarySearch(names, d.Get("after").(string))
	if found {
		after++
	}
	if names = names[after:]; limit > 0 {
		names = names[:min(limit, len(names))]
	}
	s, err := b.surveyNamed(ctx, req.Storage, names[:min(maxKeyInfo, len(names))])
	if err != nil {
		return nil, err
	}
	now, info := b.now(), make(map[string]any, len(s.tokens))
	for _, t := range s.tokens {
		info[t.name] = t.keyInfo(now)
	}
	for name, err := range s.unreadable {
		info[name] = map[string]any{"error": err.Error()}
	}
	response := logical.ListResponseWithInfo(names, info)
	s.warn(response)
	if len(names) > maxKeyInfo {
		response.AddWarning(fmt.Sprintf("details are given of the first %d of these %d tokens; page through them with after and limit", maxKeyInfo, len(names)))
	}
	return response, nil
}

func (b *backend) pathTokensRead(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	t, err := b.tokens.Get(ctx, req.Storage, d.Get("name").(string))
	if err != nil || t == nil {
		return nil, err
	}
	now := b.now()
	data := map[string]any{
		"account":                    t.Account,
		"provider":                   t.Provider,
		"type":                       t.Type,
		"refresh_ttl":                t.RefreshTTL,
		"verify_period":              t.VerifyPeriod,
		"rotation_grace_period":      t.RotationGracePeriod,
		"lease_ttl":                  t.LeaseTTL,
		"rotation_period":            int(t.RotationPeriod.Seconds()),
		"rotation_schedule":          t.RotationSchedule,
		"rotation_window":            int(t.RotationWindow.Seconds()),
		"disable_automated_rotation": t.DisableAutomatedRotation,
		"custom_metadata":            t.CustomMetadata,
		"version":                    t.Number(),
		"fingerprint":                t.fingerprint(),
		"health":                     string(t.health()),
		"last_verification":          verificationData(t.LastVerification),
		"rotation_state":             string(t.State()),
		"last_error":                 t.LastError,
		"last_vault_rotation":        nil,
		"next_vault_rotation":        timestamp(t.nextRotation),
		"overdue":                    t.overdue(now),
		"retiring":                   t.retiring(),
	}
	if t.Current != nil {
		data["last_vault_rotation"] = timestamp(t.Current.PublishedAt)
	}
	for _, f := range t.kind.Options {
		data[f.Name] = t.Options[f.Name]
	}
	response := &logical.Response{Data: data}
	if t.planProblem != "" {
		response.AddWarning(t.planProblem)
	}
	if t.overdue(now) {
		response.AddWarning("the rotation of this token is overdue since " + t.nextRotation.UTC().Format(time.RFC3339) +
			"; " + readRunbook(t.name) + " tells how it is replaced")
	}
	return response, nil
}

func (b *backend) pathTokensCreate(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	name := d.Get("name").(string)
	existing, unlock, err := b.lockToken(ctx, req.Storage, name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if existing != nil {
		return nil, logical.CodedError(http.StatusConflict, "the token was created by somebody else a moment ago; read it, and write again if it still needs to change")
	}
	t, a, err := b.newToken(ctx, req.Storage, d, name)
	if err != nil {
		return nil, err
	}
	credential, err := b.credentialFields(d, t.kind)
	if err != nil {
		return nil, err
	}
	if err := t.checkMetadata(credential); err != nil {
		return nil, err
	}
	if err := b.checkShown(d, t); err != nil {
		return nil, err
	}
	response := &logical.Response{}
	if credential == nil {
		err = b.commit(ctx, req, a, t)
		response.AddWarning("the token has no credential yet: hand today's value in with " + t.handInCommand() + "; " + readRunbook(name) + " tells how")
	} else {
		response, err = b.handIn(ctx, req, d, handedIn{token: t, account: a, given: credential, source: rotation.SourceImport})
	}
	if err != nil {
		return nil, err
	}
	(&policyWrite{raw: req.Data, fields: d, token: t, account: a, isNew: true}).warn(response)
	b.sendTokenEvent(ctx, eventTokenWrite, t, "type", t.Type)
	return response, nil
}

// policyPatience is how long a write of a policy waits for the engine's own work on the token before it interrupts that.
const policyPatience = 2 * time.Second

func (b *backend) pathTokensUpdate(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	name := d.Get("name").(string)
	t, unlock, err := b.lockTokenWithin(ctx, req.Storage, name, policyPatience)
	if _, busy := errors.AsType[*cache.BusyError](err); busy {
		// Whoever works on the token is interrupted only then: it may be about to make a key.
		release := b.precedence.claim(name)
		defer release()
		t, unlock, err = b.lockToken(ctx, req.Storage, name)
	}
	if err != nil {
		return nil, err
	}
	defer unlock()
	if t == nil {
		return nil, unknownToken(name)
	}
	for fixed, value := range map[string]string{"account": t.Account, "type": t.Type} {
		if given, ok := d.GetOk(fixed); ok && strings.TrimSpace(given.(string)) != value {
			return nil, badInput("%s is fixed once a token exists; create another token", fixed)
		}
	}
	for _, field := range slices.Sorted(maps.Keys(b.credentialSchemas())) {
		if _, given := d.GetOk(field); given {
			return nil, badInput("%s is accepted only when a token is created; hand a new value in with %s; %s tells how. Nothing was changed",
				field, t.handInCommand(), readRunbook(name))
		}
	}
	if err := b.checkForeignOptions(d, t.kind); err != nil {
		return nil, err
	}
	if err := t.applyPolicy(d, b.now()); err != nil {
		return nil, err
	}
	if err := b.checkShown(d, t); err != nil {
		return nil, err
	}
	a, err := b.account(ctx, req.Storage, t.Account)
	if err != nil {
		return nil, err
	}
	if err := b.saveToken(ctx, req.Storage, t); err != nil {
		return nil, err
	}
	b.plan(a, t)
	b.sendTokenEvent(ctx, eventTokenWrite, t, "type", t.Type)
	response := &logical.Response{}
	(&policyWrite{raw: req.Data, fields: d, token: t, account: a}).warn(response)
	return response, nil
}

func (b *backend) pathTokensDelete(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	name, force := d.Get("name").(string), d.Get("force").(bool)
	release := b.precedence.claim(name)
	defer release()
	unlock, err := b.tokenLocks.Lock(ctx, name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	response := &logical.Response{}
	t, err := b.tokens.Load(ctx, req.Storage, name)
	switch {
	case err != nil && force:
		response.AddWarning("the token was deleted without looking at it, because " + err.Error() + ". What it had made at the provider lives on there")
		if err := b.forgetToken(ctx, req, name); err != nil {
			return nil, err
		}
		return response, nil
	case err != nil:
		return nil, fmt.Errorf("%w; force=true deletes it all the same", err)
	case t == nil:
		return nil, nil
	}
	if err := b.retireAll(ctx, req, force, t, response); err != nil {
		return nil, err
	}
	if err := b.nameWhatIsLeft(ctx, req, t, response); err != nil {
		return nil, err
	}
	if err := b.forgetToken(ctx, req, name); err != nil {
		return nil, err
	}
	// The token is gone, so nothing is an error from here on.
	if err := req.Storage.Delete(ctx, accountTokenKey(t)); err != nil {
		response.AddWarning(fmt.Sprintf("the token is deleted; its entry in the index of account %q may be left, which harms nothing: %s", t.Account, err))
	}
	b.sendTokenEvent(ctx, eventTokenDelete, t, "type", t.Type)
	return response, nil
}
