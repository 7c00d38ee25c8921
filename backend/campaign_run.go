package backend

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// savesEvery is between two writes of a campaign's items, a chunk each. A crash before that loses nothing: the tokens' records tell.
const savesEvery = 100 * time.Millisecond

// campaigns are those whose items may still change, in memory. Reads of credentials ask nothing of it, and nobody waits for anything
// while mu is held.
type campaigns struct {
	// wake has a campaign looked at soon. It is set before the first use.
	wake func(campaign string)
	// pace is savesEvery, unless a test is in a hurry.
	pace time.Duration

	mu   sync.Mutex
	runs map[string]*campaignRun
	// orders are by token: the rotations that are to begin.
	orders map[string]*campaignOrder
}

// campaignRun is a campaign with its items.
type campaignRun struct {
	name  string
	entry campaignEntry
	items []campaignItem
	// index finds an item by its token, and counts are those of its progress.
	index    map[string]int
	progress campaignProgress
	// unseen are the items whose token may have changed, and unsaved the chunks with items that storage has not got.
	unseen, unsaved map[int]struct{}
	savedAt         time.Time
	// ordered are the items whose rotation is to begin, and begun those whose rotation is under way.
	ordered, begun map[int]struct{}
	// next is the first item that may be waiting for the engine.
	next int
}

// campaignOrder has a token rotated for a campaign.
type campaignOrder struct {
	run  *campaignRun
	item int
}

func newCampaigns() *campaigns {
	return &campaigns{pace: savesEvery, runs: map[string]*campaignRun{}, orders: map[string]*campaignOrder{}}
}

func newCampaignRun(name string, entry *campaignEntry, items []campaignItem) *campaignRun {
	r := &campaignRun{
		name: name, entry: *entry, items: items, index: make(map[string]int, len(items)), progress: campaignProgress{total: len(items)},
		unseen: map[int]struct{}{}, unsaved: map[int]struct{}{}, ordered: map[int]struct{}{}, begun: map[int]struct{}{},
	}
	for i := range items {
		r.index[items[i].Token] = i
		*r.progress.counter(&items[i])++
		if items[i].State != itemDone {
			r.unseen[i] = struct{}{}
		}
	}
	return r
}

// counter is the one that an item counts in.
func (p *campaignProgress) counter(it *campaignItem) *int {
	switch {
	case it.State == itemDone:
		return &p.done
	case it.State == itemFailed:
		return &p.failed
	case it.State == itemRunning:
		return &p.running
	case it.How == howPerson:
		return &p.waitingForPerson
	}
	return &p.waiting
}

// state is what people are told.
func (r *campaignRun) state() campaignState {
	if r.entry.State == campaignCancelled || r.entry.State == campaignDone {
		return r.entry.State
	}
	return r.progress.state()
}

// put changes an item.
func (c *campaigns) put(r *campaignRun, i int, it campaignItem) {
	before := &r.items[i]
	*r.progress.counter(before)--
	*r.progress.counter(&it)++
	// That a rotation goes on or waits is not worth a write: the token's record has it.
	if it.State != before.State && (it.ended() || before.ended()) || it.Begun != before.Begun || it.Try != before.Try {
		r.unsaved[i/campaignChunk] = struct{}{}
	}
	r.items[i] = it
	delete(r.begun, i)
	if it.Begun && it.State == itemRunning {
		r.begun[i] = struct{}{}
	}
	if it.mayBegin() {
		r.next = min(r.next, i)
	} else {
		c.dropOrder(r, i)
	}
}

func (it *campaignItem) ended() bool { return it.State == itemDone || it.State == itemFailed }

func (c *campaigns) dropOrder(r *campaignRun, i int) {
	if _, ordered := r.ordered[i]; ordered {
		delete(r.ordered, i)
		delete(c.orders, r.items[i].Token)
	}
}

// touch notes that a token may have changed.
func (c *campaigns) touch(token string) {
	c.mark(func(r *campaignRun) []int {
		if i, has := r.index[token]; has {
			return []int{i}
		}
		return nil
	})
}

// touchAccount notes that an account may have changed: who replaces the values of its tokens may, too.
func (c *campaigns) touchAccount(account string) {
	c.mark(func(r *campaignRun) (items []int) {
		for i := range r.items {
			if r.items[i].Account == account {
				items = append(items, i)
			}
		}
		return items
	})
}

// mark has those items looked at that have not ended for good.
func (c *campaigns) mark(find func(*campaignRun) []int) {
	c.mu.Lock()
	var changed []string
	for _, r := range c.runs {
		marked := false
		for _, i := range find(r) {
			if r.items[i].State != itemDone {
				r.unseen[i], marked = struct{}{}, true
			}
		}
		if marked {
			changed = append(changed, r.name)
		}
	}
	c.mu.Unlock()
	for _, name := range changed {
		c.wake(name)
	}
}

// add has a campaign in memory from now on.
func (c *campaigns) add(r *campaignRun) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(r.name)
	c.runs[r.name] = r
}

// drop forgets a campaign, and what was to begin for it.
func (c *campaigns) drop(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove(name)
}

// dropID is drop for the campaign with this ID.
func (c *campaigns) dropID(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, r := range c.runs {
		if r.entry.ID == id {
			c.remove(name)
		}
	}
}

func (c *campaigns) remove(name string) {
	r := c.runs[name]
	if r == nil {
		return
	}
	for i := range r.ordered {
		c.dropOrder(r, i)
	}
	delete(c.runs, name)
}

func (c *campaigns) get(name string) *campaignRun {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.runs[name]
}

// find returns the campaign with this ID; nil where it is not in memory.
func (c *campaigns) find(name, id string) *campaignRun {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.runs[name]; r != nil && r.entry.ID == id {
		return r
	}
	return nil
}

// holds says whether the campaign is still in memory as the caller knows it.
func (c *campaigns) holds(r *campaignRun) bool { return c.get(r.name) == r }

// replaceEntry notes what storage has of a campaign. One that begins nothing any more has no orders.
func (c *campaigns) replaceEntry(r *campaignRun, entry *campaignEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r.entry = *entry
	if entry.State == campaignCancelled || entry.State == campaignDone {
		for i := range r.ordered {
			c.dropOrder(r, i)
		}
	}
}

// takeUnseen returns the items that are to be looked at.
func (c *campaigns) takeUnseen(r *campaignRun) []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	items := slices.Sorted(maps.Keys(r.unseen))
	r.unseen = map[int]struct{}{}
	return items
}

// markUnseen has items looked at later.
func (c *campaigns) markUnseen(r *campaignRun, items []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range items {
		r.unseen[i] = struct{}{}
	}
}

// tokenOf names the token of an item.
func (c *campaigns) tokenOf(r *campaignRun, i int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return r.items[i].Token
}

// observe brings an item up to date with its token.
func (c *campaigns) observe(r *campaignRun, i int, t *token, from rotation.Source) {
	c.mu.Lock()
	defer c.mu.Unlock()
	it := r.items[i]
	it.observe(r.entry.ID, t, from)
	c.put(r, i, it)
}

// tryAgain has a failed item begin once more.
func (c *campaigns) tryAgain(r *campaignRun, i int, t *token, from rotation.Source) {
	c.mu.Lock()
	defer c.mu.Unlock()
	it := r.items[i]
	it.tryAgain(t)
	it.observe(r.entry.ID, t, from)
	c.put(r, i, it)
}

// campaignView is what a campaign is at a moment.
type campaignView struct {
	name     string
	entry    campaignEntry
	state    campaignState
	progress campaignProgress
}

func (c *campaigns) view(r *campaignRun) campaignView {
	c.mu.Lock()
	defer c.mu.Unlock()
	return campaignView{name: r.name, entry: r.entry, state: r.state(), progress: r.progress}
}

// itemsOf are a campaign's items at a moment.
func (c *campaigns) itemsOf(r *campaignRun) []campaignItem {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(r.items)
}
