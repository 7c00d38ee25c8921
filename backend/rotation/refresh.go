package rotation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// Refreshing is a refresh whose answer has not come, or was lost. The provider may refuse what is stored from then on.
type Refreshing struct {
	Since time.Time `json:"since"`
	// Tries counts the requests since then, and NextTry is when the next one may follow.
	Tries   int       `json:"tries"`
	NextTry time.Time `json:"next_try"`
	// LastError is what the record says of it. It holds no secret.
	LastError string `json:"last_error,omitempty"`
}

// Waits between the tries after a lost answer. Platforms that take a used value once more do so for some seconds, so at most three
// tries come in the first six; after that there is nothing to hurry for.
var firstTries = []time.Duration{time.Second, 2 * time.Second}

const laterTry = 6 * time.Second

func (g *Refreshing) wait(cause error) time.Duration {
	if g.Tries <= len(firstTries) {
		first := firstTries[g.Tries-1]
		return backoff(0, first, first, cause)
	}
	return backoff(g.Tries-len(firstTries)-1, laterTry, maxBackoff, cause)
}

// lost says whether an answer was lost before the try that is under way.
func (g *Refreshing) lost() bool { return g != nil && g.Tries > 1 }

// Refresher follows the requests that refresh one value of a record. Its caller holds the record's lock.
//
// What a crash leaves behind, by the step before which it happens, where the value before dies:
//
//  1. intent stored: nothing has happened
//  2. asked: the intent, and a value that the provider may refuse from now on. It is tried again, until it is refused
//  3. answer stored: as 2, although the provider has replaced the value
//  4. access token used: the new value is stored, and the access token is lost
type Refresher struct {
	Now func() time.Time
	// Save stores the record in one write.
	Save func(context.Context) error
	// SaveAnswer is Save for what nobody else has: it goes on where Save would give up.
	SaveAnswer func(context.Context) error
	// Fingerprint identifies a value without giving it away.
	Fingerprint func(context.Context, provider.Values) (string, error)
	// PreviousDies says that the provider refuses the value before from the moment of the refresh.
	PreviousDies bool
	// Pending is set where the value is that of the record's rotation under way; else it is the current one.
	Pending bool
	Record  *Record

	begun, answered bool
}

func (f *Refresher) state() **Refreshing {
	if f.Pending {
		return &f.Record.Pending.Refreshing
	}
	return &f.Record.Refreshing
}

// Begin stores that a refresh follows, where it may cost the value that is stored. It is a provider.Token's.
func (f *Refresher) Begin(ctx context.Context) error {
	// A fingerprint needs storage, too, and must not fail once there is an answer.
	if _, err := f.Fingerprint(ctx, nil); err != nil {
		return err
	}
	f.answered = false
	if !f.PreviousDies {
		return nil
	}
	state, now := f.state(), f.Now().UTC()
	before, intent := *state, Refreshing{Since: now}
	if before != nil {
		intent = *before
	}
	intent.Tries++
	intent.NextTry = now.Add(intent.wait(nil))
	*state = &intent
	if err := f.Save(ctx); err != nil {
		*state = before
		return err
	}
	f.begun = true
	return nil
}

// Keep stores what an answer replaces. It is a provider.Token's.
func (f *Refresher) Keep(ctx context.Context, answer provider.Refreshed) error {
	f.answered = true
	if err := f.take(ctx, answer); err != nil {
		return err
	}
	return f.SaveAnswer(ctx)
}

// take puts the answer into the record.
func (f *Refresher) take(ctx context.Context, answer provider.Refreshed) error {
	r, state := f.Record, f.state()
	if *state != nil {
		r.healed((*state).LastError)
		*state = nil
	}
	if f.Pending {
		r.Pending.Credential = merged(r.Pending.Credential, answer.Values)
		if !answer.ExpiresAt.IsZero() {
			r.Pending.ExpiresAt = answer.ExpiresAt.UTC()
		}
		return nil
	}
	fresh := merged(r.Current.Credential, answer.Values)
	fingerprint, err := f.Fingerprint(ctx, fresh)
	if err != nil {
		return err
	}
	r.refresh(fresh, fingerprint, &Refreshes{Count: r.Current.Refreshed.Number() + 1, At: f.Now().UTC()})
	r.told(answer.ExpiresAt)
	return nil
}

func merged(value, changes provider.Values) provider.Values {
	fresh := maps.Clone(value)
	maps.Copy(fresh, changes)
	return fresh
}

// refresh changes the current version, which stays that version, and the history's entry of it.
func (r *Record) refresh(fresh provider.Values, fingerprint string, refreshed *Refreshes) {
	v := r.Current
	v.PublishedAs = v.Origin()
	v.Credential, v.Fingerprint, v.Refreshed = fresh, fingerprint, refreshed
	if v.PublishedAs == v.Fingerprint {
		v.PublishedAs = ""
	}
	for i := range r.History {
		if h := &r.History[i]; h.Version == v.Number {
			h.Fingerprint, h.Refreshed = v.Fingerprint, v.Refreshed
		}
	}
}

// Ending is how a call ended that may have refreshed a value.
type Ending struct {
	// Refused says that the provider refuses the value.
	Refused bool
	// NotSent says that the provider was not asked.
	NotSent bool
	// Err is why there was no useful answer, or what was said with the refusal.
	Err error
}

// End notes what became of a refresh that was not answered with a grant. It says whether it has changed the record, which the caller
// stores then. Where the value before lives, nothing is to be noted.
func (f *Refresher) End(e Ending) (changed bool) {
	state := f.state()
	if !f.begun || f.answered || *state == nil {
		return false
	}
	doubt := *state
	switch {
	case e.Refused:
		f.died(doubt, e.Err)
	case e.NotSent && !doubt.lost():
		*state = nil
	default:
		if e.NotSent {
			doubt.Tries--
		}
		doubt.NextTry = f.Now().UTC().Add(doubt.wait(e.Err))
		f.tellLost(doubt, e.Err)
	}
	return true
}

// tellLost says in the record that an answer was lost. What a rotation says of its own value is for its machine.
func (f *Refresher) tellLost(doubt *Refreshing, cause error) {
	if f.Pending {
		return
	}
	text := "the answer to a refresh was lost at " + doubt.Since.Format(time.RFC3339)
	if cause != nil {
		text += " (" + cause.Error() + ")"
	}
	text += "; whether the provider still takes the value that is stored is found out by trying it again"
	f.Record.healed(doubt.LastError)
	if doubt.LastError = text; f.Record.LastError == "" {
		f.Record.LastError = text
	}
}

// died notes that the provider refuses the value.
func (f *Refresher) died(doubt *Refreshing, cause error) {
	r, lost := f.Record, doubt.lost()
	r.healed(doubt.LastError)
	*f.state() = nil
	if f.Pending {
		if lost {
			r.Pending.Note = lostAnswer(doubt)
		}
		return
	}
	detail := "the provider refuses it"
	if cause != nil {
		detail = cause.Error()
	}
	r.Observe(provider.Verification{Outcome: provider.Rejected, Detail: detail}, f.Now())
	if lost {
		r.LastError = fmt.Sprintf("%s (%s)", lostAnswer(doubt), detail)
	}
}

func lostAnswer(doubt *Refreshing) string {
	return "the answer to a refresh was lost at " + doubt.Since.UTC().Format(time.RFC3339) +
		", and the provider refuses the value from before it: a new consent is needed, whose value a person hands in"
}

// EndingOf is the ending of a call that ended with the error, where a *provider.Refused is about the value.
func EndingOf(err error) Ending {
	_, refused := errors.AsType[*provider.Refused](err)
	return Ending{Refused: refused, NotSent: notSent(err), Err: err}
}

func notSent(err error) bool {
	silence, ok := errors.AsType[*provider.Error](err)
	return ok && (silence.NotSent || silence.Kind == provider.RateLimited)
}

// Precedes says whether the version is the record's current one after a refresh that the record does not have.
func (r *Record) Precedes(v *Version) bool {
	return r.Current != nil && r.Current.Number == v.Number && r.Current.Origin() == v.Origin() &&
		r.Current.PublishedAt.Equal(v.PublishedAt) && r.Current.Refreshed.Number() < v.Refreshed.Number()
}

// Restore puts a version in the place of the one that it Precedes.
func (r *Record) Restore(v *Version) {
	if r.Refreshing != nil {
		r.healed(r.Refreshing.LastError)
		r.Refreshing = nil
	}
	r.refresh(v.Credential, v.Fingerprint, v.Refreshed)
	if v.Ends != nil {
		r.told(v.Ends.Told)
	}
}

// PrecedesPending says whether the pending value is the record's own after a refresh that the record does not have.
func (r *Record) PrecedesPending(p *Pending) bool {
	return r.Pending != nil && r.Pending.ID == p.ID && r.Pending.RequestedAt.Equal(p.RequestedAt) && r.Pending.Refreshing != nil
}

// RestorePending puts what a refresh gave in the place of the pending value that it PrecedesPending.
func (r *Record) RestorePending(p *Pending) {
	r.Pending.Credential, r.Pending.ExpiresAt, r.Pending.Refreshing = p.Credential, p.ExpiresAt, nil
}
