package backend

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

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

// askHook has the account's reset hook perform the reset, or say what it performed already. What an operator has to know of
// the value is noted in p.
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
		request.Current = t.Current.Credential
		request.Event.AccountSID = t.Current.Credential["account_sid"]
	}
	answer, err := resethook.Reset(ctx, request)
	var (
		pending  *resethook.Pending
		unusable *resethook.Unusable
	)
	switch {
	case errors.As(err, &pending):
		return nil, &rotation.NotYet{After: pending.RetryAfter}
	case errors.As(err, &unusable):
		// The same key would get the same answer.
		return nil, &rotation.Spent{Detail: unusable.Detail}
	case err != nil:
		return nil, err
	}
	p.Note = answer.Note
	return answer.Credential, nil
}

// verifyObtained asks the provider about a value that the engine has got by itself. A hook's value can lack a field that the
// token has never had.
func verifyObtained(ctx context.Context, a *account, t *token, credential provider.Values) (provider.Verification, error) {
	for _, f := range t.kind.Fields {
		if credential[f.Name] == "" {
			return provider.Verification{}, &rotation.Incomplete{Detail: fmt.Sprintf("the reset hook's new value is kept and not published, "+
				"because it came without %s and the token has none yet: hand %s in alone, with tokens/%s/rotate, and the kept value goes with it", f.Name, f.Name, t.name)}
		}
	}
	return a.platform.Verify(ctx, a.call, t.call(credential))
}

// leftOut are the values of the fields that a person does not hand in. Where no secret is handed in, and a hook has given one
// that is not published, the rest is for that: nobody else has it.
func (t *token) leftOut(given provider.Values) provider.Values {
	values := provider.Values{}
	if t.Current != nil {
		maps.Copy(values, t.Current.Credential)
	}
	isGivenSecret := func(f provider.Field) bool { return f.Secret && given[f.Name] != "" }
	if t.Pending == nil || t.Pending.Source != rotation.SourceHook || slices.ContainsFunc(t.kind.Fields, isGivenSecret) {
		return values
	}
	maps.Copy(values, t.Pending.Credential)
	return values
}
