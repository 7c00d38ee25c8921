package backend

import (
	"sync"
	"time"
)

// unstoredPatience is how long a mount that is closed waits for answers that are not stored yet.
const unstoredPatience = 5 * time.Second

// unstored counts the requests whose answers may be the only copies of new values, from before they are sent until their answers are
// stored. When Vault is sealed, steps down, or reloads the plugin, storage still takes what comes within a few seconds. The zero value
// is ready for use.
type unstored struct {
	mu    sync.Mutex
	count int
	// none is closed when there are none any more; nil where nobody waits for that.
	none chan struct{}
}

// begin counts one until stored is called.
func (u *unstored) begin() (stored func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.count++
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.count--; u.count == 0 && u.none != nil {
			close(u.none)
			u.none = nil
		}
	}
}

// wait waits until there are none, for as long as the patience lasts, which mounts share that are closed one after the other.
func (u *unstored) wait(patience time.Duration) {
	u.mu.Lock()
	if u.count == 0 {
		u.mu.Unlock()
		return
	}
	if u.none == nil {
		u.none = make(chan struct{})
	}
	none := u.none
	u.mu.Unlock()
	select {
	case <-none:
	case <-time.After(closings.left(patience)):
	}
	closings.ended()
}

// closings are those of the process' mounts. Vault closes them one after the other when it is sealed or steps down, and while it waits for
// one of them, the answers of the others come too: each with a patience of its own would hold an election up for minutes.
var closings sharedPatience

type sharedPatience struct {
	mu          sync.Mutex
	until, last time.Time
}

// sameClosing is how soon after another one a mount is closed together with it.
const sameClosing = time.Second

// left is what is left of the patience.
func (p *sharedPatience) left(patience time.Duration) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if now.Sub(p.last) > sameClosing {
		p.until = now.Add(patience)
	}
	return p.until.Sub(now)
}

func (p *sharedPatience) ended() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = time.Now()
}
