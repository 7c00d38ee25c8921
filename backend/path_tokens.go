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

	"github.com/hashicorp/go-uuid"
	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/helper/automatedrotationutil"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/cache"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
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
	deletedAtProvider = "the credential lives on at the provider; reset, revoke or delete it there if nobody is to use it any more"
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

func nameField() *framework.FieldSchema {
	return &framework.FieldSchema{Type: framework.TypeString, Required: true, Description: "Name of the token."}
}

// credentialSchemas declare the credential fields of all types.
func (b *backend) credentialSchemas() map[string]*framework.FieldSchema {
	fields := map[string]*framework.FieldSchema{}
	for _, name := range b.providerNames() {
		for _, kind := range b.providers[name].TokenTypes() {
			for _, f := range kind.Fields {
				addFieldSchema(fields, f, "")
			}
		}
	}
	return fields
}

func (b *backend) typeNames() []string {
	var names []string
	for _, name := range b.providerNames() {
		for _, kind := range b.providers[name].TokenTypes() {
			names = append(names, kind.Name)
		}
	}
	return names
}

func (b *backend) policyFields() map[string]*framework.FieldSchema {
	fields := commonPolicyFields()
	fields["type"].AllowedValues = allowed(b.typeNames())
	for _, name := range b.providerNames() {
		for _, kind := range b.providers[name].TokenTypes() {
			for _, f := range kind.Options {
				addFieldSchema(fields, f, "")
			}
		}
	}
	return fields
}

// commonPolicyFields define tokens of every type.
func commonPolicyFields() map[string]*framework.FieldSchema {
	fields := map[string]*framework.FieldSchema{
		"account":               {Type: framework.TypeString, Description: "Name of the account that the token belongs to. Fixed once the token exists."},
		"type":                  {Type: framework.TypeString, Description: "Kind of token, one of the provider's. Fixed once the token exists."},
		"refresh_ttl":           {Type: framework.TypeDurationSecond, Default: defaultRefreshTTL, Description: "How long an app may go on with a value before it looks again; bounds the outage after a reset. At least 1s."},
		"verify_period":         {Type: framework.TypeDurationSecond, Default: defaultVerifyPeriod, Description: "How often the provider is asked whether the credential still works; 0 for never."},
		"rotation_grace_period": {Type: framework.TypeDurationSecond, Default: defaultGracePeriod, Description: "How long an old value lives on that the engine retires itself."},
		"lease_ttl":             {Type: framework.TypeDurationSecond, Default: 0, Description: "With more than 0, reads of creds/ carry a lease of this length, which ends with the version; each such read writes to storage."},
		"custom_metadata":       {Type: framework.TypeKVPairs, Description: "Your own key=value pairs, shown when the token is read."},
	}
	automatedrotationutil.AddAutomatedRotationFields(fields)
	delete(fields, "rotation_policy") // a feature of the enterprise edition's rotation manager
	fields["rotation_period"].Description = "How long after its publication a credential is due for rotation; 0 for never. Excludes rotation_schedule."
	fields["rotation_schedule"].Description = "Cron expression (five fields, UTC) of when a rotation is due. Excludes rotation_period."
	fields["rotation_window"].Description = "How long after a scheduled time an automatic rotation may still start, at least 1h; 0 for no limit."
	fields["disable_automated_rotation"].Description = "Plan no rotations, whatever rotation_period and rotation_schedule say."
	fields["rotation_period"].Default, fields["rotation_window"].Default, fields["disable_automated_rotation"].Default = 0, 0, false
	return fields
}

func (b *backend) tokenFields() map[string]*framework.FieldSchema {
	fields := b.policyFields()
	maps.Copy(fields, b.credentialSchemas())
	maps.Copy(fields, handInFields())
	fields["name"] = nameField()
	fields[fieldForce] = &framework.FieldSchema{Type: framework.TypeBool, Query: true, Default: false, Description: "When deleting: forget old values that could not be retired, and delete a token whose storage entry cannot be read."}
	return fields
}

func (b *backend) tokenResponseFields() map[string]*framework.FieldSchema {
	fields := b.policyFields()
	for _, name := range []string{"refresh_ttl", "verify_period", "rotation_grace_period", "lease_ttl", "rotation_period", "rotation_window"} {
		fields[name] = &framework.FieldSchema{Type: framework.TypeInt, Description: fields[name].Description + " In seconds."}
	}
	maps.Copy(fields, tokenStateFields())
	return fields
}

// tokenStateFields are what reading a token gives beside its definition.
func tokenStateFields() map[string]*framework.FieldSchema {
	return map[string]*framework.FieldSchema{
		"provider":            {Type: framework.TypeString, Description: "Ad platform of the account."},
		"version":             {Type: framework.TypeInt, Description: "Number of the current credential, 0 where there is none."},
		"fingerprint":         {Type: framework.TypeString, Description: "Keyed hash of the current credential, which identifies it and tells nothing about it."},
		"health":              {Type: framework.TypeString, Description: "ok, rejected, unverified or none."},
		"last_verification":   {Type: framework.TypeMap, Description: "When the provider was last asked about the current credential (at), with outcome and detail."},
		"rotation_state":      {Type: framework.TypeString, Description: "What an automatic rotation is doing."},
		"last_error":          {Type: framework.TypeString, Description: "Why the last automatic work failed."},
		"last_vault_rotation": {Type: framework.TypeTime, Description: "When the current credential was published."},
		"next_vault_rotation": {Type: framework.TypeTime, Description: "When the policy wants it replaced."},
		"overdue":             {Type: framework.TypeBool, Description: "That time has passed."},
		"retiring":            {Type: framework.TypeSlice, Description: "Old values that the engine is going to retire: version (0 for one that was never published) and at."},
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

// keyInfo is what a detailed list shows of the token.
func (t *token) keyInfo(now time.Time) map[string]any {
	return map[string]any{
		"account": t.Account, "type": t.Type, "version": t.Number(), "health": string(t.health()),
		"overdue": t.overdue(now), "next_vault_rotation": timestamp(t.nextRotation),
	}
}

func (b *backend) pathTokensRead(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	t, err := b.tokens.Get(ctx, req.Storage, d.Get("name").(string))
	if err != nil || t == nil {
		return nil, err
	}
	now := b.now()
	data := map[string]any{
		"account":                    t.Account,
		"provider":                   t.provider,
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

// retiring lists what the engine is going to retire.
func (t *token) retiring() []any {
	list := make([]any, len(t.Retiring))
	for i, old := range t.Retiring {
		list[i] = map[string]any{"version": old.Version, "at": timestamp(old.At)}
	}
	return list
}

func verificationData(c *rotation.Check) map[string]any {
	if c == nil {
		return nil
	}
	return map[string]any{"at": timestamp(c.At), "outcome": string(c.Outcome), "detail": c.Detail}
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

// newToken makes a token of a write's fields. It is not stored yet.
func (b *backend) newToken(ctx context.Context, storage logical.Storage, d *framework.FieldData, name string) (*token, *account, error) {
	if len(name) > maxNameLength {
		return nil, nil, badInput("the token's name must have at most %d characters", maxNameLength)
	}
	id, err := uuid.GenerateUUID()
	if err != nil {
		return nil, nil, fmt.Errorf("making the token's ID: %w", err)
	}
	t := &token{name: name, tokenEntry: tokenEntry{
		Schema:     tokenSchema,
		ID:         id,
		Account:    strings.TrimSpace(d.Get("account").(string)),
		Type:       strings.TrimSpace(d.Get("type").(string)),
		RefreshTTL: defaultRefreshTTL, VerifyPeriod: defaultVerifyPeriod, RotationGracePeriod: defaultGracePeriod,
	}}
	if t.Account == "" {
		return nil, nil, badInput("account is missing; name an account of config/")
	}
	if !validName.MatchString(t.Account) {
		return nil, nil, badInput("account must be the name of an account of config/: " + nameRule)
	}
	a, err := b.account(ctx, storage, t.Account)
	if err != nil {
		return nil, nil, err
	}
	kinds := a.platform.TokenTypes()
	i := slices.IndexFunc(kinds, func(k provider.TokenType) bool { return k.Name == t.Type })
	if i < 0 {
		var names []string
		for _, k := range kinds {
			names = append(names, k.Name)
		}
		return nil, nil, badInput("type must be one of %s for tokens of %s accounts", strings.Join(names, ", "), a.Provider)
	}
	t.kind = &kinds[i]
	if err := t.applyPolicy(d, b.now()); err != nil {
		return nil, nil, err
	}
	return t, a, b.checkForeignOptions(d, t.kind)
}

// checkForeignOptions refuses settings that only tokens of other types have.
func (b *backend) checkForeignOptions(d *framework.FieldData, own *provider.TokenType) error {
	for _, p := range b.providers {
		for _, kind := range p.TokenTypes() {
			for _, f := range kind.Options {
				_, has := provider.Lookup(own.Options, f.Name)
				if _, given := d.GetOk(f.Name); given && !has {
					return badInput("%s is no setting of a %s", f.Name, own.Name)
				}
			}
		}
	}
	return nil
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

// forgetToken deletes the token's entry, and what the engine has in memory and plans for it.
func (b *backend) forgetToken(ctx context.Context, req *logical.Request, name string) error {
	if err := b.tokens.Delete(ctx, req.Storage, name); err != nil {
		return unknownWhether(req, "the token was deleted", name, err)
	}
	b.scheduler.Forget(name)
	b.access.delete(name)
	b.changed(name)
	return nil
}

// retireAll retires what the token still has to retire, before it is forgotten. force forgets it all the same.
func (b *backend) retireAll(ctx context.Context, req *logical.Request, force bool, t *token, response *logical.Response) error {
	if t.Pending != nil && t.Pending.Source == rotation.SourceIAM {
		t.Supersede(b.now())
	}
	if len(t.Retiring) == 0 && len(t.Searches) == 0 {
		return nil
	}
	a, err := b.account(ctx, req.Storage, t.Account)
	if err == nil {
		err = b.machine(req.Storage, a, t).RetireNow(ctx, &t.Record)
	}
	sought, left := t.StillSought(), ""
	if err != nil && (sought == "" || len(t.Retiring) > 0) {
		left = err.Error()
	}
	for _, kept := range t.Kept() {
		response.AddWarning(kept)
	}
	switch {
	case left == "" && sought == "":
		return nil
	case !force:
		b.lookAgain(t)
		return notDeleted(left, sought)
	}
	if left != "" {
		response.AddWarning("an old value may live on at the provider and is forgotten now: " + left)
	}
	if sought != "" {
		response.AddWarning("the search for a lost key is given up: " + sought + ". Look for a key at the provider that nobody knows, and delete it there")
	}
	return nil
}

// notDeleted says what keeps a token from being deleted: an old value that is left, or a lost key that is still sought.
func notDeleted(left, sought string) error {
	if left == "" {
		return logical.CodedError(http.StatusBadGateway, "the token was not deleted, because "+sought+
			"; try again then, or give the search up with force=true")
	}
	return logical.CodedError(http.StatusBadGateway, "the token was not deleted, because an old value could not be retired: "+left+
		"; try again, or forget the old value with force=true")
}

// nameWhatIsLeft warns of what lives on at the provider when the token is deleted.
func (b *backend) nameWhatIsLeft(ctx context.Context, req *logical.Request, t *token, response *logical.Response) error {
	for p := t.Pending; p != nil; p = p.Replaces {
		if p.Credential == nil {
			response.AddWarning(fmt.Sprintf("the account's reset hook was asked for a reset at %s and may still perform it; nobody will take its value. Stop it there",
				p.RequestedAt.UTC().Format(time.RFC3339)))
			continue
		}
		fingerprint, err := b.fingerprint(ctx, req.Storage, p.Credential)
		if err != nil {
			return err
		}
		response.AddWarning(fmt.Sprintf("the value that the reset hook gave at %s (fingerprint %s) was never published and is forgotten; it may be live at the provider",
			p.ReceivedAt.UTC().Format(time.RFC3339), fingerprint))
	}
	if t.Current != nil {
		response.AddWarning(fmt.Sprintf("version %d (fingerprint %s): %s", t.Number(), t.fingerprint(), deletedAtProvider))
	}
	return nil
}

func accountTokenKey(t *token) string {
	return accountTokenPrefix + t.Account + "/" + t.name
}
