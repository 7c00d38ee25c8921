package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-audit/auditlog"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

// query is what all questions have in common.
type query struct {
	mount        string
	since, until moment
	output       format
	follow       bool
	// token is the only one to tell of; empty for all of them.
	token string
	// shows tells which entries are events to print; nil stands for all of them.
	shows func(*auditlog.Entry) bool
	// counted is called for every entry that was counted, if it is not nil.
	counted func(*auditlog.Entry)
	// names is set if the question needs the names of everybody in the logs.
	names bool
}

func (q *query) declareMount(flags *flag.FlagSet) {
	flags.StringVar(&q.mount, "mount", "adtokens/", "`path` of the engine's mount; with its namespace before it, only the mount there")
}

// declareRange declares the flags that select entries.
func (q *query) declareRange(flags *flag.FlagSet) {
	q.declareMount(flags)
	flags.Var(&q.since, "since", "leave out what happened before this `time`: RFC 3339, a date (UTC), or a duration back from now such as 72h")
	flags.Var(&q.until, "until", "leave out what happened after this `time`")
}

func (q *query) declareOutput(flags *flag.FlagSet) {
	flags.Var(&q.output, "output", "`format` of the answer: table, json or csv")
	flags.BoolVar(&q.follow, "follow", false, "after the answer, go on with the last file as it grows, and print each further event until interrupted (table and json)")
}

func (q *query) declareToken(flags *flag.FlagSet, usage string) {
	flags.StringVar(&q.token, "token", "", usage+"; with its namespace before it, only the one there")
}

// moment is a flag for a point in time.
type moment struct{ time.Time }

func (m *moment) String() string {
	if m.IsZero() {
		return ""
	}
	return m.UTC().Format(time.RFC3339)
}

// Set reads a time, a date or a duration.
func (m *moment) Set(text string) error {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			m.Time = t.UTC()
			return nil
		}
	}
	ago, err := time.ParseDuration(text)
	if err != nil || ago < 0 {
		return errors.New("write a time like 2026-11-20T14:00:00Z, a date like 2026-11-20, or a duration like 72h")
	}
	m.Time = time.Now().UTC().Add(-ago)
	return nil
}

// selects reports whether a time is part of the question.
func (q *query) selects(t time.Time) bool {
	return !t.Before(q.since.Time) && (q.until.IsZero() || !t.After(q.until.Time))
}

// findings are what the logs say.
type findings struct {
	*auditlog.Tally
	parser *auditlog.Parser
	stats  auditlog.Stats
	files  int
	// problem is what part of the logs could not be read, and why.
	problem error
	// others are tokens with entries that are not part of the question, being of other times.
	others map[auditlog.TokenID]bool
}

// tokens yields the tokens that the question is about, by name, until the context ends.
func (q *query) tokens(ctx context.Context, t *auditlog.Tally) iter.Seq[*auditlog.Token] {
	return func(yield func(*auditlog.Token) bool) {
		ids := slices.SortedFunc(maps.Keys(t.Tokens), func(a, b auditlog.TokenID) int { return cmp.Compare(a.String(), b.String()) })
		for _, id := range ids {
			if ctx.Err() != nil || q.isAbout(id) && !yield(t.Tokens[id]) {
				return
			}
		}
	}
}

func (q *query) isAbout(id auditlog.TokenID) bool {
	return q.token == "" || q.token == id.Name || q.token == id.String()
}

// followEvery is how often a file that is followed is looked at.
const followEvery = 250 * time.Millisecond

// reply makes an answer of what the logs say.
type reply func(context.Context, *findings) *report

// answer reads the logs and prints what reply makes of them; then it follows the last one, if that is asked for.
func (q *query) answer(ctx context.Context, names []string, s cli.Streams, reply reply) error {
	if q.follow && q.output == formatCSV {
		return cli.Usagef("-follow prints table or json")
	}
	if q.follow {
		return q.followLast(ctx, names, s, reply)
	}
	found, err := q.find(ctx, names, s)
	if found == nil {
		return err
	}
	answer := reply(ctx, found)
	answer.incomplete = err != nil
	if ctx.Err() != nil {
		return errInterrupted
	}
	return errors.Join(answer.print(s, q.output), answer.doubt(), err)
}

// doubt is the error of an answer that would say nothing.
func (r *report) doubt() error {
	if r.unanswered == "" {
		return nil
	}
	return fmt.Errorf("not answered: %s", r.unanswered)
}

// find reads the logs. There are findings beside an error if some part of the logs could not be read.
func (q *query) find(ctx context.Context, names []string, s cli.Streams) (*findings, error) {
	found, consumer := q.begin(names)
	stats, err := readLogs(ctx, names, s, consumer)
	if err != nil && (stats == (auditlog.Stats{}) || ctx.Err() != nil) {
		return nil, err
	}
	found.stats, found.problem = stats, err
	return found, err
}

// begin returns empty findings, and what fills them.
func (q *query) begin(names []string) (*findings, auditlog.Consumer[auditlog.Entry]) {
	parser := auditlog.NewParser(q.mount)
	if q.names {
		parser.CollectNames()
	}
	q.mount = parser.Mount()
	found := &findings{Tally: auditlog.NewTally(), parser: parser, files: len(names), others: map[auditlog.TokenID]bool{}}
	found.Counted = q.counted
	return found, auditlog.Consumer[auditlog.Entry]{Parse: parser.Parse, Each: func(e auditlog.Entry) { q.count(found, &e) }}
}

func (q *query) count(found *findings, e *auditlog.Entry) {
	if q.selects(e.Time) {
		found.Add(e)
		return
	}
	found.Note(e)
	if e.Token != (auditlog.TokenID{}) && e.Kind != auditlog.KindRewrap {
		found.others[e.Token] = true
	}
}

// followLast answers from what there is, and then prints each further event of the last log.
func (q *query) followLast(ctx context.Context, names []string, s cli.Streams, reply reply) error {
	last := names[len(names)-1]
	found, c := q.begin(names)
	stats, err := readLogs(ctx, names[:len(names)-1], s, c)
	if err != nil && (stats == (auditlog.Stats{}) || ctx.Err() != nil) {
		return err
	}
	found.stats = stats
	errs := []error{err}
	toCome := s.In
	if last != auditlog.Stdin {
		var there io.Reader
		if there, toCome, err = auditlog.FollowFile(ctx, last, followEvery); err != nil {
			return err
		}
		stats, err := auditlog.Read(ctx, opened(there), c)
		if err != nil {
			return fmt.Errorf("%s: %w", last, err)
		}
		found.stats.Add(stats)
		errs = append(errs, incomplete(last, stats))
	}
	found.problem = errors.Join(errs...)
	answer := reply(ctx, found)
	answer.incomplete = found.problem != nil
	if err := answer.print(s, q.output); err != nil {
		return err
	}
	var failed error
	counted := q.counted
	found.Counted = func(e *auditlog.Entry) {
		if counted != nil {
			counted(e)
		}
		if failed == nil && q.isAbout(e.Token) && (q.shows == nil || q.shows(e)) {
			failed = printEvent(s.Out, q.output, e)
		}
	}
	stats, err = auditlog.Read(ctx, opened(toCome), c)
	if ctx.Err() != nil { // an interrupt is how following ends
		err = nil
	}
	return errors.Join(append(errs, err, incomplete(last, stats), failed)...)
}

// opened opens a log when it is first read, which may wait for it.
func opened(log io.Reader) io.Reader {
	return &lazy{open: func() (io.Reader, io.Closer, error) {
		text, err := auditlog.Open(log)
		return text, nil, err
	}}
}

// lazy is a reader that opens what it reads: what opening waits for must not keep an interrupted command from ending. It
// closes it at its end.
type lazy struct {
	open func() (io.Reader, io.Closer, error)
	log  io.Reader
	file io.Closer
}

func (l *lazy) Read(buffer []byte) (n int, err error) {
	if l.log == nil {
		if l.log, l.file, err = l.open(); err != nil {
			return 0, err
		}
	}
	if n, err = l.log.Read(buffer); err != nil && l.file != nil {
		_ = l.file.Close() // it was only read
		l.file = nil
	}
	return n, err
}

// readLogs reads one log after the other, in the order of their entries. A log that cannot be read to its end does not keep
// the others from being read.
func readLogs[T any](ctx context.Context, names []string, s cli.Streams, c auditlog.Consumer[T]) (auditlog.Stats, error) {
	var stats auditlog.Stats
	files, err := auditlog.Files(ctx, names)
	if err != nil {
		return stats, err
	}
	p := startProgress(s.Err, files)
	defer p.stop()
	var errs []error
	for _, file := range files {
		read, err := readLog(ctx, file, s.In, p, c)
		if ctx.Err() != nil {
			return stats, errInterrupted
		}
		stats.Add(read)
		if err != nil {
			errs = append(errs, fmt.Errorf("the answer is incomplete: %s: %w", file.Name, err))
		} else if err := incomplete(file.Name, read); err != nil {
			errs = append(errs, err)
		}
	}
	return stats, errors.Join(errs...)
}

func readLog[T any](ctx context.Context, f auditlog.File, stdin io.Reader, p *progress, c auditlog.Consumer[T]) (auditlog.Stats, error) {
	if f.Name == auditlog.Stdin {
		return auditlog.Read(ctx, opened(io.TeeReader(stdin, p)), c)
	}
	return auditlog.Read(ctx, &lazy{open: func() (io.Reader, io.Closer, error) {
		file, err := os.Open(f.Name)
		if err != nil {
			return nil, nil, err
		}
		log, err := auditlog.Open(io.TeeReader(file, p))
		if unreadable, ok := errors.AsType[*auditlog.UnreadableError](err); ok {
			unreadable.File = f.Name
		}
		if err != nil {
			return nil, nil, errors.Join(err, file.Close())
		}
		return log, file, nil
	}}, c)
}

// incomplete is the error of a log that has lines which nobody can read.
func incomplete(name string, stats auditlog.Stats) error {
	switch unread := stats.Unread(); unread {
	case 0:
		return nil
	case stats.Lines:
		return fmt.Errorf("the answer is incomplete: %s: none of its %d lines is an audit entry", name, stats.Lines)
	default:
		return fmt.Errorf("the answer is incomplete: %s: %d of its %d lines are no audit entries, or not whole ones", name, unread, stats.Lines)
	}
}
