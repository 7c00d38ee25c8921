package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

// console is where tokens are reset: the part to replace by a company's own automation. Credentials are the fields that
// Vault keeps for the token's type, such as account_sid and auth_token.
type console interface {
	// show gives the token's credential as the console shows it now. It changes nothing.
	show(context.Context, event) (map[string]string, error)
	// reset resets the token and gives its new credential. Its error leaves it open whether that was done.
	reset(context.Context, event) (map[string]string, error)
}

// errRefused marks what a console will not do however often it is asked. The text around it is logged and answered, so
// it must not hold a secret.
var errRefused = errors.New("the console refuses")

// simulated is the console of the provider simulators.
type simulated struct{ client *simulator.Client }

func (s simulated) show(ctx context.Context, e event) (map[string]string, error) {
	return refusable(s.client.HookShow(ctx, e.simulated()))
}

func (s simulated) reset(ctx context.Context, e event) (map[string]string, error) {
	return refusable(s.client.HookReset(ctx, e.simulated()))
}

func (e event) simulated() simulator.HookToken {
	return simulator.HookToken{TokenType: e.TokenType, AccountSID: e.AccountSID, LoginCustomerID: e.LoginCustomerID}
}

func refusable(credential map[string]string, err error) (map[string]string, error) {
	if mistake, ok := errors.AsType[*simulator.ActionError](err); ok {
		return nil, fmt.Errorf("%w: %w", errRefused, mistake)
	}
	return credential, err
}
