package backend

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/cache"
)

// What the outbox stores: the messages that wait, and what was dropped, by the ID of the notification.
const (
	notificationPrefix      = "notification/"
	notificationQueuePrefix = "notification-queue/"
	notificationStatePrefix = "notification-state/"
)

// maxUntold bounds what happens before the notifications are read after a start.
const maxUntold = maxWaiting

// outboxTimeout bounds one use of storage.
const outboxTimeout = 5 * time.Second

// outbox has the queues of all notifications. The zero value is ready for use, and knows nothing until it is loaded, on the node that
// may write.
type outbox struct {
	// loading is held by whoever brings the queues into memory.
	loading cache.Locks
	ahead   toldAhead

	mu     sync.Mutex
	loaded bool
	queues map[string]*queue
	// postponed is what happened before the queues were loaded, and could not wait for that.
	postponed []func(context.Context)
}

// open returns the queue of a notification, a new one if need be.
func (o *outbox) open(name, id string) *queue {
	o.mu.Lock()
	defer o.mu.Unlock()
	if q := o.queues[name]; q != nil && q.id == id {
		return q
	}
	if o.queues == nil {
		o.queues = map[string]*queue{}
	}
	q := newQueue(name, id)
	o.queues[name] = q
	return q
}

// close forgets the queue of a notification that is deleted, and ends the sending.
func (o *outbox) close(name string) {
	o.mu.Lock()
	q := o.queues[name]
	delete(o.queues, name)
	o.mu.Unlock()
	if q != nil {
		q.mu.Lock()
		q.closed = true
		q.mu.Unlock()
		q.wakeUp()
	}
}

// get returns the queue of a notification; nil where there is none, or nothing is loaded.
func (o *outbox) get(name string) *queue {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.queues[name]
}

// postpone keeps what is to be told once the queues are loaded.
func (o *outbox) postpone(tell func(context.Context)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.postponed) < maxUntold {
		o.postponed = append(o.postponed, tell)
	}
}

// takePostponed returns what was postponed, once.
func (o *outbox) takePostponed() []func(context.Context) {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.postponed
	o.postponed = nil
	return all
}

func (o *outbox) isLoaded() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.loaded
}

// loadOutbox brings the notifications and the keys of what waits for them into memory, once.
func (b *backend) loadOutbox(ctx context.Context, storage logical.Storage) error {
	if b.outbox.isLoaded() {
		return nil
	}
	unlock, err := b.outbox.loading.Lock(ctx, "")
	if err != nil {
		return err
	}
	defer unlock()
	if b.outbox.isLoaded() {
		return nil
	}
	names, err := b.notifications.List(ctx, storage)
	if err != nil {
		return err
	}
	known, complete := map[string]bool{}, true
	for _, name := range names {
		n, err := b.notifications.Get(ctx, storage, name)
		if err != nil || n == nil {
			complete = complete && err == nil
			b.logNotification(name, "reading a notification failed", err)
			continue
		}
		known[n.ID] = true
		b.metrics.knowNotification(name)
		if err := b.loadQueue(ctx, storage, b.outbox.open(name, n.ID)); err != nil {
			return err
		}
	}
	b.outbox.mu.Lock()
	b.outbox.loaded = true
	b.outbox.mu.Unlock()
	if complete {
		b.forgetOrphans(ctx, storage, known)
	}
	return nil
}

// loadQueue reads what waits for a notification, and drops what is too much.
func (b *backend) loadQueue(ctx context.Context, storage logical.Storage, q *queue) error {
	if err := b.readQueue(ctx, storage, q); err != nil {
		return err
	}
	b.dropMessages(ctx, q, q.add(b.now()))
	return nil
}

// readQueue reads the keys of what waits for a notification. The messages themselves are read when it is their turn.
func (b *backend) readQueue(ctx context.Context, storage logical.Storage, q *queue) error {
	keys, err := storage.List(ctx, notificationQueuePrefix+q.id+"/")
	if err != nil {
		return fmt.Errorf("listing what waits for notification %q: %w", q.name, err)
	}
	var dropped droppedState
	if stored, err := storage.Get(ctx, notificationStatePrefix+q.id); err != nil {
		return fmt.Errorf("reading what notification %q has dropped: %w", q.name, err)
	} else if stored != nil {
		b.logNotification(q.name, "the count of dropped messages cannot be used", decodeJSON(stored.Value, messageSchema, &dropped))
	}
	q.restore(keys, dropped)
	return nil
}

// forgetOrphans deletes what waits for notifications that are deleted.
func (b *backend) forgetOrphans(ctx context.Context, storage logical.Storage, known map[string]bool) {
	for _, prefix := range []string{notificationQueuePrefix, notificationStatePrefix} {
		ids, err := storage.List(ctx, prefix)
		b.logNotification("", "looking for messages of deleted notifications failed", err)
		for _, id := range ids {
			if id = strings.TrimSuffix(id, "/"); !known[id] {
				b.logNotification("", "forgetting messages of a deleted notification failed", b.forgetMessages(id))
			}
		}
	}
}

// forgetMessages deletes all that is stored for a notification that is deleted.
func (b *backend) forgetMessages(id string) error {
	queue := notificationQueuePrefix + id + "/"
	keys, err := b.storage.List(b.work, queue)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := b.storage.Delete(b.work, queue+key); err != nil {
			return err
		}
	}
	return b.storage.Delete(b.work, notificationStatePrefix+id)
}

// storeMessage has storage take a message.
func (b *backend) storeMessage(ctx context.Context, q *queue, w *waitingMessage) error {
	stored, err := json.Marshal(w.message)
	if err != nil {
		return fmt.Errorf("encoding a message: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, outboxTimeout)
	defer cancel()
	return b.storage.Put(ctx, &logical.StorageEntry{Key: notificationQueuePrefix + q.id + "/" + w.key, Value: stored})
}

// forgetMessage has storage forget a message.
func (b *backend) forgetMessage(ctx context.Context, q *queue, key string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), outboxTimeout)
	defer cancel()
	return b.storage.Delete(ctx, notificationQueuePrefix+q.id+"/"+key)
}

// dropMessages has storage forget messages that nobody gets.
func (b *backend) dropMessages(ctx context.Context, q *queue, keys []string) {
	if len(keys) == 0 {
		return
	}
	b.metrics.notified(q.name, notifyDropped, len(keys))
	b.Logger().Warn("messages were dropped: they were too old, or too many wait", "notification", q.name, "messages", len(keys), "dropped_in_all", q.state().dropped)
	for _, key := range keys {
		// What storage keeps is dropped again after the next start.
		b.logNotification(q.name, "forgetting a dropped message failed", b.forgetMessage(ctx, q, key))
	}
}

// saveDropped stores the count of what was dropped, if storage has another one.
func (b *backend) saveDropped(ctx context.Context, q *queue) {
	q.mu.Lock()
	state, unsaved := droppedState{Schema: messageSchema, Dropped: q.dropped, DroppedAt: q.droppedAt}, q.unsaved && !q.closed
	q.unsaved = false
	q.mu.Unlock()
	if !unsaved {
		return
	}
	entry, err := logical.StorageEntryJSON(notificationStatePrefix+q.id, state)
	if err == nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), outboxTimeout)
		defer cancel()
		err = b.storage.Put(ctx, entry)
	}
	if err != nil {
		q.mu.Lock()
		q.unsaved = true
		q.mu.Unlock()
		b.logNotification(q.name, "storing the count of dropped messages failed", err)
	}
}

func (b *backend) logNotification(name, what string, err error) {
	if err != nil && b.work.Err() == nil {
		b.Logger().Error(what, "notification", name, "error", b.mountPath.fillIn(err))
	}
}
