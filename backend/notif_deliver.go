package backend

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// longestNotifySleep is how long whoever sends sleeps at most. Messages are due by the wall clock: see schedule.Scheduler.
	longestNotifySleep = 10 * time.Second
	// outboxLoadTimeout bounds the reading of the notifications after a start.
	outboxLoadTimeout = 30 * time.Second
	// notifyStorageRetry is when storage is tried again for a message.
	notifyStorageRetry = 5 * time.Second
	// saveDroppedEvery bounds how often the count of dropped messages is stored.
	saveDroppedEvery = 10 * time.Second
)

// startOutbox sends what waits since before the start. It returns when the outbox is loaded, or the mount is closed.
func (b *backend) startOutbox() {
	for b.work.Err() == nil {
		if !b.WriteSafeReplicationState() {
			b.pause(longestNotifySleep)
			continue
		}
		ctx, cancel := context.WithTimeout(b.work, outboxLoadTimeout)
		err := b.loadOutbox(ctx, b.storage)
		cancel()
		if err == nil {
			break
		}
		b.logNotification("", "reading the notifications failed", err)
		b.pause(retryStorage)
	}
	for _, tell := range b.outbox.takePostponed() {
		tell(b.work)
	}
	for _, n := range b.notifications.All() {
		b.sendWaiting(n.name)
	}
}

// sendWaiting has what waits for a notification sent. Each has a goroutine of its own for as long as something waits, so that no
// receiver holds up another one, or anything else.
func (b *backend) sendWaiting(name string) {
	q := b.outbox.get(name)
	if q == nil {
		return
	}
	q.wakeUp()
	if b.outboxByHand || !q.begin() {
		return
	}
	go func() {
		for b.contain("sending notifications", name, func() { b.sendQueue(b.work, q) }) {
			b.pause(retryPanic)
		}
	}()
}

// sendQueue sends what waits until nothing does, or the mount is closed.
func (b *backend) sendQueue(ctx context.Context, q *queue) {
	var saved time.Time
	for ctx.Err() == nil {
		wait := longestNotifySleep
		if b.WriteSafeReplicationState() {
			if b.now().Sub(saved).Abs() >= saveDroppedEvery {
				b.saveDropped(ctx, q)
				saved = b.now()
			}
			again, next := b.sendNext(ctx, q)
			switch {
			case !again:
				b.saveDropped(ctx, q)
				b.sendWaiting(q.name) // for what came since
				return
			case next <= 0:
				continue
			}
			wait = min(next, longestNotifySleep)
		}
		select {
		case <-ctx.Done():
		case <-q.wake:
		case <-time.After(wait):
		}
	}
}

// sendNext takes one step: it sends a message, or says how long nothing has to be done, or that nothing waits.
func (b *backend) sendNext(ctx context.Context, q *queue) (again bool, wait time.Duration) {
	b.dropMessages(ctx, q, q.expire(b.now()))
	w, wait := q.pick(b.now())
	if w == nil {
		return wait > 0, wait
	}
	noted := b.unstored.begin()
	defer noted()
	if !w.taken {
		n, err := b.notifications.Get(ctx, b.storage, q.name)
		if err == nil && (n == nil || n.ID != q.id) {
			q.remove(w)
			return true, 0
		}
		if err == nil {
			err = b.prepareMessage(ctx, q, w)
		}
		if errors.Is(err, errUnreadableMessage) {
			b.logNotification(q.name, "a message is dropped", err)
			b.dropMessages(ctx, q, q.drop(w, b.now()))
			return true, 0
		}
		if err != nil {
			b.logNotification(q.name, "a message cannot be sent yet", err)
			q.later(w, b.now().Add(notifyStorageRetry))
			return true, 0
		}
		if w.message == nil {
			q.remove(w)
			return true, 0
		}
		if b.sendOne(ctx, q, n, w); !w.taken {
			return true, 0
		}
	}
	if err := b.forgetMessage(ctx, q, w.key); err != nil {
		b.logNotification(q.name, "forgetting a message that was sent failed", err)
		q.later(w, b.now().Add(notifyStorageRetry))
		return true, 0
	}
	q.remove(w)
	return true, 0
}

var errUnreadableMessage = errors.New("a message in storage cannot be used")

// prepareMessage stores a message that storage has not taken yet, or reads one from an earlier start. What cannot be read is nil
// afterwards.
func (b *backend) prepareMessage(ctx context.Context, q *queue, w *waitingMessage) error {
	if w.unstored {
		if err := b.storeMessage(ctx, q, w); err != nil {
			return err
		}
		w.unstored = false
	}
	if w.message != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, outboxTimeout)
	defer cancel()
	stored, err := b.storage.Get(ctx, notificationQueuePrefix+q.id+"/"+w.key)
	if err != nil || stored == nil {
		return err
	}
	var m message
	if err := decodeJSON(stored.Value, messageSchema, &m); err != nil {
		return fmt.Errorf("%w: %s: %w", errUnreadableMessage, w.key, err)
	}
	w.message = &m
	return nil
}

// sendOne tries to send a message. An answer that comes while the mount is closed still counts: Clean waits for it to be noted.
func (b *backend) sendOne(ctx context.Context, q *queue, n *notification, w *waitingMessage) {
	d := n.send(ctx, w.message)
	if !d.ok && ctx.Err() != nil {
		return // the mount is closed, which says nothing of the receiver
	}
	if q.tried(w, d, b.now()) {
		b.Logger().Warn("a notification's receiver does not take a message; it is tried again for three days", "notification", q.name, "detail", d.detail)
	}
	if d.ok {
		b.metrics.notified(q.name, notifySent, 1)
	} else {
		b.metrics.notified(q.name, notifyFailed, 1)
	}
}
