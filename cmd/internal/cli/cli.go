// Package cli is what the commands have in common: exit codes, help, -version, the error line and the end on a signal.
package cli

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
	ExitOK = iota
	ExitFailure
	ExitUsage
)

// ErrUsage marks mistakes in the command line: the program ends with ExitUsage.
var ErrUsage = errors.New("wrong usage")

// Usagef returns an error about the command line.
func Usagef(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrUsage, fmt.Errorf(format, args...))
}

// Streams are what a program reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Action does what the arguments say, until ctx ends. Its error is what the program prints and what decides the exit code.
type Action func(ctx context.Context, args []string, s Streams) error

// Command is one of several things that a program does.
type Command struct {
	Name, Summary string
	Run           Action
}

// Program is a command of the shell. It has either commands of its own or an action.
type Program struct {
	Name string
	// Introduction and Afterword are what help prints before and after the list of commands.
	Introduction, Afterword string
	Commands                []Command
	// Action gets all arguments but -version. It prints its own help: see Flags.
	Action Action
	// Clean makes an error's text fit for a terminal, where it may quote what others wrote. Nil leaves it as it is.
	Clean func(string) string
	// Grace is how long the program may take to end after a signal. Zero is as long as it needs.
	Grace time.Duration
}

// Main runs the program with the arguments and streams of the process, and ends the process. SIGINT and SIGTERM end the
// action's context.
func (p *Program) Main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code := make(chan int, 1)
	go func() { code <- p.Execute(ctx, os.Args[1:], Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}) }()
	select {
	case c := <-code:
		os.Exit(c)
	case <-ctx.Done():
	}
	var late <-chan time.Time
	if p.Grace > 0 {
		late = time.After(p.Grace)
	}
	select {
	case c := <-code:
		os.Exit(c)
	case <-late:
		os.Exit(ExitFailure)
	}
}

// Execute runs the program, prints its error, and returns the exit code.
func (p *Program) Execute(ctx context.Context, args []string, s Streams) int {
	err := p.dispatch(ctx, args, s)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return ExitOK
	}
	text := err.Error()
	if p.Clean != nil {
		text = p.Clean(text)
	}
	fmt.Fprintf(s.Err, "%s: %s\n", p.Name, text)
	if errors.Is(err, ErrUsage) {
		return ExitUsage
	}
	return ExitFailure
}

func (p *Program) dispatch(ctx context.Context, args []string, s Streams) error {
	first := ""
	if len(args) > 0 {
		first = args[0]
	}
	if first == "-version" || first == "--version" {
		fmt.Fprintln(s.Out, Version())
		return nil
	}
	if p.Action != nil {
		return p.Action(ctx, args, s)
	}
	switch first {
	case "":
		return Usagef("name a command: %s; \"%s -h\" explains them", enumerate(p.names(), "or"), p.Name)
	case "-h", "-help", "--help", "help":
		p.printUsage(s.Out)
		return nil
	case "version":
		fmt.Fprintln(s.Out, Version())
		return nil
	}
	for _, c := range p.Commands {
		if c.Name == first {
			return c.Run(ctx, args[1:], s)
		}
	}
	return p.unknown(first)
}

func (p *Program) names() []string {
	names := make([]string, len(p.Commands))
	for i, c := range p.Commands {
		names[i] = c.Name
	}
	return names
}

func (p *Program) unknown(name string) error {
	if near := Near(name, p.names()); len(near) > 0 {
		return Usagef("there is no command %q; did you mean %s? \"%s -h\" lists them", name, enumerate(near, "or"), p.Name)
	}
	return Usagef("there is no command %q, only %s; \"%s -h\" explains them", name, enumerate(p.names(), "and"), p.Name)
}

func (p *Program) printUsage(out io.Writer) {
	width := 0
	for _, c := range p.Commands {
		width = max(width, len(c.Name))
	}
	fmt.Fprint(out, p.Introduction)
	for _, c := range p.Commands {
		fmt.Fprintf(out, "  %-*s  %s\n", width, c.Name, c.Summary)
	}
	fmt.Fprint(out, p.Afterword)
}

// Flags returns an empty set of flags, whose help is the usage and the list of the flags. Its name is what was typed so far.
func Flags(name, usage string) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), usage)
		flags.PrintDefaults()
	}
	return flags
}

// Parse reads the flags. Help goes to standard output, and then the error is flag.ErrHelp; a mistake is an ErrUsage.
func Parse(flags *flag.FlagSet, args []string, s Streams) error {
	flags.SetOutput(io.Discard)
	err := flags.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		flags.SetOutput(s.Out)
		flags.Usage()
		return err
	case err != nil:
		return Usagef("%w; \"%s -h\" lists the flags", err, flags.Name())
	}
	return nil
}

// enumerate writes a list as a sentence has it: a, b and c.
func enumerate(names []string, conjunction string) string {
	last := len(names) - 1
	if last < 1 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:last], ", ") + " " + conjunction + " " + names[last]
}
