package main

import (
	"context"
	"flag"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

func worldCommands() []command {
	return []command{
		{"fault inject", []string{"SERVICE", "KIND"}, "Make requests to google_token, google_ads, google_iam, impact or " +
			"a platform by rules fail", injectFault},
		{"fault clear", nil, "End all faults", plain(
			func(ctx context.Context, client *simulator.Client, _ []string) (any, error) {
				return nil, client.ClearFaults(ctx)
			})},
		{"hook reset", []string{"TOKEN-TYPE"}, "Reset on behalf of a company's automation and print the new credential", fielded(hookReset)},
		{"clock advance", []string{"DURATION"}, "Move the simulated time, for example by 90m", plain(
			func(ctx context.Context, client *simulator.Client, args []string) (any, error) {
				d, err := time.ParseDuration(args[0])
				if err != nil {
					return nil, cli.Usagef("%w", err)
				}
				return nil, client.AdvanceClock(ctx, d)
			})},
		{"ledger", nil, "Print the requests counted and the secrets issued", plain(
			func(ctx context.Context, client *simulator.Client, _ []string) (any, error) {
				return client.Ledger(ctx)
			})},
		{"state", nil, "Print the whole world", plain(
			func(ctx context.Context, client *simulator.Client, _ []string) (any, error) { return client.State(ctx) })},
	}
}

func injectFault(flags *flag.FlagSet) action {
	var fault simulator.Fault
	flags.StringVar(&fault.Method, "method", "", "only requests with this HTTP `method`")
	flags.StringVar(&fault.Path, "path", "", "only requests with this `text` in their path")
	flags.DurationVar(&fault.Latency, "latency", 0, "hold the answer back for this `duration`")
	flags.IntVar(&fault.Times, "times", 0, "`number` of requests that meet the fault; 0 means until \"fault clear\"")
	flags.IntVar(&fault.Status, "status", 0, "HTTP `status` of the kind status")
	flags.IntVar(&fault.RetryAfter, "retry-after", 0, "`seconds` that a 429 or 503 asks to wait")
	flags.StringVar(&fault.Location, "location", "", "target `URL` of the kind redirect")
	return func(ctx context.Context, client *simulator.Client, args []string) (any, error) {
		fault.Service, fault.Kind = simulator.Service(args[0]), simulator.FaultKind(args[1])
		return nil, client.InjectFault(ctx, fault)
	}
}

func hookReset(flags *flag.FlagSet) action {
	var input simulator.HookToken
	flags.StringVar(&input.AccountSID, "account-sid", "", "impact.com: the account's `SID`")
	flags.StringVar(&input.LoginCustomerID, "login-customer-id", "", "developer token: the manager account's `id`")
	flags.StringVar(&input.Client, "client", simulator.DefaultName, "OAuth client: its `name`")
	return func(ctx context.Context, client *simulator.Client, args []string) (any, error) {
		input.TokenType = args[0]
		return client.HookReset(ctx, input)
	}
}
