package backend

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/go-uuid"
)

const messageSchema = 1

// messageIDPrefix begins every webhook-id.
const messageIDPrefix = "msg_"

func newMessageID() (string, error) {
	id, err := uuid.GenerateUUID()
	if err != nil {
		return "", fmt.Errorf("making an ID for a message: %w", err)
	}
	return messageIDPrefix + strings.ReplaceAll(id, "-", ""), nil
}

// message tells one receiver of one event. It is stored until the receiver has taken it, and never has a value of a credential.
type message struct {
	Schema int `json:"schema"`
	// ID is the webhook-id, the same at every try.
	ID   string      `json:"id"`
	Type string      `json:"type"`
	At   time.Time   `json:"timestamp"`
	Data messageData `json:"data"`
}

// messageData says what the event is about. What an event is not about is empty.
type messageData struct {
	// Mount ends with a slash.
	Mount         string `json:"mount"`
	Token         string `json:"token"`
	Account       string `json:"account"`
	Provider      string `json:"provider"`
	Version       int    `json:"version"`
	Fingerprint   string `json:"fingerprint"`
	Health        string `json:"health"`
	RotationState string `json:"rotation_state"`
	// Detail is a sentence for a person.
	Detail string `json:"detail"`
	// Runbook is the path to read what to do.
	Runbook string `json:"runbook"`
	// Campaign is there for events of campaigns alone.
	Campaign string `json:"campaign,omitempty"`
}

// at returns the message with the mount in its texts. Mount ends with a slash.
func (m message) at(mount string) *message {
	m.Data.Mount, m.Data.Detail, m.Data.Runbook = mount, withMount(m.Data.Detail, mount), withMount(m.Data.Runbook, mount)
	return &m
}

// body is what is sent, in the given format. It is the same each time.
func (m *message) body(format string) ([]byte, error) {
	if format == formatSlack {
		return json.Marshal(map[string]string{"text": m.slackText()})
	}
	return json.Marshal(struct {
		Type string      `json:"type"`
		At   string      `json:"timestamp"`
		Data messageData `json:"data"`
	}{m.Type, m.At.UTC().Format(time.RFC3339), m.Data})
}

// slackText is the message for people in a chat.
func (m *message) slackText() string {
	var text strings.Builder
	fmt.Fprintf(&text, "*%s*", slackEscaped(m.Type))
	var about []string
	for _, part := range []struct{ what, name string }{
		{"token", m.Data.Token}, {"campaign", m.Data.Campaign}, {"account", m.Data.Account}, {"provider", m.Data.Provider},
	} {
		if part.name != "" {
			about = append(about, part.what+" "+slackEscaped(part.name))
		}
	}
	if m.Data.Version > 0 {
		about = append(about, fmt.Sprintf("version %d", m.Data.Version))
	}
	about = append(about, "mount "+slackEscaped(m.Data.Mount))
	text.WriteString(": " + strings.Join(about, ", ") + "\n" + slackEscaped(m.Data.Detail))
	if m.Data.Runbook != "" {
		text.WriteString("\nRunbook: `vault read -field=runbook " + slackEscaped(m.Data.Runbook) + "`")
	}
	return text.String()
}

// slackEscaped takes the meaning from what Slack would read as a link, a mention or a channel.
func slackEscaped(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
}

// key is the message's name in the queue of its notification. Names sort by time.
func (m *message) key() string { return fmt.Sprintf("%014d-%s", m.At.UnixMilli(), m.ID) }

// parseMessageKey reads the time and the ID of a message from its key.
func parseMessageKey(key string) (at time.Time, id string, ok bool) {
	millis, id, found := strings.Cut(key, "-")
	var ms int64
	if _, err := fmt.Sscanf(millis, "%d", &ms); err != nil || !found || id == "" {
		return time.Time{}, "", false
	}
	return time.UnixMilli(ms), id, true
}
