package backend

import (
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/schedule"
)

// slowRotation is how long a campaign's rotation that fails and is tried again counts as one of those under way: after that the next one
// begins, so that a few tokens that have problems hold up none of the others.
const slowRotation = time.Minute

// orderRotations has the next rotations of a campaign begin, as many as its parallel allows. Each begins as other work on its token does:
// under the token's lock, within the limits of its account.
func (b *backend) orderRotations(r *campaignRun) (jobs []schedule.Job) {
	c := b.campaigns
	c.mu.Lock()
	defer c.mu.Unlock()
	if state := r.state(); state == campaignCancelled || state == campaignDone {
		return nil
	}
	now := b.now()
	free := r.entry.Parallel - len(r.ordered)
	for i := range r.begun {
		if t := b.tokens.Peek(r.items[i].Token); t == nil || !t.rotatesSlowly(now) {
			free--
		}
	}
	for ; free > 0 && r.next < len(r.items); r.next++ {
		i, it := r.next, &r.items[r.next]
		_, ordered := r.ordered[i]
		// Another campaign's order comes first; the token is looked at again after that.
		if !it.mayBegin() || ordered || c.orders[it.Token] != nil {
			continue
		}
		r.ordered[i], c.orders[it.Token] = struct{}{}, &campaignOrder{run: r, item: i}
		jobs = append(jobs, schedule.Job{Token: it.Token, Account: it.Account, Kind: schedule.Rotate, At: now})
		free--
	}
	return jobs
}

// rotatesSlowly says whether the rotation under way has a problem and has lasted for long.
func (t *token) rotatesSlowly(now time.Time) bool {
	return t.Pending != nil && t.LastError != "" && now.Sub(t.Pending.RequestedAt) >= slowRotation
}

// waitsForSlow says whether a campaign may begin more once a rotation of now counts as slow.
func (c *campaigns) waitsForSlow(r *campaignRun) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(r.begun) > 0 && r.progress.waiting > 0 && r.state() == campaignRunning
}

// ordered says whether a campaign wants the token rotated now.
func (c *campaigns) ordered(token string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.orders[token] != nil
}

// intent is the rotation that a campaign wants of the token now; nil where none does. The caller holds the token's lock and has read
// the token from storage, so that what has begun already is seen.
func (c *campaigns) intent(t *token, from rotation.Source) *rotation.Pending {
	c.mu.Lock()
	defer c.mu.Unlock()
	o := c.orders[t.name]
	if o == nil {
		return nil
	}
	r := o.run
	it := r.items[o.item]
	if it.observe(r.entry.ID, t, from); !it.mayBegin() {
		return nil
	}
	return &rotation.Pending{
		ID: it.rotationID(r.entry.ID), Source: from, Reason: r.entry.historyReason(r.name), EntityID: r.entry.EntityID, DisplayName: r.entry.DisplayName,
	}
}

// settle ends the order of a token, whatever has become of it: its campaign looks.
func (c *campaigns) settle(token string) {
	c.mu.Lock()
	o := c.orders[token]
	if o != nil {
		c.dropOrder(o.run, o.item)
	}
	c.mu.Unlock()
	if o != nil {
		c.touch(token)
	}
}
