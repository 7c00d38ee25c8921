package backend

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

const (
	// maxWaiting is how many messages wait for one receiver. The oldest is dropped for one more.
	maxWaiting = 1000
	// maxMessageAge is for how long a message is tried.
	maxMessageAge = 3 * 24 * time.Hour
)

// queue are the messages that wait for the receiver of one notification, oldest first. It is in memory, on the node that sends; storage
// has the messages.
type queue struct {
	name, id string
	// wake has whoever sends look at the queue.
	wake chan struct{}

	mu      sync.Mutex
	waiting []*waitingMessage
	// sending says that somebody sends what waits.
	sending bool
	// closed is set once the notification is deleted.
	closed bool
	// failures counts tries in a row that the receiver did not answer as it should, and next is when it is tried again.
	failures int
	next     time.Time
	// lastError is why the last try failed; empty after one that did not.
	lastError string
	lastSent  time.Time
	// dropped counts messages that nobody got, and unsaved whether storage has another count.
	dropped   int
	droppedAt time.Time
	unsaved   bool
}

// waitingMessage is one of a queue.
type waitingMessage struct {
	key string
	at  time.Time
	id  string
	// message is nil until it is read from storage.
	message *message
	// unstored says that storage has not taken it yet.
	unstored bool
	// taken says that the receiver has it, and storage is to forget it.
	taken bool
	// tries counts those that the receiver has refused, for this message alone, and next is when it is tried again.
	tries int
	next  time.Time
}

func newQueue(name, id string) *queue {
	return &queue{name: name, id: id, wake: make(chan struct{}, 1)}
}

func (q *queue) wakeUp() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// has says whether the message waits.
func (q *queue) has(id string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.ContainsFunc(q.waiting, func(w *waitingMessage) bool { return w.id == id })
}

// restore fills the queue with what storage has.
func (q *queue) restore(keys []string, dropped droppedState) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.dropped, q.droppedAt = dropped.Dropped, dropped.DroppedAt
	known := map[string]bool{}
	for _, w := range q.waiting {
		known[w.id] = true
	}
	for _, key := range keys {
		if at, id, ok := parseMessageKey(key); ok && !known[id] {
			known[id] = true
			q.waiting = append(q.waiting, &waitingMessage{key: key, at: at, id: id})
		}
	}
	slices.SortStableFunc(q.waiting, func(a, b *waitingMessage) int { return strings.Compare(a.key, b.key) })
}

// droppedState is how what was dropped is stored.
type droppedState struct {
	Schema    int       `json:"schema"`
	Dropped   int       `json:"dropped"`
	DroppedAt time.Time `json:"dropped_at,omitzero"`
}

// add puts messages at the end, and returns the keys of those that have to go for them.
func (q *queue) add(now time.Time, fresh ...*waitingMessage) (dropped []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, fresh...)
	for surplus := q.count() - maxWaiting; surplus > 0; surplus-- {
		i := slices.IndexFunc(q.waiting, func(w *waitingMessage) bool { return !w.taken })
		dropped = append(dropped, q.waiting[i].key)
		q.waiting = slices.Delete(q.waiting, i, i+1)
	}
	q.countDropped(len(dropped), now)
	return dropped
}

// count counts those that the receiver does not have.
func (q *queue) count() int {
	n := 0
	for _, w := range q.waiting {
		if !w.taken {
			n++
		}
	}
	return n
}

func (q *queue) countDropped(n int, now time.Time) {
	if n > 0 {
		q.dropped += n
		q.droppedAt, q.unsaved = now.UTC(), true
	}
}

// remove takes a message out.
func (q *queue) remove(w *waitingMessage) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = slices.DeleteFunc(q.waiting, func(other *waitingMessage) bool { return other == w })
}

// drop takes out a message that nobody gets, and returns its key.
func (q *queue) drop(w *waitingMessage, now time.Time) (dropped []string) {
	q.remove(w)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.countDropped(1, now)
	return []string{w.key}
}

// expire takes out what is too old to be sent, and returns the keys.
func (q *queue) expire(now time.Time) (dropped []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = slices.DeleteFunc(q.waiting, func(w *waitingMessage) bool {
		old := !w.taken && now.Sub(w.at) > maxMessageAge
		if old {
			dropped = append(dropped, w.key)
		}
		return old
	})
	q.countDropped(len(dropped), now)
	return dropped
}

// pick returns the message whose turn it is, or how long nothing has to be done. With neither the queue is empty, and whoever sent has
// stopped.
func (q *queue) pick(now time.Time) (w *waitingMessage, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 || q.closed {
		q.sending = false
		return nil, 0
	}
	var soonest time.Time
	for _, other := range q.waiting {
		next := other.next
		if !other.taken && q.next.After(next) {
			next = q.next
		}
		if !next.After(now) {
			return other, 0
		}
		if soonest.IsZero() || next.Before(soonest) {
			soonest = next
		}
	}
	return nil, soonest.Sub(now)
}

// begin says whether the caller is to send what waits: nobody else does, and something is there.
func (q *queue) begin() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.sending || q.closed || len(q.waiting) == 0 {
		return false
	}
	q.sending = true
	return true
}

// later puts a message off by itself.
func (q *queue) later(w *waitingMessage, at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	w.next = at
}

// tried notes how a try has ended, and returns whether it is the first failure after a success.
func (q *queue) tried(w *waitingMessage, d delivery, now time.Time) (firstFailure bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case d.ok:
		w.taken, q.failures, q.next, q.lastError, q.lastSent = true, 0, time.Time{}, "", now.UTC()
		return false
	case d.refused: // this message, and maybe no other
		w.tries++
		w.next = now.Add(rotation.Backoff(w.tries-1, firstNotifyRetry, lastNotifyRetry, d.retryAfter))
	default:
		q.failures++
		q.next = now.Add(rotation.Backoff(q.failures-1, firstNotifyRetry, lastNotifyRetry, d.retryAfter))
	}
	firstFailure = q.lastError == ""
	q.lastError = d.detail
	return firstFailure
}

// hasten has the receiver tried again at once.
func (q *queue) hasten() {
	q.mu.Lock()
	q.failures, q.next = 0, time.Time{}
	for _, w := range q.waiting {
		w.next = time.Time{}
	}
	q.mu.Unlock()
	q.wakeUp()
}

// state is what is shown of the queue.
func (q *queue) state() queueState {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := queueState{waiting: q.count(), dropped: q.dropped, droppedAt: q.droppedAt, lastError: q.lastError, lastSent: q.lastSent}
	if i := slices.IndexFunc(q.waiting, func(w *waitingMessage) bool { return !w.taken }); i >= 0 {
		s.oldest = q.waiting[i].at
	}
	return s
}

// queueState is what a person has to know of a queue.
type queueState struct {
	waiting, dropped            int
	oldest, droppedAt, lastSent time.Time
	lastError                   string
}
