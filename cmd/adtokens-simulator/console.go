package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

// controlVariable names the environment variable with the control API's URL.
const controlVariable = "ADTOKENS_SIMULATOR_CONTROL"

// consoleTimeout bounds one console action.
const consoleTimeout = 30 * time.Second

// command is one console action.
type command struct {
	// path is what is typed after "console".
	path string
	// args names the positional arguments, all required.
	args    []string
	summary string
	// prepare declares the flags and returns what to do once they are parsed.
	prepare func(*flag.FlagSet) action
}

// action runs against the simulator. A string result is printed bare, nil not at all, anything else as JSON.
type action func(ctx context.Context, client *simulator.Client, args []string) (any, error)

func console(ctx context.Context, args []string, s cli.Streams) error {
	flags := flag.NewFlagSet("adtokens-simulator console", flag.ContinueOnError)
	control := flags.String("control", os.Getenv(controlVariable), "base `URL` of the control API (environment: "+controlVariable+")")
	flags.Usage = func() { printCommands(flags) }
	if err := cli.Parse(flags, args, s); err != nil {
		return err
	}
	command, rest, err := findCommand(flags.Args())
	if err != nil {
		return err
	}
	flags = flag.NewFlagSet("adtokens-simulator console "+command.path, flag.ContinueOnError)
	act := command.prepare(flags)
	flags.Usage = func() { command.printUsage(flags) }
	// Arguments may stand before the flags as well as behind them.
	firstFlag := slices.IndexFunc(rest, func(arg string) bool { return strings.HasPrefix(arg, "-") })
	if firstFlag < 0 {
		firstFlag = len(rest)
	}
	if err := cli.Parse(flags, rest[firstFlag:], s); err != nil {
		return err
	}
	arguments := slices.Concat(rest[:firstFlag], flags.Args())
	if len(arguments) != len(command.args) {
		return cli.Usagef("type console %s", command.synopsis())
	}
	if *control == "" {
		return cli.Usagef("say where the simulator is, with -control or %s", controlVariable)
	}
	ctx, cancel := context.WithTimeout(ctx, consoleTimeout)
	defer cancel()
	result, err := act(ctx, simulator.NewClient(*control), arguments)
	if err != nil {
		return err
	}
	return printResult(s.Out, result)
}

// findCommand matches the longest path, of one or two words.
func findCommand(args []string) (command, []string, error) {
	all := commands()
	for words := min(2, len(args)); words > 0; words-- {
		path := strings.Join(args[:words], " ")
		if i := slices.IndexFunc(all, func(c command) bool { return c.path == path }); i >= 0 {
			return all[i], args[words:], nil
		}
	}
	return command{}, nil, cli.Usagef("there is no console action %q; \"adtokens-simulator console -h\" lists them",
		strings.Join(args[:min(2, len(args))], " "))
}

func (c command) synopsis() string {
	return strings.Join(append([]string{c.path}, c.args...), " ")
}

func (c command) printUsage(flags *flag.FlagSet) {
	fmt.Fprintf(flags.Output(), "Usage: adtokens-simulator console [-control URL] %s [flags]\n\n%s.\n", c.synopsis(), c.summary)
	flags.PrintDefaults()
}

func printCommands(flags *flag.FlagSet) {
	fmt.Fprint(flags.Output(), "Usage: adtokens-simulator console [-control URL] <action> [flags] [arguments]\n\nFlags:\n")
	flags.PrintDefaults()
	fmt.Fprint(flags.Output(), "\nActions:\n")
	for _, c := range commands() {
		fmt.Fprintf(flags.Output(), "  %-42s %s\n", c.synopsis(), c.summary)
	}
}

func printResult(out io.Writer, result any) error {
	switch result := result.(type) {
	case nil:
		return nil
	case string:
		_, err := fmt.Fprintln(out, result)
		return err
	default:
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false) // values must come out as they went in
		encoder.SetIndent("", "  ")
		return encoder.Encode(result)
	}
}

// commands lists all console actions.
func commands() []command {
	return slices.Concat(googleCommands(), oauthCommands(), serviceAccountCommands(), impactCommands(), scopedCommands(), platformCommands(),
		worldCommands())
}

// plain is an action without flags.
func plain(act action) func(*flag.FlagSet) action {
	return func(*flag.FlagSet) action { return act }
}

// named is an action on the entry that a flag names.
func named(flagName, byDefault string, act func(context.Context, *simulator.Client, string) (any, error)) func(*flag.FlagSet) action {
	return func(flags *flag.FlagSet) action {
		name := flags.String(flagName, byDefault, "`name` of the "+flagName)
		return func(ctx context.Context, client *simulator.Client, _ []string) (any, error) {
			return act(ctx, client, *name)
		}
	}
}

// fielded adds a flag that prints one field of the result bare.
func fielded(prepare func(*flag.FlagSet) action) func(*flag.FlagSet) action {
	return func(flags *flag.FlagSet) action {
		field := flags.String("field", "", "print only this `field`, bare")
		act := prepare(flags)
		return func(ctx context.Context, client *simulator.Client, args []string) (any, error) {
			result, err := act(ctx, client, args)
			if err != nil || *field == "" {
				return result, err
			}
			return pick(result, *field)
		}
	}
}

// pick returns one field of a result, by its JSON name.
func pick(result any, field string) (any, error) {
	text, err := json.Marshal(result)
	if err != nil {
		return nil, fmt.Errorf("encoding the result: %w", err)
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, fmt.Errorf("the result has no fields: %w", err)
	}
	value, ok := fields[field]
	if !ok {
		return nil, cli.Usagef("the result has no field %q", field)
	}
	return value, nil
}
