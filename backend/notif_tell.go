package backend

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// tell stores a message for each notification that wants to know of the event, and has it sent. It is called with whatever lock the
// caller has, and takes no longer than outboxTimeout. What was told ahead is not told again.
func (b *backend) tell(ctx context.Context, h happening) {
	if b.outbox.ahead.take(h) {
		return
	}
	b.tellAs(ctx, h, "")
}

// tellAhead tells of a state that lasts, before the record that has it is stored: a crash in between has it told again when the state is
// found again, under the same webhook-id, and never not at all. What tells this state from others of the token goes into key. A state
// that this process has told already is not told again. Pairs are the metadata of the event.
func (b *backend) tellAhead(ctx context.Context, eventType string, t *token, key string, pairs ...string) {
	h := newHappening(eventType, t, pairs)
	id := stateID(h, key)
	if b.outbox.ahead.put(h, id) && !b.tellAs(ctx, h, id) {
		b.outbox.ahead.forget(id) // nobody wants to know: whoever comes later may
	}
}

// tellAs tells of an event under the given webhook-id, or a new one where that is empty. It says whether anybody is told.
func (b *backend) tellAs(ctx context.Context, h happening, id string) (told bool) {
	if b.storage == nil || !b.WriteSafeReplicationState() {
		return false
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), outboxTimeout)
	defer cancel()
	if id == "" {
		var err error
		if id, err = newMessageID(); err != nil {
			b.logNotification("", "an event cannot be told", err)
			return false
		}
	}
	m := message{Schema: messageSchema, ID: id, Type: h.eventType, At: b.now().UTC(), Data: h.data(b.providerOf(h))}
	if err := b.loadOutbox(ctx, b.storage); err != nil {
		b.outbox.postpone(func(ctx context.Context) { b.distribute(ctx, m) })
		return true
	}
	return b.distribute(ctx, m)
}

// distribute gives the message to all that want it, and says whether anybody does.
func (b *backend) distribute(ctx context.Context, m message) (wanted bool) {
	for _, n := range b.notifications.All() {
		if q := b.outbox.get(n.name); q != nil && q.id == n.ID && n.wants(m.Type) {
			b.enqueue(ctx, q, m.at(b.mountFor(n)))
			wanted = true
		}
	}
	return wanted
}

// enqueue stores a message, and has it sent.
func (b *backend) enqueue(ctx context.Context, q *queue, m *message) {
	if q.has(m.ID) {
		return
	}
	w := &waitingMessage{key: m.key(), at: m.At, id: m.ID, message: m}
	if err := b.storeMessage(ctx, q, w); err != nil {
		w.unstored = true
		b.logNotification(q.name, "storing a message failed; it is tried again", err)
	}
	b.dropMessages(ctx, q, q.add(b.now(), w))
	b.sendWaiting(q.name)
}

// mountFor is the path of the mount: as the last request had it, or as it was when the notification was written.
func (b *backend) mountFor(n *notification) string {
	if last := b.mountPath.last.Load(); last != nil {
		return *last
	}
	return n.Mount
}

// providerOf is that of the event's account, as far as it is known without storage.
func (b *backend) providerOf(h happening) string {
	name := h.metadata["account"]
	if h.token != nil {
		name = h.token.Account
	}
	if a := b.accounts.Peek(name); a != nil {
		return a.Provider
	}
	return ""
}

// stateID is the webhook-id of a state that lasts, the same whenever it is found.
func stateID(h happening, key string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s\n%d\n%s", h.eventType, h.token.name, h.token.ID, h.token.Number(), key))
	return messageIDPrefix + hex.EncodeToString(sum[:16])
}

// wordsThatVary are those with a digit in them, such as the ids of requests, and times.
var wordsThatVary = provider.Pattern(`[\w.:-]*[0-9][\w.:-]*|\[request id [^\]]*\]`)

// sameProblem is a problem's text without what differs from try to try.
func sameProblem(problem string) string { return wordsThatVary().ReplaceAllString(problem, "#") }
