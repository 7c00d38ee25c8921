package backend

import (
	"context"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// Fields of an account's reset hook.
const (
	fieldHookURL    = "reset_hook_url"
	fieldHookSecret = "reset_hook_secret"
	fieldHookCACert = "reset_hook_ca_cert"
)

// askHook has the account's reset hook perform the reset, or say what it performed already.
func askHook(ctx context.Context, a *account, t *token, p *rotation.Pending) (provider.Values, error) {
	return nil, &provider.Refused{Detail: "The account has no reset hook"}
}
