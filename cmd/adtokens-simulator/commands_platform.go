package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

// credential is an action on the credential that the first two arguments name.
func credential(act func(context.Context, *simulator.Client, simulator.PlatformName) (any, error)) func(*flag.FlagSet) action {
	return plain(func(ctx context.Context, client *simulator.Client, args []string) (any, error) {
		return act(ctx, client, simulator.PlatformName{Platform: args[0], Name: args[1]})
	})
}

// someFields is an action on the fields of the credential that -fields names.
func someFields(act func(*simulator.Client, context.Context, simulator.PlatformFields) error) func(*flag.FlagSet) action {
	return func(flags *flag.FlagSet) action {
		fields := flags.String("fields", "", "comma-separated `fields`, by default all secret ones that only this credential has")
		return func(ctx context.Context, client *simulator.Client, args []string) (any, error) {
			return nil, act(client, ctx, simulator.PlatformFields{
				PlatformName: simulator.PlatformName{Platform: args[0], Name: args[1]}, Fields: commaSeparated(*fields),
			})
		}
	}
}

func commaSeparated(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' })
}

func platformCommands() []command {
	one := []string{"PLATFORM", "NAME"}
	return []command{
		{"platform list", nil, "Print the platforms by rules, with the kinds of credential that each has", plain(
			func(ctx context.Context, client *simulator.Client, _ []string) (any, error) {
				return client.Platforms(ctx)
			})},
		{"platform add", []string{"FILE"}, "Serve a script of rules from now on and print the platform's name", plain(
			func(ctx context.Context, client *simulator.Client, args []string) (any, error) {
				script, err := os.ReadFile(args[0])
				if err != nil {
					return nil, fmt.Errorf("reading the script: %w", err)
				}
				return client.AddPlatform(ctx, string(script))
			})},
		{"platform make", []string{"PLATFORM", "KIND", "NAME"}, "Make a credential and print its fields", fielded(plain(
			func(ctx context.Context, client *simulator.Client, args []string) (any, error) {
				return client.MakeCredential(ctx, simulator.PlatformName{Platform: args[0], Name: args[2]}, args[1])
			}))},
		{"platform show", one, "Print the newest live fields of a credential", fielded(credential(
			func(ctx context.Context, client *simulator.Client, credential simulator.PlatformName) (any, error) {
				return client.Credential(ctx, credential)
			}))},
		{"platform reset", one, "Press the button that gives new values and print the credential", fielded(resetCredential)},
		{"platform revoke", one, "End values", someFields((*simulator.Client).RevokeCredential)},
		{"platform expire", one, "Bring values to the end of their life", someFields((*simulator.Client).ExpireCredential)},
		{"platform rights", []string{"PLATFORM", "NAME", "RIGHTS"}, "Leave a credential genuine and have its rights granted or denied", plain(
			func(ctx context.Context, client *simulator.Client, args []string) (any, error) {
				if args[2] != "granted" && args[2] != "denied" {
					return nil, cli.Usagef("rights are granted or denied, not %q", args[2])
				}
				return nil, client.DenyRights(ctx, simulator.PlatformName{Platform: args[0], Name: args[1]}, args[2] == "denied")
			})},
		{"platform live", one, "Print all values that a credential has alive", credential(
			func(ctx context.Context, client *simulator.Client, credential simulator.PlatformName) (any, error) {
				return client.LiveValues(ctx, credential)
			})},
		{"platform calls", []string{"PLATFORM"}, "Print the last calls, without values", plain(
			func(ctx context.Context, client *simulator.Client, args []string) (any, error) {
				return client.PlatformCalls(ctx, args[0])
			})},
		{"platform consent", []string{"ADDRESS"}, "Allow what a consent page asks for and print where it sends the browser", plain(
			func(ctx context.Context, client *simulator.Client, args []string) (any, error) {
				back, err := client.Consent(ctx, args[0])
				if err != nil {
					return nil, err
				}
				return back.String(), nil
			})},
	}
}

func resetCredential(flags *flag.FlagSet) action {
	fields := flags.String("fields", "", "comma-separated `fields` to give new values, by default those that the platform's button is for")
	previous := flags.String("previous", "", "`what` becomes of the values before, lives or dies, by default as the platform has it")
	return func(ctx context.Context, client *simulator.Client, args []string) (any, error) {
		return client.ResetCredential(ctx, simulator.PlatformReset{
			PlatformName: simulator.PlatformName{Platform: args[0], Name: args[1]}, Fields: commaSeparated(*fields), Previous: *previous,
		})
	}
}
