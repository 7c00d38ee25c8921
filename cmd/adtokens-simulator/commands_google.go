package main

import (
	"context"
	"errors"
	"flag"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

func googleCommands() []command {
	return []command{
		{"google reset-developer-token", nil, "Reset the developer token and print the new one", plain(
			func(ctx context.Context, client *simulator.Client, _ []string) (any, error) {
				return client.ResetDeveloperToken(ctx)
			})},
		{"google show-developer-token", nil, "Print the developer token", plain(
			func(ctx context.Context, client *simulator.Client, _ []string) (any, error) {
				return client.DeveloperToken(ctx)
			})},
		{"google developer-token-mode", []string{"MODE"}, "Treat the developer-token header as enforced, ignored (since September 2026) or " +
			"header_refused", plain(
			func(ctx context.Context, client *simulator.Client, args []string) (any, error) {
				return nil, client.SetDeveloperTokenMode(ctx, simulator.DeveloperTokenMode(args[0]))
			})},
		{"google developer-token-status", []string{"STATUS"}, "Make the developer token approved, not_approved, prohibited or " +
			"not_on_allowlist", plain(
			func(ctx context.Context, client *simulator.Client, args []string) (any, error) {
				return nil, client.SetDeveloperTokenStatus(ctx, simulator.DeveloperTokenStatus(args[0]))
			})},
		{"google project-access", []string{"ACCESS"}, "Make the Cloud project approved, not_approved, disabled, not_under_organization, " +
			"service_denied, no_terms, incomplete_signup or api_disabled", plain(
			func(ctx context.Context, client *simulator.Client, args []string) (any, error) {
				return nil, client.SetProjectAccess(ctx, simulator.ProjectAccess(args[0]))
			})},
	}
}

// oauthClient is an action on the OAuth client that -client names.
func oauthClient(act func(context.Context, *simulator.Client, string) (any, error)) func(*flag.FlagSet) action {
	return named("client", simulator.DefaultName, act)
}

// clientSecret is an action on the client secret that the argument is.
func clientSecret(act func(*simulator.Client, context.Context, string, string) error) func(*flag.FlagSet) action {
	return func(flags *flag.FlagSet) action {
		name := flags.String("client", simulator.DefaultName, "`name` of the client")
		return func(ctx context.Context, client *simulator.Client, args []string) (any, error) {
			return nil, act(client, ctx, *name, args[0])
		}
	}
}

func oauthCommands() []command {
	return []command{
		{"google create-oauth-client", []string{"NAME"}, "Create an OAuth client with a secret and a refresh token", fielded(plain(
			func(ctx context.Context, client *simulator.Client, args []string) (any, error) {
				return client.CreateOAuthClient(ctx, args[0])
			}))},
		{"google show-oauth-client", nil, "Print the newest live values of an OAuth client", fielded(oauthClient(
			func(ctx context.Context, client *simulator.Client, name string) (any, error) {
				return client.OAuthClient(ctx, name)
			}))},
		{"google add-client-secret", nil, "Add a second secret and print the client's newest values", fielded(oauthClient(
			func(ctx context.Context, client *simulator.Client, name string) (any, error) {
				return client.AddClientSecret(ctx, name)
			}))},
		{"google disable-client-secret", []string{"SECRET"}, "Disable a client secret", clientSecret((*simulator.Client).DisableClientSecret)},
		{"google delete-client-secret", []string{"SECRET"}, "Delete a disabled client secret", clientSecret((*simulator.Client).DeleteClientSecret)},
		{"google new-consent", nil, "Add a refresh token and print the client's newest values", fielded(oauthClient(
			func(ctx context.Context, client *simulator.Client, name string) (any, error) {
				return client.NewConsent(ctx, name)
			}))},
		{"google withdraw-consent", nil, "End all refresh tokens of a client", oauthClient(
			func(ctx context.Context, client *simulator.Client, name string) (any, error) {
				return nil, client.WithdrawConsent(ctx, name)
			})},
		{"google oauth-client-state", []string{"STATE"}, "Make an OAuth client active, disabled, deleted or session_ended", oauthClientState},
		{"google ads-access", []string{"ACCESS"}, "Give the user of an OAuth client, or a service account, the access granted, none or " +
			"no_two_step", adsAccess},
		{"google revocation", []string{"SCOPE"}, "Have a revocation end the token, or the whole consent of user and client", plain(
			func(ctx context.Context, client *simulator.Client, args []string) (any, error) {
				return nil, client.SetRevocation(ctx, simulator.RevocationScope(args[0]))
			})},
		{"google publishing-status", []string{"STATUS"}, "Put the OAuth apps into production or testing, where refresh tokens live 7 days", plain(
			func(ctx context.Context, client *simulator.Client, args []string) (any, error) {
				return nil, client.SetPublishingStatus(ctx, simulator.PublishingStatus(args[0]))
			})},
		{"google token-uri", []string{"ADDRESS"}, "Have new key files name this token endpoint, such as Google's own behind a proxy", plain(
			func(ctx context.Context, client *simulator.Client, args []string) (any, error) {
				return nil, client.SetTokenURI(ctx, args[0])
			})},
		{"google expires-in", []string{"WAY"}, "Have the life of access tokens told or omitted", plain(
			func(ctx context.Context, client *simulator.Client, args []string) (any, error) {
				return nil, client.SetExpiresIn(ctx, simulator.ExpiresIn(args[0]))
			})},
	}
}

func oauthClientState(flags *flag.FlagSet) action {
	name := flags.String("client", simulator.DefaultName, "`name` of the client")
	return func(ctx context.Context, client *simulator.Client, args []string) (any, error) {
		return nil, client.SetOAuthClientState(ctx, *name, simulator.OAuthClientState(args[0]))
	}
}

// adsAccess is about the default OAuth client unless a flag names another identity.
func adsAccess(flags *flag.FlagSet) action {
	name := flags.String("client", "", "`name` of the client (default \""+simulator.DefaultName+"\")")
	account := flags.String("service-account", "", "`name` of the service account, instead of a client")
	return func(ctx context.Context, client *simulator.Client, args []string) (any, error) {
		access := simulator.AdsAccess(args[0])
		switch {
		case *name != "" && *account != "":
			return nil, errors.New("ads-access is about either an OAuth client or a service account")
		case *account != "":
			return nil, client.SetServiceAccountAdsAccess(ctx, *account, access)
		case *name == "":
			*name = simulator.DefaultName
		}
		return nil, client.SetClientAdsAccess(ctx, *name, access)
	}
}

// serviceAccount is an action on the service account that -service-account names.
func serviceAccount(act func(context.Context, *simulator.Client, string) (any, error)) func(*flag.FlagSet) action {
	return named("service-account", simulator.DefaultName, act)
}

// key is an action on the service account key whose id is the argument.
func key(act func(*simulator.Client, context.Context, simulator.KeyName) error) func(*flag.FlagSet) action {
	return func(flags *flag.FlagSet) action {
		account := flags.String("service-account", simulator.DefaultName, "`name` of the service account")
		return func(ctx context.Context, client *simulator.Client, args []string) (any, error) {
			return nil, act(client, ctx, simulator.KeyName{ServiceAccount: *account, ID: args[0]})
		}
	}
}

func serviceAccountCommands() []command {
	return []command{
		{"google create-service-account", []string{"NAME"}, "Create a service account and print its first key file", plain(
			func(ctx context.Context, client *simulator.Client, args []string) (any, error) {
				return client.CreateServiceAccount(ctx, args[0])
			})},
		{"google show-service-account-key", nil, "Print the newest key file of a service account", serviceAccount(
			func(ctx context.Context, client *simulator.Client, name string) (any, error) {
				return client.ServiceAccountKey(ctx, name)
			})},
		{"google list-service-account-keys", nil, "Print all keys that a service account ever had", serviceAccount(
			func(ctx context.Context, client *simulator.Client, name string) (any, error) {
				return client.ServiceAccountKeys(ctx, name)
			})},
		{"google create-service-account-key", nil, "Create one more key and print its file", serviceAccount(
			func(ctx context.Context, client *simulator.Client, name string) (any, error) {
				return client.CreateServiceAccountKey(ctx, name)
			})},
		{"google disable-service-account-key", []string{"KEY-ID"}, "Disable a key", key((*simulator.Client).DisableServiceAccountKey)},
		{"google enable-service-account-key", []string{"KEY-ID"}, "Enable a disabled key", key((*simulator.Client).EnableServiceAccountKey)},
		{"google delete-service-account-key", []string{"KEY-ID"}, "Delete a key", key((*simulator.Client).DeleteServiceAccountKey)},
		{"google key-administration", []string{"PERMISSION"}, "Make managing keys allowed or denied to a service account", keyAdministration},
		{"google show-iam-settings", nil, "Print how the IAM API behaves", plain(
			func(ctx context.Context, client *simulator.Client, _ []string) (any, error) {
				return client.IAMSettings(ctx)
			})},
		{"google configure-iam", nil, "Change how the IAM API behaves", configureIAM},
	}
}

func keyAdministration(flags *flag.FlagSet) action {
	account := flags.String("service-account", simulator.DefaultName, "`name` of the service account")
	return func(ctx context.Context, client *simulator.Client, args []string) (any, error) {
		return nil, client.SetKeyAdministration(ctx, *account, simulator.KeyAdministration(args[0]))
	}
}

// configureIAM changes the settings whose flags are given and leaves the others.
func configureIAM(flags *flag.FlagSet) action {
	var changes []func(*simulator.IAMSettings)
	duration := func(name, usage string, field func(*simulator.IAMSettings) *time.Duration) {
		flags.Func(name, usage, func(text string) error {
			d, err := time.ParseDuration(text)
			changes = append(changes, func(settings *simulator.IAMSettings) { *field(settings) = d })
			return err
		})
	}
	duration("propagation", "refuse fresh keys for this `duration`",
		func(s *simulator.IAMSettings) *time.Duration { return &s.KeyPropagation })
	duration("deletion-delay", "accept deleted keys for this `duration`",
		func(s *simulator.IAMSettings) *time.Duration { return &s.KeyDeletionDelay })
	duration("list-lag", "hide changes from reads for this `duration`",
		func(s *simulator.IAMSettings) *time.Duration { return &s.KeyListLag })
	flags.Func("limit-error", "`how` to refuse an 11th key: resource_exhausted or failed_precondition", func(text string) error {
		changes = append(changes, func(s *simulator.IAMSettings) { s.KeyLimitError = simulator.KeyLimitError(text) })
		return nil
	})
	duration("key-life", "let new keys end after this `duration`; 0s is never",
		func(s *simulator.IAMSettings) *time.Duration { return &s.KeyLife })
	flags.Func("key-creation", "organisation `policy`: allowed, forbidden (legacy) or forbidden_managed", func(text string) error {
		changes = append(changes, func(s *simulator.IAMSettings) { s.KeyCreation = simulator.KeyCreation(text) })
		return nil
	})
	return func(ctx context.Context, client *simulator.Client, _ []string) (any, error) {
		settings, err := client.IAMSettings(ctx)
		if err != nil {
			return nil, err
		}
		for _, change := range changes {
			change(&settings)
		}
		return nil, client.ConfigureIAM(ctx, settings)
	}
}
