package backend

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/hashicorp/go-uuid"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/cache"
)

// writeNotification checks and stores a notification.
func (b *backend) writeNotification(ctx context.Context, storage logical.Storage, w *notificationWrite) error {
	unlock, err := b.notificationLocks.Lock(ctx, w.name)
	if err != nil {
		return err
	}
	defer unlock()
	stored, err := b.notifications.Load(ctx, storage, w.name)
	if err != nil {
		return err
	}
	id, err := uuid.GenerateUUID()
	if err != nil {
		return fmt.Errorf("making an ID: %w", err)
	}
	entry, err := w.apply(stored, id)
	if err != nil {
		return err
	}
	next, err := b.newNotification(w.name, entry)
	if err != nil {
		return badInput("%s; nothing was changed", err)
	}
	next.hangUp()
	if err := b.notifications.Put(ctx, storage, w.name, entry); err != nil {
		return err
	}
	b.metrics.knowNotification(w.name)
	b.outbox.open(w.name, entry.ID)
	b.sendWaiting(w.name) // a new address may answer where the old one did not
	return nil
}

// deleteNotification deletes a notification. What waits for it is forgotten, which goes on in the background: after a crash the next
// start does it.
func (b *backend) deleteNotification(ctx context.Context, storage logical.Storage, name string) error {
	unlock, err := b.notificationLocks.Lock(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	stored, err := b.notifications.Load(ctx, storage, name)
	if _, damaged := errors.AsType[*cache.DamagedError](err); err != nil && !damaged {
		return err // a damaged one can be deleted: there is nothing in it that is not in the operator's hands
	}
	if err := b.notifications.Delete(ctx, storage, name); err != nil {
		return err
	}
	b.outbox.close(name)
	b.metrics.forgetNotification(name)
	if stored != nil {
		go b.contain("forgetting messages", name, func() {
			b.logError("forgetting the messages of a deleted notification", "", b.forgetMessages(stored.ID))
		})
	}
	return nil
}

func unknownNotification(name string) error {
	return logical.CodedError(http.StatusNotFound, fmt.Sprintf("notification %q does not exist; `vault list <mount>/notifications` shows those that do", name))
}
