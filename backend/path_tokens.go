package backend

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
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
		Pattern: "tokens/" + namePattern("name") + "$",
		Fields:  b.tokenFields(),
		// Not all types are known when the mount starts. The door refuses what the token's type does not have.
		TakesArbitraryInput: true,
		ExistenceCheck:      b.pathTokensExists,
		DisplayAttrs:        &framework.DisplayAttributes{OperationPrefix: operationPrefix, OperationSuffix: "token"},
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
		"rotate_on_rejection":        t.RotateOnRejection,
		"custom_metadata":            t.CustomMetadata,
		"version":                    t.Number(),
		"fingerprint":                t.fingerprint(),
		"identity":                   t.Identity,
		"health":                     string(t.health()),
		"last_verification":          verificationData(t.LastVerification),
		"rotation_state":             string(t.State()),
		"last_error":                 t.LastError,
		"last_vault_rotation":        nil,
		"next_vault_rotation":        timestamp(t.nextRotation),
		"overdue":                    t.overdue(now),
		"retiring":                   t.retiring(),
		"retire_after":               retireByGrace,
		"reader_window":              defaultReaderWindow,
		"rotate_before_expiry":       defaultBeforeExpiry,
		"expires_at":                 timestamp(t.expires),
		"next_refresh":               timestamp(t.nextRefresh()),
		"refreshed_at":               nil,
		"refreshes":                  0,
	}
	t.showPolicy(data)
	if t.Current != nil {
		data["last_vault_rotation"] = timestamp(t.Current.PublishedAt)
		data["refreshed_at"], data["refreshes"] = timestamp(t.Current.Refreshed.Last()), t.Current.Refreshed.Number()
	}
	for _, f := range t.kind.Options {
		data[f.Name] = t.Options[f.Name]
	}
	response := &logical.Response{Data: data}
	for _, problem := range b.tokenProblems(t, now) {
		response.AddWarning(problem)
	}
	return response, nil
}

func (b *backend) pathTokensCreate(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	c, err := b.readTokenCreation(ctx, req, d)
	if err != nil {
		return nil, err
	}
	return b.createToken(ctx, req.Storage, c)
}

// readTokenCreation reads a request for a new token, whose account decides which types there are.
func (b *backend) readTokenCreation(ctx context.Context, req *logical.Request, d *framework.FieldData) (*tokenCreation, error) {
	c := &tokenCreation{name: d.Get("name").(string), accountName: strings.TrimSpace(d.Get("account").(string))}
	switch {
	case len(c.name) > maxNameLength:
		return nil, badInput("the token's name must have at most %d characters", maxNameLength)
	case c.accountName == "":
		return nil, badInput("account is missing; name an account of config/")
	case !validName().MatchString(c.accountName):
		return nil, badInput("account must be the name of an account of config/: " + nameRule)
	}
	var err error
	if c.account, err = b.account(ctx, req.Storage, c.accountName); err != nil {
		return nil, err
	}
	if c.kind, err = c.account.findType(strings.TrimSpace(d.Get("type").(string))); err != nil {
		return nil, err
	}
	if c.policy, err = b.readPolicy(d, c.kind); err != nil {
		return nil, err
	}
	if c.value.given, err = b.readCredential(d.Raw, c.kind, c.kind.Options); err != nil || c.value.given == nil && c.kind.ResetSemantics != provider.None {
		return c, err
	}
	if c.value.given == nil {
		return nil, badInput("a %s needs %s when it is created, because nothing is handed in later", c.kind.Name, fieldNames(c.kind.Fields))
	}
	c.value.verify, c.value.by = d.Get("verify").(bool), requesterOf(req)
	c.value.reason, err = readReason(d.Get("reason").(string))
	return c, err
}

func (b *backend) pathTokensUpdate(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	known, err := b.token(ctx, req.Storage, d.Get("name").(string))
	if err != nil {
		return nil, err
	}
	for fixed, value := range map[string]string{"account": known.Account, "type": known.Type} {
		if text := given[string](d, fixed); text != nil && strings.TrimSpace(*text) != value {
			return nil, badInput("%s is fixed once a token exists; create another token", fixed)
		}
	}
	if field := b.credentialFieldIn(d.Raw, known.kind); field != "" {
		return nil, badInput("%s is accepted only when a token is created; hand a new value in with %s; %s tells how. Nothing was changed",
			field, known.handInCommand(), readRunbook(known.name))
	}
	policy, err := b.readPolicy(d, known.kind)
	if err != nil {
		return nil, err
	}
	return b.changePolicy(ctx, req.Storage, known, &policy)
}

// readPolicy reads how a token of the given type is to be treated.
func (b *backend) readPolicy(d *framework.FieldData, kind *provider.TokenType) (w policyWrite, err error) {
	if err := b.checkForeignOptions(d.Raw, kind); err != nil {
		return w, err
	}
	w = policyWrite{
		refreshTTL:               given[int](d, "refresh_ttl"),
		verifyPeriod:             given[int](d, "verify_period"),
		rotationGracePeriod:      given[int](d, "rotation_grace_period"),
		leaseTTL:                 given[int](d, "lease_ttl"),
		rotateBeforeExpiry:       given[int](d, "rotate_before_expiry"),
		readerWindow:             given[int](d, "reader_window"),
		retireAfter:              given[string](d, "retire_after"),
		rotationPeriod:           given[int](d, "rotation_period"),
		rotationWindow:           given[int](d, "rotation_window"),
		rotationSchedule:         given[string](d, "rotation_schedule"),
		disableAutomatedRotation: given[bool](d, "disable_automated_rotation"),
		rotateOnRejection:        given[bool](d, "rotate_on_rejection"),
		bareNumbers:              readBareNumbers(d.Raw),
		reasonOrVerify:           given[string](d, "reason") != nil || given[bool](d, "verify") != nil,
		force:                    given[bool](d, fieldForce) != nil,
	}
	if w.retireAfter != nil {
		*w.retireAfter = strings.TrimSpace(*w.retireAfter)
	}
	if w.rotationSchedule != nil {
		*w.rotationSchedule = strings.TrimSpace(*w.rotationSchedule)
	}
	if metadata := given[map[string]string](d, "custom_metadata"); metadata != nil {
		w.customMetadata = map[string]string{}
		maps.Copy(w.customMetadata, *metadata)
	}
	if w.options, err = readFields(d.Raw, kind.Options); err != nil {
		return w, err
	}
	return w, w.check(b.now())
}

func (b *backend) pathTokensDelete(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	return b.deleteToken(ctx, req.Storage, d.Get("name").(string), d.Get("force").(bool))
}
