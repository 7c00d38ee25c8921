package definition

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// Outcomes of rules. accepted, rejected and inconclusive are those of package provider.
const (
	outcomeAccepted     = string(provider.Accepted)
	outcomeRejected     = string(provider.Rejected)
	outcomeInconclusive = string(provider.Inconclusive)
	outcomeThrottled    = "throttled"
	outcomeUnavailable  = "unavailable"
	outcomeGranted      = "granted"
	outcomeReplaced     = "replaced"
	outcomeRefused      = "refused"
	outcomeDone         = "done"
)

// rule says what an answer means.
type rule struct {
	*outcomeDocument
	// place is where it stands in the document.
	place               string
	when                expression
	codeOf              expression
	waitFor, waitedTill expression
	hintRules           []hint
}

// hint is what a refused credential looks like.
type hint struct {
	when expression
	text string
}

func (c *compiler) rules(place string, outcomes []outcomeDocument) []*rule {
	rules := make([]*rule, len(outcomes))
	for i := range outcomes {
		rules[i] = c.rule(item(place, i), &outcomes[i])
	}
	return rules
}

func (c *compiler) rule(place string, d *outcomeDocument) *rule {
	r := &rule{
		outcomeDocument: d, place: place,
		when:       c.expression(within(place, "when"), d.When, ofAnswers, wantBool...),
		codeOf:     c.expression(within(place, "code"), d.Code, ofAnswers, wantName...),
		waitFor:    c.expression(within(place, "wait"), d.Wait, ofAnswers, wantNumber...),
		waitedTill: c.expression(within(place, "wait_until"), d.WaitUntil, ofAnswers, wantTime...),
	}
	waits := d.Outcome == outcomeThrottled || d.Outcome == outcomeUnavailable
	switch {
	case d.Wait != "" && d.WaitUntil != "":
		c.add(place, "give one of wait, in seconds, and wait_until, a Unix time")
	case (d.Wait != "" || d.WaitUntil != "") && !waits:
		c.add(place, "wait and wait_until are for the outcomes throttled and unavailable")
	case d.Caveat && d.Outcome != outcomeAccepted:
		c.add(within(place, "caveat"), "is for the outcome accepted: it marks a detail that has to be known all the same")
	case len(d.Hints) > 0 && d.Outcome != outcomeRejected:
		c.add(within(place, "hints"), "are for the outcome rejected")
	}
	for i, h := range d.Hints {
		r.hintRules = append(r.hintRules, hint{c.hint(item(within(place, "hints"), i), h), h.Text})
	}
	return r
}

// hint keeps those who write definitions from finding out a secret bit by bit: one hint after the other could ask for its characters.
func (c *compiler) hint(place string, d textDocument) expression {
	place = within(place, "when")
	e := c.expression(place, d.When, ofHints, wantBool...)
	if e == nil || c.t.definition.trusted {
		return e
	}
	p, err := e()
	if err != nil {
		return nil // it was told of
	}
	for _, name := range p.credential {
		if f := lookup(c.t.fields, name); f == nil || f.Secret {
			c.add(place, "a hint reads fields that are no secret, as credential.<field>: "+
				"who writes definitions could find out a secret bit by bit")
			break
		}
	}
	return e
}

// match finds the first rule that fits. What came with a status of 500 or more says nothing about a credential, whatever rules say.
func match(ctx context.Context, rules []*rule, a *answer, facts map[string]any) *rule {
	if a.isRedirect() {
		return nil
	}
	for _, r := range rules {
		if a.Status >= 500 && r.Outcome != outcomeThrottled && r.Outcome != outcomeUnavailable && r.Outcome != outcomeInconclusive {
			continue
		}
		if r.when.holds(ctx, facts) {
			return r
		}
	}
	return nil
}

// silence is the error of a rule which says that the platform did not answer usefully; nil for any other rule.
func (r *rule) silence(ctx context.Context, a *answer, facts map[string]any) *provider.Error {
	var silence *provider.Error
	switch r.Outcome {
	case outcomeThrottled:
		problem := fmt.Sprintf("limits the rate of requests (HTTP %d)", a.Status)
		silence = &provider.Error{Kind: provider.RateLimited, Host: a.Host, Problem: problem}
	case outcomeUnavailable:
		silence = a.silence()
		if silence == nil {
			silence = a.Unreadable()
		}
	default:
		return nil
	}
	silence.Problem = cmp.Or(r.problem(a.Status), silence.Problem)
	silence.RetryAfter = cmp.Or(r.wait(ctx, facts), retryAfter(a))
	return silence
}

// problem completes "<host> …". A detail that begins with a capital letter is a sentence of its own.
func (r *rule) problem(status int) string {
	detail := strings.ReplaceAll(r.Detail, "{status}", strconv.Itoa(status))
	if first, _ := utf8.DecodeRuneInString(detail); unicode.IsUpper(first) {
		return fmt.Sprintf("gave no useful answer (HTTP %d): %s", status, detail)
	}
	return detail
}

// retryAfter is what the standard header says.
func retryAfter(a *answer) time.Duration {
	return provider.RetryAfter(map[string][]string{"Retry-After": a.Header["Retry-After"]})
}

// maxWait keeps a platform from putting a retry off for ever.
const maxWait = 24 * time.Hour

// wait is how long the platform asks to wait; zero where it does not say.
func (r *rule) wait(ctx context.Context, facts map[string]any) time.Duration {
	if wait, ok := seconds(r.waitFor.evaluate(ctx, facts)); ok {
		return boundedWait(wait)
	}
	if until := moment(r.waitedTill.evaluate(ctx, facts)); !until.IsZero() {
		return boundedWait(time.Until(until).Seconds())
	}
	return 0
}

func boundedWait(wait float64) time.Duration {
	return time.Duration(math.Ceil(min(max(wait, 0), maxWait.Seconds()))) * time.Second
}

// codeFor is the platform's own error code, where it may be shown.
func (r *rule) codeFor(ctx context.Context, facts map[string]any, secrets []string) string {
	return plain(r.codeOf.evaluate(ctx, facts), secrets)
}

// hintFor is what the refused credential looks like; empty where no hint fits.
func (r *rule) hintFor(ctx context.Context, facts map[string]any, credential provider.Values) string {
	if len(r.hintRules) == 0 {
		return ""
	}
	known := map[string]any{varAccount: facts[varAccount], varOption: facts[varOption], varCredential: map[string]string(credential)}
	for _, h := range r.hintRules {
		if h.when.holds(ctx, known) {
			return ". " + h.text
		}
	}
	return ""
}
