package auditlog

import (
	"strings"
	"time"
)

// wraps follow response-wrapped reads by their wrapping tokens, through any number of new ones, to whoever unwraps them.
// They keep the latest reads, and the latest unwrappings whose reads have not come yet.
type wraps struct {
	reads   map[string]wrappedRead
	order   ring[string]
	waiting map[string][]Entry
	waits   ring[WrappingToken]
	due     []Entry // waiting ones whose read has come
	// matched are the latest requests whose read is known, which several audit devices may have logged.
	matched  map[string]bool
	requests ring[string]
	// gone are unwrappings that wait no more, because there were too many.
	gone []Entry
}

// wrappedRead is a read that gave out a wrapping token.
type wrappedRead struct {
	token       TokenID
	at          time.Time // zero if the log does not tell
	accessToken bool
	elsewhere   bool // it is no credential of the mount
}

func newWraps() wraps {
	return wraps{reads: map[string]wrappedRead{}, waiting: map[string][]Entry{}, matched: map[string]bool{}}
}

const tokenKey = "token "

// keys are the names of a wrapping token.
func (w WrappingToken) keys() []string {
	var keys []string
	if w.Token != "" {
		keys = append(keys, tokenKey+w.Token)
	}
	if w.Accessor != "" {
		keys = append(keys, "accessor "+w.Accessor)
	}
	return keys
}

// add keeps a read, and makes due what has waited for it.
func (w *wraps) add(token WrappingToken, read wrappedRead) {
	for _, key := range token.keys() {
		if dropped, full := w.order.push(key, 2*maxWrapped); full {
			delete(w.reads, dropped)
		}
		w.reads[key] = read
	}
	for _, key := range token.keys() {
		for _, e := range w.waiting[key] {
			w.due = append(w.due, e)
			for _, key := range e.Unwraps.keys() {
				delete(w.waiting, key)
			}
		}
	}
}

// spend returns the read of an unwrapping or rewrapping. Without one, the entry waits for it.
func (w *wraps) spend(e *Entry) (wrappedRead, bool) {
	for _, key := range e.Unwraps.keys() {
		if read, ok := w.reads[key]; ok {
			w.match(e.RequestID)
			return read, true
		}
	}
	if e.Unwraps == (WrappingToken{}) || w.matched[e.RequestID] {
		return wrappedRead{}, false
	}
	if dropped, full := w.waits.push(e.Unwraps, maxWrapped); full {
		w.drop(dropped)
	}
	for _, key := range e.Unwraps.keys() {
		w.waiting[key] = append(w.waiting[key], *e)
	}
	// Without the read, the answer to a rewrapping tells its path.
	known := e.Kind == KindRewrap && (e.Token != TokenID{} || e.Elsewhere)
	return wrappedRead{token: e.Token, accessToken: e.AccessToken, elsewhere: e.Elsewhere}, known
}

func (w *wraps) match(request string) {
	if request == "" || w.matched[request] {
		return
	}
	if dropped, full := w.requests.push(request, maxWrapped); full {
		delete(w.matched, dropped)
	}
	w.matched[request] = true
}

func (w *wraps) drop(token WrappingToken) {
	for _, key := range token.keys() {
		for _, e := range w.waiting[key] {
			if e.Ours || e.Untold {
				w.gone = append(w.gone, Entry{RequestID: e.RequestID, Ours: e.Ours, Untold: e.Untold, WrappingToken: e.WrappingToken})
			}
		}
		delete(w.waiting, key)
	}
}

// unmatched counts the requests that were added without their reads: those of this engine's credentials, and reads of
// cubbyholes, which may hold anything. One that is wrapped again counts when that is unwrapped.
func (w *wraps) unmatched() (ours, untold int) {
	counted := map[string]bool{}
	count := func(entries []Entry) {
		for _, e := range entries {
			id := e.RequestID
			if e.WrappingToken.Token != "" || id != "" && (counted[id] || w.matched[id]) {
				continue
			}
			counted[id] = true
			switch {
			case e.Ours:
				ours++
			case e.Untold:
				untold++
			}
		}
	}
	for key, entries := range w.waiting {
		if strings.HasPrefix(key, tokenKey) || entries[0].Unwraps.Token == "" {
			count(entries)
		}
	}
	count(w.gone)
	return ours, untold
}

// ring keeps the latest elements.
type ring[T any] struct {
	elements []T
	oldest   int
}

// push returns the element that has to go, if there are too many.
func (r *ring[T]) push(element T, capacity int) (dropped T, full bool) {
	if len(r.elements) < capacity {
		r.elements = append(r.elements, element)
		return dropped, false
	}
	dropped = r.elements[r.oldest]
	r.elements[r.oldest] = element
	r.oldest = (r.oldest + 1) % capacity
	return dropped, true
}
