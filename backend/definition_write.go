package backend

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider/definition"
)

// writeDefinition checks and stores an operator's definition.
func (b *backend) writeDefinition(ctx context.Context, storage logical.Storage, name, document string) (*logical.Response, error) {
	if !definition.IsName(name) {
		return nil, badInput("the name of a provider must be lower-case letters, digits and underscores, a letter first, at most 63 characters; nothing was changed")
	}
	if p := b.builtIn[name]; p != nil {
		return nil, badInput("%s belongs to the %s and cannot be changed; give your definition another name, in the document and in the path; nothing was changed", name, ownerOf(p))
	}
	d, err := definition.ParseAs(name, []byte(document), takenNames())
	if err != nil {
		return nil, badInput("nothing was changed, because the definition has mistakes:\n%s", err)
	}
	if wrong := d.RunExamples(ctx); len(wrong) > 0 {
		return nil, badInput("nothing was changed, because the definition does not do what its examples say:\n%s", wrong)
	}
	unlock, err := b.definitionLocks.Lock(ctx, name)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := b.checkReplacement(ctx, storage, name, d); err != nil {
		return nil, err
	}
	if err := b.definitions.Put(ctx, storage, name, definitionEntry{Schema: definitionSchema, Document: document}); err != nil {
		return nil, err
	}
	b.forgetPlatform(name)
	b.sendEvent(ctx, eventProviderWrite, providersPrefix+name, "provider", name)
	response := &logical.Response{}
	warnUnverified(newPlatform(d, originCustom), response)
	for _, advice := range d.Advice() {
		response.AddWarning(advice)
	}
	return response, nil
}

func ownerOf(p *platform) string {
	if p.origin == originEngine {
		return "engine"
	}
	return "engine's catalogue"
}

// checkReplacement refuses a definition that lacks what accounts and tokens of the one before use.
func (b *backend) checkReplacement(ctx context.Context, storage logical.Storage, name string, d *definition.Definition) error {
	before, err := b.definitions.Load(ctx, storage, name)
	if err != nil || before == nil {
		return err
	}
	used, err := b.usesOf(ctx, storage, name)
	if err != nil {
		return err
	}
	if err := definition.CheckReplacement(before.definition, d, used); err != nil {
		return badInput("nothing was changed, because accounts or tokens use what the new definition has otherwise:\n%s", err)
	}
	return nil
}

// usesOf looks what accounts and tokens use of a provider.
func (b *backend) usesOf(ctx context.Context, storage logical.Storage, name string) (definition.Uses, error) {
	used := definition.Uses{Types: map[string][]string{}}
	accounts, err := b.accountsOf(ctx, storage, name)
	if err != nil {
		return used, err
	}
	used.Accounts = len(accounts) > 0
	for _, accountName := range slices.Sorted(maps.Keys(accounts)) {
		used.Settings = slices.AppendSeq(used.Settings, maps.Keys(accounts[accountName].Settings))
		tokens, err := b.tokensOf(ctx, storage, accountName)
		if err != nil {
			return used, err
		}
		for _, t := range tokens {
			used.Types[t.Type] = slices.AppendSeq(used.Types[t.Type], maps.Keys(t.Options))
		}
	}
	return used, nil
}

// accountsOf reads the accounts of a provider.
func (b *backend) accountsOf(ctx context.Context, storage logical.Storage, provider string) (map[string]*account, error) {
	names, err := b.accounts.List(ctx, storage)
	if err != nil {
		return nil, err
	}
	accounts := map[string]*account{}
	for _, name := range names {
		a, err := b.accounts.Get(ctx, storage, name)
		if err != nil {
			return nil, err
		}
		if a != nil && a.Provider == provider {
			accounts[name] = a
		}
	}
	return accounts, nil
}

// deleteDefinition deletes an operator's definition that no account uses.
func (b *backend) deleteDefinition(ctx context.Context, storage logical.Storage, name string) error {
	if p := b.builtIn[name]; p != nil {
		return badInput("%s belongs to the %s and cannot be deleted", name, ownerOf(p))
	}
	unlock, err := b.definitionLocks.Lock(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	accounts, err := b.accountsOf(ctx, storage, name)
	if err != nil {
		return err
	}
	if len(accounts) > 0 {
		return badInput("provider %s is used by %d account(s), among them %q; delete those first", name, len(accounts), slices.Sorted(maps.Keys(accounts))[0])
	}
	if err := b.definitions.Delete(ctx, storage, name); err != nil {
		return err
	}
	b.forgetPlatform(name)
	b.sendEvent(ctx, eventProviderDelete, providersPrefix+name, "provider", name)
	return nil
}

// unknownProvider is for reads.
func unknownProvider(name string) error {
	return logical.CodedError(http.StatusNotFound, fmt.Sprintf("provider %q does not exist; `vault list <mount>/providers` shows those that do", name))
}

// forgetPlatform has what was made by a definition read again.
func (b *backend) forgetPlatform(name string) {
	b.accounts.InvalidateIf(func(a *account) bool { return a.Provider == name })
	b.tokens.InvalidateIf(func(t *token) bool { return t.Provider == name })
}
