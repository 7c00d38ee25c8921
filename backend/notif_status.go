package backend

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
)

// droppedWarning is for how long status warns that messages were dropped.
const droppedWarning = maxMessageAge

// notificationStates tells of what waits for each notification that can be read. The node that sends knows it; any other one asks
// storage. After an error, which is storage's, something is missing.
func (b *backend) notificationStates(ctx context.Context, storage logical.Storage) (map[string]queueState, error) {
	ctx, cancel := context.WithTimeout(ctx, surveyPatience)
	defer cancel()
	if b.WriteSafeReplicationState() {
		err := b.loadOutbox(ctx, storage)
		return b.outbox.states(), err
	}
	states := map[string]queueState{}
	names, err := b.notifications.List(ctx, storage)
	if err != nil {
		return states, err
	}
	for _, name := range names {
		n, err := b.notifications.Get(ctx, storage, name)
		if err != nil || n == nil {
			continue
		}
		q := newQueue(name, n.ID)
		if err := b.readQueue(ctx, storage, q); err != nil {
			return states, err
		}
		states[name] = q.state()
	}
	return states, nil
}

// unreadableNotifications says which notifications cannot be used, and why.
func (b *backend) unreadableNotifications(ctx context.Context, storage logical.Storage) []string {
	ctx, cancel := context.WithTimeout(ctx, surveyPatience)
	defer cancel()
	names, err := b.notifications.List(ctx, storage)
	if err != nil {
		return []string{"the notifications cannot be read: " + err.Error()}
	}
	var problems []string
	for _, name := range names {
		if _, err := b.notifications.Get(ctx, storage, name); err != nil {
			problems = append(problems, fmt.Sprintf("%s. Nothing is told there; delete the notification, and configure it anew", err))
		}
	}
	return problems
}

// states are those of all queues.
func (o *outbox) states() map[string]queueState {
	o.mu.Lock()
	queues := maps.Clone(o.queues)
	o.mu.Unlock()
	states := make(map[string]queueState, len(queues))
	for name, q := range queues {
		states[name] = q.state()
	}
	return states
}

// shown is what status and lists tell of a queue.
func (s queueState) shown() map[string]any {
	return map[string]any{"waiting": s.waiting, "dropped": s.dropped, "last_error": s.lastError}
}

// notificationProblems says what a person has to look at, in the order of the names.
func notificationProblems(states map[string]queueState, now time.Time) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(states)) {
		s := states[name]
		where := notificationsPrefix + name + ": "
		if s.lastError != "" && s.waiting > 0 {
			all = append(all, fmt.Sprintf("%s%d messages wait, the oldest since %s; the last try: %s; `vault write -f <mount>/%s%s/test` tries now",
				where, s.waiting, s.oldest.UTC().Format(time.RFC3339), s.lastError, notificationsPrefix, name))
		}
		if s.dropped > 0 && now.Sub(s.droppedAt) < droppedWarning {
			all = append(all, fmt.Sprintf("%smessages were dropped, %d in all, the last at %s: too many waited, or the receiver did not take them for three days",
				where, s.dropped, s.droppedAt.UTC().Format(time.RFC3339)))
		}
	}
	if surplus := len(all) - maxNotificationProblems; surplus > 0 {
		all = append(all[:maxNotificationProblems], fmt.Sprintf("%d more problems of notifications", surplus))
	}
	return all
}

// maxNotificationProblems keeps the warnings on one screen.
const maxNotificationProblems = 10
