package backend

import (
	"context"
	"strings"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
)

const notificationsHelpLong = `
A notification tells a receiver, over HTTPS, what happens to tokens: that a rotation has failed, a value was found rejected, a person is
late. It works on every edition of Vault, also where Vault's own events reach nobody.

    vault write adtokens/notifications/ops url=https://hooks.example.com/adtokens secret="whsec_$(openssl rand -base64 32)"

The receiver has to know the secret: each message is signed with it as Standard Webhooks prescribe, and libraries for that are there in
most languages. format=slack sends what Slack's incoming webhooks take, and others who understand these; their url is the secret.

events names what is told, where * stands for any characters, with or without "adtokens/". No message has a value of a credential.

A message is stored before it is sent, and sent again with the same webhook-id until the receiver answers with 2xx, for three days. At
most 1,000 messages wait; the oldest is dropped for one more. status and metrics tell of both.

Secrets are write-only. A change of url or ca_cert takes the secret again, in the same write. notifications/<name>/test sends a message
now.
`

const notificationsTryHelp = `A message of the type adtokens/test is sent now, and the answer tells how that went. A receiver that does not take it is no error
of the request: ok is false then, and detail says what happened. The message is not stored, and not sent again. When the receiver has taken it, what
waits for it is sent at once.`

func (b *backend) pathNotifications() *framework.Path {
	return &framework.Path{
		Pattern:        notificationsPrefix + namePattern("name") + "$",
		Fields:         notificationSchemas(),
		ExistenceCheck: b.pathNotificationsExist,
		DisplayAttrs:   &framework.DisplayAttributes{OperationPrefix: operationPrefix, OperationSuffix: "notification"},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.CreateOperation: writeOperation(b.pathNotificationsWrite, "Configure a notification.", "configure", warningsOnly),
			logical.UpdateOperation: writeOperation(b.pathNotificationsWrite, "Change a notification.", "configure", warningsOnly),
			logical.ReadOperation:   readOperation(b.pathNotificationsRead, "Read a notification, without its secrets.", "read", notificationResponseFields()),
			logical.DeleteOperation: writeOperation(b.pathNotificationsDelete, "Delete a notification, and what waits for it.", "delete", warningsOnly),
		},
		HelpSynopsis:    "Configure who is told what happens.",
		HelpDescription: strings.TrimSpace(notificationsHelpLong),
	}
}

func (b *backend) pathNotificationsList() *framework.Path {
	return &framework.Path{
		Pattern:      notificationsPrefix + "?$",
		DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: operationPrefix, OperationSuffix: "notifications"},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ListOperation: listOperation(b.pathNotificationsListAll, "List the notifications.", "Format, events, waiting, dropped and last_error of each."),
		},
		HelpSynopsis:    "List the notifications.",
		HelpDescription: "With -detailed also the format and events of each, how many messages wait and were dropped, and why the last try failed.",
	}
}

func (b *backend) pathNotificationsTry() *framework.Path {
	return &framework.Path{
		Pattern:      notificationsPrefix + namePattern("name") + "/test$",
		Fields:       map[string]*framework.FieldSchema{"name": {Type: framework.TypeString, Required: true, Description: "Name of the notification."}},
		DisplayAttrs: &framework.DisplayAttributes{OperationPrefix: operationPrefix, OperationSuffix: "notification"},
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.UpdateOperation: writeOperation(b.pathNotificationsTryWrite, "Send a message now, and tell how it went.", "test",
				ok("How it went.", map[string]*framework.FieldSchema{
					"ok":          {Type: framework.TypeBool, Required: true, Description: "Whether the receiver has taken the message."},
					"status":      {Type: framework.TypeInt, Required: true, Description: "HTTP status of the answer, 0 where none came."},
					"detail":      {Type: framework.TypeString, Required: true, Description: "What happened, in a sentence."},
					"duration_ms": {Type: framework.TypeInt, Required: true, Description: "How long it took, in milliseconds."},
				})),
		},
		HelpSynopsis:    "Send a message now, and tell how it went.",
		HelpDescription: notificationsTryHelp,
	}
}

func notificationSchemas() map[string]*framework.FieldSchema {
	fields := map[string]*framework.FieldSchema{
		"name": {Type: framework.TypeString, Required: true, Description: "Name of the notification."},
		fieldNotifyEvents: {
			Type:        framework.TypeCommaStringSlice,
			Description: "Names of events, where * stands for any characters. Default: " + strings.Join(defaultNotified, ", ") + ".",
		},
	}
	for _, f := range notificationFields() {
		addFieldSchema(fields, f, "")
	}
	fields[fieldNotifyURL].DisplayAttrs.Sensitive = true // that of slack is
	fields[fieldNotifyFormat].AllowedValues = allowed([]string{formatStandard, formatSlack})
	return fields
}

func notificationResponseFields() map[string]*framework.FieldSchema {
	return map[string]*framework.FieldSchema{
		fieldNotifyURL:    {Type: framework.TypeString, Description: "Address of the receiver, without a query; not for slack."},
		fieldNotifyCACert: {Type: framework.TypeString, Required: true, Description: "PEM encoded CA certificates that are trusted for url."},
		fieldNotifyFormat: {Type: framework.TypeString, Required: true, Description: "standard_webhooks or slack."},
		fieldNotifyEvents: {Type: framework.TypeStringSlice, Required: true, Description: "Names of the events that are told."},
		"secrets_set":     {Type: framework.TypeStringSlice, Required: true, Description: "Names of the secret fields that have a value."},
		"waiting":         {Type: framework.TypeInt, Required: true, Description: "How many messages wait for the receiver."},
		"dropped":         {Type: framework.TypeInt, Required: true, Description: "How many messages were dropped, because they were too old or too many."},
		"dropped_at":      {Type: framework.TypeTime, Description: "When the last of these was dropped."},
		"last_sent":       {Type: framework.TypeTime, Description: "When the receiver last took a message, since the plugin's start."},
		"last_error":      {Type: framework.TypeString, Required: true, Description: "Why the last try failed; empty after one that did not."},
	}
}

func (b *backend) pathNotificationsExist(ctx context.Context, req *logical.Request, d *framework.FieldData) (bool, error) {
	n, err := b.notifications.Get(ctx, req.Storage, d.Get("name").(string))
	return n != nil, err
}

func (b *backend) pathNotificationsListAll(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	names, err := b.notifications.List(ctx, req.Storage)
	if err != nil {
		return nil, err
	}
	states, err := b.notificationStates(ctx, req.Storage)
	if err != nil {
		return nil, err
	}
	info := make(map[string]any, len(names))
	for _, name := range names {
		n, err := b.notifications.Get(ctx, req.Storage, name)
		switch {
		case err != nil:
			info[name] = map[string]any{"error": err.Error()}
		case n != nil:
			shown := states[name].shown()
			shown[fieldNotifyFormat], shown[fieldNotifyEvents] = n.format(), n.events()
			info[name] = shown
		}
	}
	return logical.ListResponseWithInfo(names, info), nil
}

func (b *backend) pathNotificationsRead(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	n, err := b.notifications.Load(ctx, req.Storage, d.Get("name").(string))
	if err != nil || n == nil {
		return nil, err
	}
	states, err := b.notificationStates(ctx, req.Storage)
	if err != nil {
		return nil, err
	}
	state, data := states[n.name], n.shown()
	data["waiting"], data["dropped"], data["last_error"] = state.waiting, state.dropped, state.lastError
	data["dropped_at"], data["last_sent"] = timestamp(state.droppedAt), timestamp(state.lastSent)
	return &logical.Response{Data: data}, nil
}

func (b *backend) pathNotificationsWrite(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	w := &notificationWrite{name: d.Get("name").(string), mount: req.MountPoint}
	var err error
	if w.settings, err = readFields(d.Raw, notificationFields()); err != nil {
		return nil, err
	}
	if given := given[[]string](d, fieldNotifyEvents); given != nil {
		patterns, err := checkEvents(*given)
		if err != nil {
			return nil, err
		}
		w.events = &patterns
	}
	return nil, b.writeNotification(ctx, req.Storage, w)
}

func (b *backend) pathNotificationsDelete(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	return nil, b.deleteNotification(ctx, req.Storage, d.Get("name").(string))
}

func (b *backend) pathNotificationsTryWrite(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	name := d.Get("name").(string)
	result, took, err := b.tryNotification(ctx, req.Storage, name, req.MountPoint)
	if err != nil {
		return nil, err
	}
	return &logical.Response{Data: map[string]any{
		"ok": result.ok, "status": result.status, "detail": result.detail, "duration_ms": int(took.Milliseconds()),
	}}, nil
}
