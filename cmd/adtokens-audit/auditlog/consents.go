package auditlog

import (
	"slices"
	"time"
)

const (
	// consentLife is how long a consent can be answered.
	consentLife = 10 * time.Minute
	// maxConsents is how many consents, and answers, a token's tally keeps.
	maxConsents = 64
)

// consents finds who has given fields of the client with a consent, such as its secret: they know that part of the version that the answer
// publishes. The zero value is ready for use.
type consents struct {
	begun    []Entry
	answers  []answeredConsent
	credited map[string]bool // request IDs of the consents that were counted
}

// answeredConsent is a rotation by a consent.
type answeredConsent struct {
	period *Period
	at     time.Time
}

// begin keeps a consent. Entries may come in any order.
func (c *consents) begin(t *Token, e *Entry) {
	if c.begun = append(c.begun, *e); len(c.begun) > maxConsents {
		c.begun = slices.Delete(c.begun, 0, 1)
	}
	for _, answer := range c.answers {
		c.credit(t, answer)
	}
}

// answered keeps the answer to a consent.
func (c *consents) answered(t *Token, period *Period, at time.Time) {
	answer := answeredConsent{period, at}
	if c.answers = append(c.answers, answer); len(c.answers) > maxConsents {
		c.answers = slices.Delete(c.answers, 0, 1)
	}
	c.credit(t, answer)
}

// credit says who knows a part of what an answer has published: whoever began the newest consent before it, which is the one that counts.
func (c *consents) credit(t *Token, answer answeredConsent) {
	var newest *Entry
	for i := range c.begun {
		e := &c.begun[i]
		if age := answer.at.Sub(e.Time); age < 0 || age > consentLife {
			continue
		}
		if newest == nil || e.Time.After(newest.Time) {
			newest = e
		}
	}
	if newest == nil || !newest.Client || c.credited[newest.RequestID] {
		return
	}
	if c.credited == nil {
		c.credited = map[string]bool{}
	}
	c.credited[newest.RequestID] = true
	reader(t.Readers, newest).learn(answer.period, answer.period, newest).HandedIn++
}
