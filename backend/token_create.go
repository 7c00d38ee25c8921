package backend

import (
	"context"
	"fmt"
	"net/http"

	"github.com/hashicorp/go-uuid"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// tokenCreation asks for a new token. The path file that made it has refused what does not fit the token's type.
type tokenCreation struct {
	name, accountName string
	// account is the one that the token is to belong to, as the request found it, and kind one of its platform's.
	account *account
	kind    *provider.TokenType
	policy  policyWrite
	// value is the credential that apps use today; its fields given are nil where the token is to have none yet.
	value rotateRequest
}

// createToken makes and stores a token, and publishes its first credential where it comes with one.
func (b *backend) createToken(ctx context.Context, storage logical.Storage, c *tokenCreation) (*logical.Response, error) {
	existing, unlock, err := b.lockToken(ctx, storage, c.name)
	if err != nil {
		return nil, err
	}
	if existing != nil {
		unlock()
		if sent := existing.startedBy(c.value.by.requestID); sent != nil {
			return b.awaitRotation(ctx, storage, sent)
		}
		return nil, logical.CodedError(http.StatusConflict, "the token was created by somebody else a moment ago; read it, and write again if it still needs to change")
	}
	defer unlock()
	t, err := b.newToken(c)
	if err != nil {
		return nil, err
	}
	if err := t.checkMetadata(c.value.given); err != nil {
		return nil, err
	}
	if err := b.checkMetadataShown(c.policy.customMetadata); err != nil {
		return nil, err
	}
	response := &logical.Response{}
	if c.value.given == nil {
		err = b.commit(ctx, storage, c.account, t)
		response.AddWarning("the token has no credential yet: hand today's value in with " + t.handInCommand() + "; " + readRunbook(t.name) + " tells how")
	} else {
		response, err = b.handIn(ctx, storage, handedIn{rotateRequest: c.value, token: t, account: c.account, source: rotation.SourceImport})
	}
	if err != nil {
		return nil, err
	}
	(&writtenPolicy{policyWrite: &c.policy, token: t, account: c.account, isNew: true}).warn(response)
	b.sendTokenEvent(ctx, eventTokenWrite, t, "type", t.Type)
	return response, nil
}

// newToken makes a token that is not stored yet.
func (b *backend) newToken(c *tokenCreation) (*token, error) {
	id, err := uuid.GenerateUUID()
	if err != nil {
		return nil, fmt.Errorf("making the token's ID: %w", err)
	}
	t := &token{name: c.name, kind: c.kind, tokenEntry: tokenEntry{
		Schema: tokenSchema, ID: id, Account: c.accountName, Provider: c.account.Provider, Type: c.kind.Name,
		RefreshTTL: defaultRefreshTTL, VerifyPeriod: defaultVerifyPeriod, RotationGracePeriod: defaultGracePeriod,
	}}
	t.applyPolicy(&c.policy, b.now())
	return t, t.checkOptions()
}
