package cli_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

// grow takes a flag and one argument.
func grow(_ context.Context, args []string, s cli.Streams) error {
	flags := cli.Flags("garden grow", "Usage: garden grow [flags] PLANT\n\nFlags:\n")
	fast := flags.Bool("fast", false, "do not wait for rain")
	if err := cli.Parse(flags, args, s); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return cli.Usagef("name one plant")
	}
	if !*fast {
		return errors.New("it does not rain\a")
	}
	_, err := s.Out.Write([]byte(flags.Arg(0) + "\n"))
	return err
}

func water(ctx context.Context, _ []string, s cli.Streams) error {
	if _, err := s.Out.Write([]byte("watering\n")); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// stall is deaf to its context.
func stall(_ context.Context, _ []string, s cli.Streams) error {
	if _, err := s.Out.Write([]byte("stalling\n")); err != nil {
		return err
	}
	select {}
}

var garden = cli.Program{
	Name: "garden", Introduction: "Usage: garden <command>\n\nCommands:\n", Afterword: "\nEnd.\n",
	Commands: []cli.Command{{"grow", "grow a plant", grow}, {"water", "water all plants", water}, {"stall", "wait for ever", stall}},
	Clean:    func(text string) string { return strings.ReplaceAll(text, "\a", "") },
	Grace:    10 * time.Millisecond,
}

// asProgram has the test binary be the program.
const asProgram = "ADTOKENS_CLI_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		garden.Main()
	}
	os.Exit(m.Run())
}

func TestProgram_Execute(t *testing.T) {
	t.Parallel()
	const usage = "Usage: garden <command>\n\nCommands:\n  grow   grow a plant\n  water  water all plants\n  stall  wait for ever\n\nEnd.\n"
	single := cli.Program{Name: "grow", Action: grow}
	for name, tt := range map[string]struct {
		program  *cli.Program
		args     string
		code     int
		out, err string
	}{
		"done":            {&garden, "grow -fast basil", cli.ExitOK, "basil\n", ""},
		"failed":          {&garden, "grow basil", cli.ExitFailure, "", "garden: it does not rain\n"},
		"mistake":         {&garden, "grow", cli.ExitUsage, "", "garden: wrong usage: name one plant\n"},
		"no flag":         {&garden, "grow -slow", cli.ExitUsage, "", "garden: wrong usage: flag provided but not defined: -slow; \"garden grow -h\" lists the flags\n"},
		"no command":      {&garden, "", cli.ExitUsage, "", "garden: wrong usage: name a command: grow, water or stall; \"garden -h\" explains them\n"},
		"near command":    {&garden, "gorw", cli.ExitUsage, "", "garden: wrong usage: there is no command \"gorw\"; did you mean grow? \"garden -h\" lists them\n"},
		"unknown command": {&garden, "prune", cli.ExitUsage, "", "garden: wrong usage: there is no command \"prune\", only grow, water and stall; \"garden -h\" explains them\n"},
		"help":            {&garden, "-h", cli.ExitOK, usage, ""},
		"help, in full":   {&garden, "--help", cli.ExitOK, usage, ""},
		"help, a word":    {&garden, "help", cli.ExitOK, usage, ""},
		"help of command": {&garden, "grow -h", cli.ExitOK, "Usage: garden grow [flags] PLANT\n\nFlags:\n  -fast\n    \tdo not wait for rain\n", ""},
		"version":         {&garden, "-version", cli.ExitOK, cli.Version() + "\n", ""},
		"version, a word": {&garden, "version", cli.ExitOK, cli.Version() + "\n", ""},
		"only one action": {&single, "-fast basil", cli.ExitOK, "basil\n", ""},
		"its version":     {&single, "-version", cli.ExitOK, cli.Version() + "\n", ""},
		"its argument":    {&single, "-fast version", cli.ExitOK, "version\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out, errOut bytes.Buffer
			code := tt.program.Execute(t.Context(), strings.Fields(tt.args), cli.Streams{Out: &out, Err: &errOut})
			if code != tt.code || out.String() != tt.out || errOut.String() != tt.err {
				t.Errorf("got %d, %q and %q; want %d, %q and %q", code, out.String(), errOut.String(), tt.code, tt.out, tt.err)
			}
		})
	}
}

func TestProgram_MainEndsOnASignal(t *testing.T) {
	t.Parallel()
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		for command, code := range map[string]int{"water": cli.ExitOK, "stall": cli.ExitFailure} {
			t.Run(command+" "+signal.String(), func(t *testing.T) {
				t.Parallel()
				program := exec.CommandContext(t.Context(), os.Args[0], command)
				program.Env = append(os.Environ(), asProgram+"=1")
				out, err := program.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := program.Start(); err != nil {
					t.Fatal(err)
				}
				if _, err := out.Read(make([]byte, 1)); err != nil { // it listens once it writes
					t.Fatal(err)
				}
				if err := program.Process.Signal(signal); err != nil {
					t.Fatal(err)
				}
				err = program.Wait()
				if exit, ok := errors.AsType[*exec.ExitError](err); (err != nil && !ok) || (ok && exit.ExitCode() != code) || (!ok && code != cli.ExitOK) {
					t.Errorf("it ended with %v, want exit code %d", err, code)
				}
			})
		}
	}
}

func TestParse_HelpIsNoMistake(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	err := cli.Parse(cli.Flags("garden", "Usage: garden\n"), []string{"-help"}, cli.Streams{Out: &out})
	if !errors.Is(err, flag.ErrHelp) || errors.Is(err, cli.ErrUsage) || out.String() != "Usage: garden\n" {
		t.Errorf("got %v and %q", err, out.String())
	}
}

func TestNear(t *testing.T) {
	t.Parallel()
	names := []string{"exposure", "stale", "leaver", "rotations"}
	for name, want := range map[string][]string{
		"expose": {"exposure"}, "rotation": {"rotations"}, "Leaver/": {"leaver"}, "laver": {"leaver"}, "incident": nil, "": nil,
	} {
		if got := cli.Near(name, names); !slices.Equal(got, want) {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}
