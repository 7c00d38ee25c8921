// Command adtokens-simulator plays Google Ads, impact.com and further ad platforms on the loopback interface, for demos and tests, and is the
// console at which a person resets their tokens.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

const usage = `Usage: adtokens-simulator <command> [flags]

Commands:
  serve     serve the simulated providers until interrupted
  console   do what a person does in the providers' consoles
  call      make one request as an app does

"adtokens-simulator <command> -h" explains a command.
`

// The exit codes.
const (
	exitOK = iota
	exitFailure
	exitUsage
)

// errUsage marks mistakes in the command line.
var errUsage = errors.New("wrong usage")

// streams are where a command writes.
type streams struct {
	out, err io.Writer
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], streams{out: os.Stdout, err: os.Stderr})
	stop()
	os.Exit(code)
}

// run returns the exit code.
func run(ctx context.Context, args []string, to streams) int {
	err := dispatch(ctx, args, to)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.Is(err, errUsage):
		fmt.Fprintf(to.err, "adtokens-simulator: %v\n", err)
		return exitUsage
	default:
		fmt.Fprintf(to.err, "adtokens-simulator: %v\n", err)
		return exitFailure
	}
}

func dispatch(ctx context.Context, args []string, to streams) error {
	if len(args) == 0 {
		return fmt.Errorf("%w: name a command: serve, console or call", errUsage)
	}
	switch args[0] {
	case "serve":
		return serve(ctx, args[1:], to)
	case "console":
		return console(ctx, args[1:], to)
	case "call":
		return call(ctx, args[1:], os.Stdin, to)
	case "-h", "-help", "--help", "help":
		fmt.Fprint(to.out, usage)
		return nil
	default:
		return fmt.Errorf("%w: there is no command %q, only serve, console and call", errUsage, args[0])
	}
}

// parse reads flags; help goes to standard output, and mistakes come back as errUsage.
func parse(flags *flag.FlagSet, args []string, to streams) error {
	flags.SetOutput(io.Discard)
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(to.out)
		flags.Usage()
		return err
	case err != nil:
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	return nil
}
