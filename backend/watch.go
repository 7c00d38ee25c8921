package backend

// watcher is what those share who wait for changes of a token.
type watcher struct {
	users   int
	changed chan struct{}
}

// watch has the token watched until stop is called. Each call of next returns a channel that is closed when the token is
// stored or deleted the next time.
func (b *backend) watch(name string) (next func() <-chan struct{}, stop func()) {
	b.watchMu.Lock()
	defer b.watchMu.Unlock()
	w := b.watchers[name]
	if w == nil {
		w = &watcher{changed: make(chan struct{})}
		b.watchers[name] = w
	}
	w.users++
	next = func() <-chan struct{} {
		b.watchMu.Lock()
		defer b.watchMu.Unlock()
		return w.changed
	}
	stop = func() {
		b.watchMu.Lock()
		defer b.watchMu.Unlock()
		if w.users--; w.users == 0 {
			delete(b.watchers, name)
		}
	}
	return next, stop
}

func (b *backend) changed(name string) {
	b.watchMu.Lock()
	defer b.watchMu.Unlock()
	if w := b.watchers[name]; w != nil {
		close(w.changed)
		w.changed = make(chan struct{})
	}
}
