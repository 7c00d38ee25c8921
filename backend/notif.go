package backend

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/webhook"
)

const notificationSchema = 1

const notificationsPrefix = "notifications/"

// Settings of a notification.
const (
	fieldNotifyURL    = "url"
	fieldNotifySecret = "secret"
	fieldNotifyCACert = "ca_cert"
	fieldNotifyFormat = "format"
)

// What a notification is sent as.
const (
	formatStandard = "standard_webhooks"
	formatSlack    = "slack"
)

// notificationTimeout bounds one try to send a message, from connecting to the status of the answer.
const notificationTimeout = 10 * time.Second

// notificationEntry is how a notification is stored: where what happens is told.
type notificationEntry struct {
	Schema int `json:"schema"`
	// ID tells the notification, and the messages that wait for it, from another one of the same name that was made after it was deleted.
	ID string `json:"id"`
	// Settings are url, secret, ca_cert and format. Empty ones are absent.
	Settings provider.Values `json:"settings"`
	// Events are the patterns as they were given; none stands for the default.
	Events []string `json:"events,omitempty"`
	// Mount is the path of the mount when this was written, for what is told before a request has said where the mount is.
	Mount string `json:"mount,omitempty"`
}

// notification is a stored notification, ready for use.
type notification struct {
	notificationEntry
	name     string
	patterns []*regexp.Regexp
	client   *http.Client
}

// notificationFields are the settings of a notification that are texts.
func notificationFields() []provider.Field {
	return []provider.Field{
		{
			Name: fieldNotifyURL, Endpoint: true, Check: provider.WebhookURL, Show: provider.ShowWebhookURL,
			Description: "Address of the receiver: https, or http for a loopback host. That of slack is a secret, and of others " +
				"a query is not shown.",
		},
		{
			Name: fieldNotifySecret, Secret: true, Check: webhook.CheckSecret,
			Description: "Secret that signs the messages of standard_webhooks: whsec_ and the base64 form of 24 to 64 random bytes.",
		},
		{
			Name: fieldNotifyCACert, Endpoint: true, Check: provider.CACertificates,
			Description: "PEM encoded CA certificates to trust for url, instead of the system's.",
		},
		{
			Name: fieldNotifyFormat, Check: provider.OneOf(formatStandard, formatSlack), Default: formatStandard,
			Description: "standard_webhooks, signed JSON; or slack, a JSON body with a text.",
		},
	}
}

func (b *backend) decodeNotification(_ context.Context, _ logical.Storage, name string, stored []byte) (*notification, error) {
	var entry notificationEntry
	if err := decodeJSON(stored, notificationSchema, &entry); err != nil {
		return nil, err
	}
	return b.newNotification(name, entry)
}

func (b *backend) newNotification(name string, entry notificationEntry) (*notification, error) {
	client, err := provider.NewClient(provider.ClientConfig{
		CACert: entry.Settings[fieldNotifyCACert], Timeout: notificationTimeout, UserAgent: userAgent(),
	})
	if err != nil {
		return nil, fmt.Errorf("%s %w", fieldNotifyCACert, err)
	}
	n := &notification{notificationEntry: entry, name: name, client: client}
	for _, pattern := range n.events() {
		n.patterns = append(n.patterns, eventPattern(pattern))
	}
	return n, nil
}

// hangUp closes the connections that wait for further requests. Requests under way go on.
func (n *notification) hangUp() { n.client.CloseIdleConnections() }

func (n *notification) format() string { return n.Settings[fieldNotifyFormat] }

// events are the patterns in force.
func (n *notification) events() []string {
	if len(n.Events) == 0 {
		return defaultNotified
	}
	return n.Events
}

// wants says whether the notification tells of the event.
func (n *notification) wants(eventType string) bool { return matchesEvent(n.patterns, eventType) }

// shown are the settings without what is secret. Secret settings that have a value are named.
func (n *notification) shown() map[string]any {
	secrets := []string{}
	data := map[string]any{fieldNotifyEvents: n.events()}
	for _, f := range notificationFields() {
		switch value := n.Settings[f.Name]; {
		case !f.Secret && (f.Name != fieldNotifyURL || n.format() != formatSlack):
			data[f.Name] = f.Shown(value)
		case value != "":
			secrets = append(secrets, f.Name)
		}
	}
	data["secrets_set"] = secrets
	return data
}
