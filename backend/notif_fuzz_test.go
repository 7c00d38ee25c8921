package backend

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
)

// cannedAnswer answers every request alike.
type cannedAnswer struct {
	status     int
	retryAfter string
	body       []byte
}

func (c cannedAnswer) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: c.status, Header: http.Header{"Retry-After": {c.retryAfter}}, Body: io.NopCloser(bytes.NewReader(c.body)), Request: r,
	}, nil
}

// FuzzNotificationAnswer looks for answers of a receiver that crash the engine, have it wait for ever or not at all, or get into what is
// told.
func FuzzNotificationAnswer(f *testing.F) {
	for _, seed := range []cannedAnswer{
		{200, "", nil},
		{204, "", []byte("ok")},
		{302, "", []byte("<html>")},
		{400, "", []byte("invalid_payload")},
		{404, "", []byte("no_service\n")},
		{410, "-1", []byte("channel_is_archived")},
		{429, "99999999999", []byte(notifySecret)},
		{503, "Sun, 22 Nov 2099 01:00:00 GMT", []byte(`{"error":"x"}`)},
		{0, "30", nil},
	} {
		f.Add(seed.status, seed.retryAfter, seed.body)
	}
	f.Fuzz(func(t *testing.T, status int, retryAfter string, body []byte) {
		for _, format := range []string{formatStandard, formatSlack} {
			n := notification{
				notificationEntry: notificationEntry{Settings: provider.Values{"url": "https://hooks.example.com/T/B/s3cr3t", "format": format}},
				client:            &http.Client{Transport: cannedAnswer{status, retryAfter, body}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
			}
			if format == formatStandard {
				n.Settings["secret"] = notifySecret
			}
			d := n.send(t.Context(), &message{ID: "msg_1", Type: eventTest, At: time.Now()})
			word := strings.TrimSpace(string(body))
			switch {
			case d.ok != (status/100 == 2):
				t.Errorf("HTTP %d counts as taken: %t", status, d.ok)
			case d.detail == "" || d.retryAfter < 0 || d.retryAfter > longestAskedWait:
				t.Errorf("got %+v", d)
			case strings.Contains(d.detail, "s3cr3t"), strings.Contains(d.detail, strings.TrimPrefix(notifySecret, "whsec_")):
				t.Error("a secret is told")
			case len(word) > 12 && strings.Contains(d.detail, word) && (d.ok || format != formatSlack || !slackCode().MatchString(word)):
				t.Errorf("the answer %q is repeated", word)
			}
		}
	})
}

// FuzzNotification looks for writes that crash the engine, are taken and cannot be sent, or whose refusal repeats a secret.
func FuzzNotification(f *testing.F) {
	for _, seed := range [][4]string{
		{"https://hooks.example.com", notifySecret, "standard_webhooks", "rotate*,verify-fail"},
		{"https://hooks.slack.example/T/B/x?y#z", "", "slack", "*"},
		{"http://127.0.0.1:1/", "whsec_", "", ""},
		{"http://[::1]/", notifySecret, "", "adtokens/*-fail,,*"},
		{"ftp://x", "x", "x", "***"},
		{"https://a:b@c", notifySecret + "\n", "slack", "rotate(,[a-z]+"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3])
	}
	f.Fuzz(func(t *testing.T, url, secret, format, events string) {
		given := map[string]any{"url": url, "secret": secret, "format": format}
		w := &notificationWrite{name: "ops", mount: "adtokens/"}
		var err error
		if w.settings, err = readFields(given, notificationFields()); err == nil {
			var patterns []string
			if patterns, err = checkEvents(strings.Split(events, ",")); err == nil {
				w.events = &patterns
			}
		}
		var entry notificationEntry
		if err == nil {
			entry, err = w.apply(nil, "an-id")
		}
		if err != nil {
			if secret = strings.TrimSpace(secret); len(secret) > 12 && strings.Contains(err.Error(), secret) {
				t.Errorf("the error quotes the secret: %v", err)
			}
			return
		}
		b := newBackend(time.Now)
		stored, err := json.Marshal(entry)
		if err != nil {
			t.Fatal(err)
		}
		n, err := b.decodeNotification(t.Context(), &logical.InmemStorage{}, "ops", stored)
		if err != nil {
			t.Fatalf("what was taken cannot be read: %v", err)
		}
		n.client.Transport = cannedAnswer{status: 200}
		if d := n.send(t.Context(), &message{ID: "msg_1", Type: eventTest, At: time.Now()}); !d.ok {
			t.Errorf("what was taken cannot be sent: %s", d.detail)
		}
		if n.format() == formatSlack && n.shown()["url"] != nil {
			t.Error("the address of a chat is shown")
		}
	})
}

// FuzzMessage looks for stored messages that crash the engine, or that make no JSON.
func FuzzMessage(f *testing.F) {
	for _, stored := range []string{
		`{"schema":1,"id":"msg_1","type":"adtokens/rotate","timestamp":"2026-11-22T03:00:00Z","data":{"token":"acme-rw","version":3}}`,
		`{"schema":1,"data":{"detail":"\u0000\ud800 <!channel>"}}`, `{"schema":2}`, `null`, `[]`, ``,
	} {
		f.Add("00001763776800000-msg_1", []byte(stored))
	}
	f.Fuzz(func(t *testing.T, key string, stored []byte) {
		if at, id, ok := parseMessageKey(key); ok && (id == "" || at.IsZero()) {
			t.Errorf("the key %q has no time or ID", key)
		}
		var m message
		if decodeJSON(stored, messageSchema, &m) != nil {
			return
		}
		for _, format := range []string{formatStandard, formatSlack} {
			if body, err := m.body(format); err == nil && !json.Valid(body) {
				t.Errorf("the body in the format %s is no JSON", format)
			}
		}
	})
}
