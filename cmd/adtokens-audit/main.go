// Command adtokens-audit answers from Vault's audit logs who knows a token, who rotated it, and what to do when somebody
// leaves or a token has leaked. It never needs, and never shows, a token's value.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// The exit codes.
const (
	exitOK = iota
	exitFailure
	exitUsage
)

// errUsage marks mistakes in the command line.
var errUsage = errors.New("wrong usage")

// streams are what a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// command is a question that the logs answer.
type command struct {
	name, summary string
	// synopsis is what comes after the name on the command line.
	synopsis string
	// help explains the answer and gives examples.
	help string
	// prepare declares the flags, and returns what to do once they are parsed.
	prepare func(*flag.FlagSet) action
}

// action answers the question from the files that are named.
type action func(ctx context.Context, files []string, s streams) error

var commands = []command{
	exposureCommand, staleCommand, leaverCommand, rotationsCommand, incidentCommand, matchCommand, reportCommand,
}

// grace is how long a command may take to end after it was interrupted: it may be stuck in a write that nobody reads.
const grace = 2 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code := make(chan int, 1)
	go func() { code <- run(ctx, os.Args[1:], streams{in: os.Stdin, out: os.Stdout, err: os.Stderr}) }()
	select {
	case c := <-code:
		os.Exit(c)
	case <-ctx.Done():
	}
	select {
	case c := <-code:
		os.Exit(c)
	case <-time.After(grace):
		os.Exit(exitFailure)
	}
}

// errInterrupted is how a command ends early.
var errInterrupted = errors.New("interrupted")

// run returns the exit code.
func run(ctx context.Context, args []string, s streams) int {
	err := dispatch(ctx, args, s)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.Is(err, errUsage):
		fmt.Fprintf(s.err, "adtokens-audit: %s\n", harmlessText(err.Error()))
		return exitUsage
	default:
		fmt.Fprintf(s.err, "adtokens-audit: %s\n", harmlessText(err.Error()))
		return exitFailure
	}
}

func dispatch(ctx context.Context, args []string, s streams) error {
	if len(args) == 0 {
		return fmt.Errorf("%w: name a command; \"adtokens-audit -h\" lists them", errUsage)
	}
	switch args[0] {
	case "-h", "-help", "--help", "help":
		printUsage(s.out)
		return nil
	case "-version", "--version", "version":
		fmt.Fprintln(s.out, programVersion())
		return nil
	}
	for _, c := range commands {
		if c.name == args[0] {
			return c.run(ctx, args[1:], s)
		}
	}
	return fmt.Errorf("%w: there is no command %q; \"adtokens-audit -h\" lists them", errUsage, args[0])
}

func (c *command) run(ctx context.Context, args []string, s streams) error {
	flags := flag.NewFlagSet("adtokens-audit "+c.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	act := c.prepare(flags)
	flags.Usage = func() { c.printUsage(flags) }
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(s.out)
		flags.Usage()
		return err
	case err != nil:
		return fmt.Errorf("%w: %w; \"adtokens-audit %s -h\" lists the flags", errUsage, err, c.name)
	case flags.NArg() == 0:
		return fmt.Errorf("%w: name the audit logs to read, or - for standard input", errUsage)
	}
	for _, file := range flags.Args() {
		if strings.HasPrefix(file, "-") && len(file) > 1 {
			return fmt.Errorf("%w: put %s before the files, or write ./%s if it is one", errUsage, file, file)
		}
	}
	return act(ctx, flags.Args(), s)
}

const introduction = `Usage: adtokens-audit <command> [flags] <audit log>...

Answers from Vault's audit logs who knows an ad platform's token. Audit logs are the files of a file audit device: plain,
gzip or bzip2, as many as there are, in any order; - is standard input. Entries may be wrapped by what has carried them:
docker, Kubernetes, log shippers, a JSON array. A request that several devices have logged counts once, unless a million
other requests of the mount come between its entries.

Commands:
`

const afterword = `
Examples:
  adtokens-audit exposure /var/log/vault/audit.log*
  adtokens-audit stale -token acme-rw /var/log/vault/audit.log*
  adtokens-audit leaver -display-name oidc-jane@acme.example /var/log/vault/audit.log*
  adtokens-audit incident -token acme-rw -since 2026-11-20T14:00:00Z /var/log/vault/audit.log*
  kubectl logs vault-0 | adtokens-audit rotations -output json -

Exit codes: 0 the question is answered, whatever the answer; 1 failed, or some part of a log could not be read, or the logs
do not have the mount, token or name that was asked for; 2 wrong usage. "adtokens-audit <command> -h" explains a command,
"adtokens-audit -version" names the release.
`

func printUsage(out io.Writer) {
	fmt.Fprint(out, introduction)
	for _, c := range commands {
		fmt.Fprintf(out, "  %-10s %s\n", c.name, c.summary)
	}
	fmt.Fprint(out, afterword)
}

func (c *command) printUsage(flags *flag.FlagSet) {
	out := flags.Output()
	fmt.Fprintf(out, "Usage: adtokens-audit %s %s\n\n%s\n\nFlags:\n", c.name, c.synopsis, strings.TrimSpace(c.help))
	flags.PrintDefaults()
}
