package backend

import (
	"context"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
)

// tryNotification sends a message that says that it is one to try the receiver. When it is taken, what waits is sent at once.
func (b *backend) tryNotification(ctx context.Context, storage logical.Storage, name, mount string) (delivery, time.Duration, error) {
	n, err := b.notifications.Load(ctx, storage, name)
	if err != nil {
		return delivery{}, 0, err
	}
	if n == nil {
		return delivery{}, 0, unknownNotification(name)
	}
	defer n.hangUp()
	id, err := newMessageID()
	if err != nil {
		return delivery{}, 0, err
	}
	m := message{
		Schema: messageSchema, ID: id, Type: eventTest, At: b.now().UTC(),
		Data: messageData{Detail: "somebody tries whether this receiver is told: there is nothing to do"},
	}
	start := time.Now()
	result := n.send(ctx, m.at(mount))
	took := time.Since(start)
	if err := ctx.Err(); err != nil {
		return delivery{}, took, err
	}
	if q := b.outbox.get(name); q != nil && result.ok {
		q.hasten()
	}
	return result, took, nil
}
