package main

import (
	"context"
	"flag"
	"strconv"
	"strings"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

// account is an action on the impact.com account that -account names.
func account(act func(context.Context, *simulator.Client, string) (any, error)) func(*flag.FlagSet) action {
	return named("account", string(simulator.Agency), act)
}

func impactCommands() []command {
	return []command{
		{"impact create-account", []string{"NAME", "KIND"}, "Create an account of kind agency, brand or partner", plain(
			func(ctx context.Context, client *simulator.Client, args []string) (any, error) {
				return nil, client.CreateImpactAccount(ctx, args[0], simulator.AccountKind(args[1]))
			})},
		{"impact enable-legacy-tokens", nil, "Enable the legacy tokens of an account", account(
			func(ctx context.Context, client *simulator.Client, name string) (any, error) {
				_, err := client.EnableLegacyTokens(ctx, name)
				return nil, err
			})},
		{"impact show-credentials", nil, "Print the legacy tokens of an account", showCredentials},
		{"impact reset-read-write", nil, "Reset the read/write token and print the new auth token", account(
			func(ctx context.Context, client *simulator.Client, name string) (any, error) {
				credential, err := client.ResetReadWrite(ctx, name)
				return credential.AuthToken, err
			})},
		{"impact reset-read-only", nil, "Reset the read-only token and print the new auth token", account(
			func(ctx context.Context, client *simulator.Client, name string) (any, error) {
				credential, err := client.ResetReadOnly(ctx, name)
				return credential.AuthToken, err
			})},
		{"impact upgrade-api-version", []string{"VERSION"}, "Upgrade the API version of the legacy tokens", upgradeAPIVersion},
		{"impact rate-limit", []string{"REQUESTS"}, "Let each account make so many requests an hour", plain(
			func(ctx context.Context, client *simulator.Client, args []string) (any, error) {
				requests, err := number(args[0])
				if err != nil {
					return nil, err
				}
				return nil, client.SetImpactRateLimit(ctx, requests)
			})},
	}
}

func number(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, cli.Usagef("%q is not a whole number", text)
	}
	return n, nil
}

func showCredentials(flags *flag.FlagSet) action {
	token := flags.String("token", "read-write", "which token: read-write or read-only")
	return fielded(account(func(ctx context.Context, client *simulator.Client, name string) (any, error) {
		credentials, err := client.ImpactCredentials(ctx, name)
		switch *token {
		case "read-write":
			return credentials.ReadWrite, err
		case "read-only":
			return credentials.ReadOnly, err
		default:
			return nil, cli.Usagef("-token is read-write or read-only, not %q", *token)
		}
	}))(flags)
}

func upgradeAPIVersion(flags *flag.FlagSet) action {
	name := flags.String("account", string(simulator.Agency), "`name` of the account")
	return func(ctx context.Context, client *simulator.Client, args []string) (any, error) {
		version, err := number(args[0])
		if err != nil {
			return nil, err
		}
		return nil, client.UpgradeAPIVersion(ctx, *name, version)
	}
}

// scoped is an action on the scoped token that the first argument names.
func scoped(act func(context.Context, *simulator.Client, simulator.ScopedTokenName, []string) (any, error)) func(*flag.FlagSet) action {
	return func(flags *flag.FlagSet) action {
		account := flags.String("account", string(simulator.Agency), "`name` of the account")
		return func(ctx context.Context, client *simulator.Client, args []string) (any, error) {
			return act(ctx, client, simulator.ScopedTokenName{Account: *account, Name: args[0]}, args[1:])
		}
	}
}

func scopedCommands() []command {
	return []command{
		{"impact create-scoped-token", []string{"NAME"}, "Create a scoped token", fielded(createScopedToken)},
		{"impact show-scoped-token", []string{"NAME"}, "Print a scoped token", fielded(scoped(
			func(ctx context.Context, client *simulator.Client, token simulator.ScopedTokenName, _ []string) (any, error) {
				return client.ScopedToken(ctx, token)
			}))},
		{"impact duplicate-scoped-token", []string{"NAME", "NEW-NAME"}, "Duplicate a scoped token", fielded(scoped(
			func(ctx context.Context, client *simulator.Client, token simulator.ScopedTokenName, args []string) (any, error) {
				return client.DuplicateScopedToken(ctx, token, args[0])
			}))},
		{"impact reset-scoped-token", []string{"NAME"}, "Reset a scoped token and print the new auth token", scoped(
			func(ctx context.Context, client *simulator.Client, token simulator.ScopedTokenName, _ []string) (any, error) {
				reset, err := client.ResetScopedToken(ctx, token)
				return reset.AuthToken, err
			})},
		{"impact upgrade-scoped-token", []string{"NAME", "VERSION"}, "Upgrade the API version of a scoped token", scoped(
			func(ctx context.Context, client *simulator.Client, token simulator.ScopedTokenName, args []string) (any, error) {
				version, err := number(args[0])
				if err != nil {
					return nil, err
				}
				return nil, client.UpgradeScopedToken(ctx, token, version)
			})},
		{"impact disable-scoped-token", []string{"NAME"}, "Disable a scoped token", scoped(
			func(ctx context.Context, client *simulator.Client, token simulator.ScopedTokenName, _ []string) (any, error) {
				return nil, client.DisableScopedToken(ctx, token)
			})},
		{"impact delete-scoped-token", []string{"NAME"}, "Delete a scoped token", scoped(
			func(ctx context.Context, client *simulator.Client, token simulator.ScopedTokenName, _ []string) (any, error) {
				return nil, client.DeleteScopedToken(ctx, token)
			})},
	}
}

func createScopedToken(flags *flag.FlagSet) action {
	var input simulator.ScopedTokenInput
	flags.StringVar(&input.Account, "account", string(simulator.Agency), "`name` of the account")
	flags.StringVar(&input.Contact, "contact", "", "primary `contact`")
	flags.IntVar(&input.APIVersion, "api-version", 0, "API `version`, the current one when 0")
	scopes := flags.String("scopes", "CompanyInformation", "comma-separated `endpoints` that the token may call")
	return func(ctx context.Context, client *simulator.Client, args []string) (any, error) {
		input.Name = args[0]
		input.Scopes = strings.FieldsFunc(*scopes, func(r rune) bool { return r == ',' })
		return client.CreateScopedToken(ctx, input)
	}
}
