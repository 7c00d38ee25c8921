package backend

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
)

// errGaveWay is why the engine's own work on a token was interrupted.
var errGaveWay = errors.New("a person's request for this token came first")

// precedence lets a request of a person interrupt the engine's own work on a token, which holds the token's lock while it waits
// for a provider or a reset hook: for up to ten minutes, in which apps may be down and the value that they need is in somebody's
// hands. Work that is interrupted leaves what is stored as a crash would, and is taken up again. The zero value is ready for use.
type precedence struct {
	mu     sync.Mutex
	tokens map[string]*contenders
}

// contenders are those who work on one token, or wait for it.
type contenders struct {
	// people counts the requests that come first.
	people int
	// working are the interruptions of the engine's own work, by a key that only tells them apart.
	working map[int]context.CancelCauseFunc
	next    int
}

func (p *precedence) of(name string) *contenders {
	c := p.tokens[name]
	if c == nil {
		if p.tokens == nil {
			p.tokens = map[string]*contenders{}
		}
		c = &contenders{working: map[int]context.CancelCauseFunc{}}
		p.tokens[name] = c
	}
	return c
}

// leave drops what nobody needs any more.
func (p *precedence) leave(name string, c *contenders) {
	if c.people == 0 && len(c.working) == 0 {
		delete(p.tokens, name)
	}
}

// claim interrupts the engine's own work on the token, and keeps new work from beginning until release is called. The caller then
// waits for the token's lock.
func (p *precedence) claim(name string) (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.of(name)
	c.people++
	for _, interrupt := range slices.Collect(maps.Values(c.working)) {
		interrupt(errGaveWay)
	}
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		c.people--
		p.leave(name, c)
	})
}

// giveWay returns a context for the engine's own work on the token, which ends when somebody claims it. It is to be called before
// the token's lock is waited for. The work calls done at its end.
func (p *precedence) giveWay(ctx context.Context, name string) (working context.Context, done func()) {
	working, cancel := context.WithCancelCause(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.of(name)
	key := c.next
	c.next++
	c.working[key] = cancel
	if c.people > 0 {
		cancel(errGaveWay)
	}
	return working, func() {
		cancel(nil)
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(c.working, key)
		p.leave(name, c)
	}
}

// gaveWay says whether the work was interrupted because a person came first.
func gaveWay(working context.Context) bool { return errors.Is(context.Cause(working), errGaveWay) }
