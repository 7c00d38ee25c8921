package backend

import (
	"context"
	"errors"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/resethook"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// Fields of an account's reset hook.
const (
	fieldHookURL    = "reset_hook_url"
	fieldHookSecret = "reset_hook_secret"
	fieldHookCACert = "reset_hook_ca_cert"
)

// checkHook wants a hook that is signed for, or none.
func checkHook(settings provider.Values) error {
	switch {
	case settings[fieldHookURL] != "" && settings[fieldHookSecret] == "":
		return badInput("%s is missing: requests to the reset hook are signed with it", fieldHookSecret)
	case settings[fieldHookURL] == "" && (settings[fieldHookSecret] != "" || settings[fieldHookCACert] != ""):
		return badInput(`%s is missing; to remove a hook, give "" for %s and %s too`, fieldHookURL, fieldHookSecret, fieldHookCACert)
	}
	return nil
}

// askHook has the account's reset hook perform the reset, or say what it performed already.
func askHook(ctx context.Context, a *account, t *token, p *rotation.Pending) (provider.Values, error) {
	if a.Settings[fieldHookURL] == "" {
		return nil, &provider.Refused{Detail: "The account has no reset hook any more"}
	}
	request := resethook.Request{
		URL: a.Settings[fieldHookURL], Secret: a.Settings[fieldHookSecret], Client: a.hookClient, Fields: t.kind.Fields,
		Event: resethook.Event{
			Token: t.name, TokenType: t.Type, Provider: a.Provider, Account: t.Account,
			LoginCustomerID: a.Settings["login_customer_id"], Reason: p.Reason, IdempotencyKey: p.ID,
		},
	}
	if t.Current != nil {
		request.Event.AccountSID = t.Current.Credential["account_sid"]
	}
	value, err := resethook.Reset(ctx, request)
	var (
		pending  *resethook.Pending
		unusable *resethook.Unusable
	)
	switch {
	case errors.As(err, &pending):
		return nil, &rotation.NotYet{After: pending.RetryAfter}
	case errors.As(err, &unusable):
		// The same key would get the same answer.
		return nil, &provider.Refused{Detail: unusable.Detail}
	}
	return value, err
}
