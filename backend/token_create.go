package backend

import (
	"context"
	"fmt"
	"strings"

	"github.com/hashicorp/go-uuid"
	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

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
	if t.Provider, t.kind = a.Provider, a.platform.Type(t.Type); t.kind == nil {
		var names []string
		for _, kind := range a.platform.Types {
			names = append(names, kind.Name)
		}
		return nil, nil, badInput("type must be one of %s for tokens of %s accounts", strings.Join(names, ", "), a.Provider)
	}
	if err := t.applyPolicy(d, b.now()); err != nil {
		return nil, nil, err
	}
	return t, a, b.checkForeignOptions(d, t.kind)
}

// checkForeignOptions refuses settings that only tokens of other types have.
func (b *backend) checkForeignOptions(d *framework.FieldData, own *provider.TokenType) error {
	for _, kind := range b.allTypes() {
		for _, f := range kind.Options {
			_, has := provider.Lookup(own.Options, f.Name)
			if _, given := d.GetOk(f.Name); given && !has {
				return badInput("%s is no setting of a %s", f.Name, own.Name)
			}
		}
	}
	return nil
}
