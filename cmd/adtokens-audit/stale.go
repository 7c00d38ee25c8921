package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-audit/auditlog"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/internal/cli"
)

var staleCommand = command{
	name: "stale", summary: "who still uses an old value", synopsis: "[flags] <audit log>...",
	help: `
Lists whose last read of a token was of another value than the newest one: after a rotation, the apps that have not picked up
the new value yet. Values count, not versions: whoever has read a value that was replaced and came back is not listed.
The column state says

  stale    the last read was of an older value
  unknown  the logs do not tell of which value: the read was wrapped, or the log does not show what was current then

The renewal of a lease counts as a use of the value that is current then: the engine renews no other. A wrapped read counts
for whoever unwraps it. Readers who were silent for longer than -window before the end of the logs are not shown, but
counted: -window 0 shows them too. Apps that read once, when they start, are found that way only.

A refresh is no new version: who has read the same version before it is not listed. Nor are readers of access-token/: what
they have ends by itself.

  adtokens-audit stale /var/log/vault/audit.log*
  adtokens-audit stale -token acme-rw -window 0 -output json /var/log/vault/audit.log*`,
	prepare: func(flags *flag.FlagSet) action {
		q := stale{query: query{output: formatTable}, window: window(defaultWindow)}
		q.declareRange(flags)
		q.declareOutput(flags)
		q.declareToken(flags, "only this `token`")
		flags.Var(&q.window, "window", "leave out who was silent for longer than this `duration`, such as 24h or 7d, before the logs' end; 0: nobody")
		q.shows = func(e *auditlog.Entry) bool {
			return e.Kind != auditlog.KindAccessToken && e.Kind != auditlog.KindRenew && e.Kind != auditlog.KindConsent
		}
		return func(ctx context.Context, files []string, s cli.Streams) error {
			return q.answer(ctx, files, s, q.reply)
		}
	},
}

const defaultWindow = 24 * time.Hour

// window is a flag for a duration that may be in days.
type window time.Duration

func (w *window) String() string { return duration(time.Duration(*w)) }

// Set reads a duration, or a number of days.
func (w *window) Set(text string) error {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && 0 <= n && n <= maxDays {
			*w = window(time.Duration(n) * day)
			return nil
		}
	} else if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		*w = window(d)
		return nil
	}
	return errors.New("write a duration like 24h or 7d, or 0 for no limit")
}

const maxDays = 100 * 365

// duration writes a duration for people, such as 3d4h, 2h5m or 40s.
func duration(d time.Duration) string {
	if days := d / day; days > 0 {
		text := fmt.Sprintf("%dd", days)
		if hours := d % day / time.Hour; hours > 0 {
			text += fmt.Sprintf("%dh", hours)
		}
		return text
	}
	text := d.Round(time.Second).String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}

type stale struct {
	query
	window window
}

type staleAnswer struct {
	header
	// AsOf is the time of the logs' last entry: whatever was later is not known.
	AsOf time.Time `json:"as_of,omitzero"`
	// Window is in seconds; 0 leaves out nobody.
	Window  int        `json:"window_seconds"`
	Silent  int        `json:"silent"` // who were left out
	Readers []staleRow `json:"readers"`
}

// staleRow is somebody whose last use of a token was of an old value.
type staleRow struct {
	tokenRef
	State auditlog.State `json:"state"`
	person
	Used     versionRef    `json:"used"`
	LastRead time.Time     `json:"last_read"`
	How      auditlog.Kind `json:"how"`
	Newest   versionRef    `json:"newest"`
	// Published is when the newest version was, or was seen at first if no request published it.
	Published time.Time `json:"published"`
	// Behind is for how long the newest version was there at the end of the logs, in seconds.
	Behind int `json:"published_seconds_ago"`
	Reads  int `json:"reads"`
}

var staleColumns = []string{"token", "state", "display name", "entity", "addresses", "uses version", "last read", "how", "newest version", "published", "ago", "reads"}

func (q *stale) reply(ctx context.Context, f *findings) *report {
	answer := staleAnswer{Readers: []staleRow{}, Window: int(time.Duration(q.window).Seconds()), AsOf: q.end(f)}
	tokens := slices.Collect(q.tokens(ctx, f.Tally))
	var unwrapping bool
	for _, token := range tokens {
		for id, r := range sortedReaders(token.Readers) {
			row, ok := staleRowOf(token, id, r)
			unwrapping = unwrapping || ok && id.IsHolder()
			switch silent := answer.AsOf.Sub(row.LastRead); {
			case !ok:
			case q.window > 0 && silent > time.Duration(q.window):
				answer.Silent++
			default:
				row.Behind = int(max(0, answer.AsOf.Sub(row.Published)).Seconds())
				answer.Readers = append(answer.Readers, row)
			}
		}
	}
	slices.SortStableFunc(answer.Readers, func(a, b staleRow) int {
		return cmp.Or(strings.Compare(a.Namespace+a.Name, b.Namespace+b.Name), urgency(a.State)-urgency(b.State), b.LastRead.Compare(a.LastRead))
	})
	list := table{name: "readers", columns: staleColumns, none: "Nobody in this time, as far as the logs tell."}
	for _, row := range answer.Readers {
		list.add([]string{row.Namespace + row.Name, string(row.State)}, row.cells(), []string{
			row.Used.label(), timestamp(row.LastRead), string(row.How), row.Newest.label(), timestamp(row.Published),
			duration(time.Duration(row.Behind) * time.Second), fmt.Sprint(row.Reads),
		})
	}
	answer.header = q.header(f, append(q.staleNotes(&answer, unwrapping), q.knowledgeNotes(f, tokens)...)...)
	answer.NotAnswered = q.unanswered(f)
	return &report{document: answer, tables: []table{list}, notes: answer.Notes, unanswered: answer.NotAnswered}
}

// end is the last time that the logs tell of.
func (q *stale) end(f *findings) time.Time {
	end := f.Last
	if f.stats.Last.After(end) {
		end = f.stats.Last
	}
	if !q.until.IsZero() && end.After(q.until.Time) {
		end = q.until.Time
	}
	return end
}

// staleRowOf returns false for who uses the newest value, and for who is not known to use any.
func staleRowOf(token *auditlog.Token, id auditlog.Identity, r *auditlog.Reader) (staleRow, bool) {
	use, newest := token.LastUse(id), token.Current()
	if use.At.IsZero() || newest == nil {
		return staleRow{}, false
	}
	period, state := token.InUse(use)
	if state == auditlog.StateCurrent {
		return staleRow{}, false
	}
	total := r.Total()
	return staleRow{
		tokenRef: tokenRef(token.TokenID), State: state, person: personOf(id, r),
		Used: refOf(period), LastRead: use.At, How: use.Kind,
		Newest: refOf(newest), Published: newest.First, Reads: total.Reads - total.Wrapped + total.Unwrapped,
	}, true
}

func (q *stale) staleNotes(answer *staleAnswer, unwrapping bool) []string {
	var notes []string
	if answer.Silent > 0 {
		notes = append(notes, fmt.Sprintf("Readers of older values who were silent for longer than %s before the end of the logs, "+
			"and are not shown: %d. -window 0 shows them.", duration(time.Duration(q.window)), answer.Silent))
	}
	notes = append(notes, "This is who has read what last. Whether somebody uses a value without reading it again, or has stopped, "+
		"the logs do not tell.")
	if slices.ContainsFunc(answer.Readers, func(r staleRow) bool { return r.State == auditlog.StateUnknown }) {
		notes = append(notes, "Of those who are unknown, the log does not tell which value they have read.")
	}
	if unwrapping {
		notes = append(notes, "Wrapping tokens that unwrapped by themselves are one row: the log does not tell for whom they did. "+
			"The last of them hides the others.")
	}
	return notes
}
