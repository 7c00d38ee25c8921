package backend

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/internal/testkit"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
)

const notifySecret = "whsec_bm90aWZpY2F0aW9ucy1hcmUtc2lnbmVkLXdpdGgtdGhpcw=="

// notifying is an engine whose messages a test sends, beside a receiver that checks signatures.
type notifying struct {
	*fixture
	receiver *simulator.Receiver
	url      string
}

func newNotifying(t testing.TB, configure ...func(*logical.BackendConfig)) *notifying {
	t.Helper()
	f := newFixture(t, configure...)
	f.outboxByHand = true
	receiver, err := simulator.NewReceiver(notifySecret)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(receiver)
	t.Cleanup(server.Close)
	return &notifying{fixture: f, receiver: receiver, url: server.URL + "/adtokens"}
}

// notify configures a notification at the receiver, with whatever else is given.
func (n *notifying) notify(t testing.TB, name string, data map[string]any) {
	t.Helper()
	all := map[string]any{"url": n.url, "secret": notifySecret}
	maps.Copy(all, data)
	n.write(t, "notifications/"+name, all)
}

// drain sends what can be sent now.
func (n *notifying) drain(t testing.TB, name string) {
	t.Helper()
	q := n.outbox.get(name)
	if q == nil {
		t.Fatalf("notification %s has no queue", name)
	}
	for range 3 * maxWaiting {
		if again, wait := n.sendNext(t.Context(), q); !again || wait > 0 {
			return
		}
	}
	t.Fatal("there is no end of what can be sent")
}

// bodies are what the receiver has taken.
func (n *notifying) bodies(t testing.TB) []sentBody {
	t.Helper()
	var bodies []sentBody
	for _, taken := range n.receiver.Taken() {
		var body sentBody
		if err := json.Unmarshal(taken.Body, &body); err != nil {
			t.Fatal(err)
		}
		body.id = taken.ID
		bodies = append(bodies, body)
	}
	return bodies
}

type sentBody struct {
	id        string
	Type      string
	Timestamp string
	Data      map[string]any
}

func typesOf(bodies []sentBody) []string {
	var all []string
	for _, body := range bodies {
		all = append(all, body.Type)
	}
	return all
}

func (n *notifying) handIn(t testing.TB, value string) {
	t.Helper()
	if _, err := n.handle(t, logical.UpdateOperation, "tokens/acme-rw/rotate", map[string]any{"auth_token": value}); err != nil {
		t.Fatal(err)
	}
}

func TestNotifications_AreSignedAndTellWhatHappened(t *testing.T) {
	t.Parallel()
	n := newNotifying(t)
	n.mountPath.note("acme/adtokens/")
	old := n.withImpact(t, map[string]any{"rotation_period": "90d"})
	n.notify(t, "ops", nil)
	n.notify(t, "everything", map[string]any{"events": "adtokens/*"})
	n.handIn(t, "a-wrong-value")
	fresh := n.resetReadWrite(t)
	n.write(t, "tokens/acme-rw/verify", nil)
	n.drain(t, "ops")
	n.drain(t, "everything")

	bodies := n.bodies(t)
	if got := typesOf(bodies); !slices.Equal(got, []string{"adtokens/rotate-fail", "adtokens/verify-fail", "adtokens/rotate-fail", "adtokens/verify-fail"}) {
		t.Fatalf("got %v", got)
	}
	rejected := bodies[1]
	if at, err := time.Parse(time.RFC3339, rejected.Timestamp); err != nil || !at.Equal(n.clock.Now()) {
		t.Errorf("got the timestamp %q", rejected.Timestamp)
	}
	state := n.read(t, "tokens/acme-rw")
	want := map[string]any{
		"mount": "acme/adtokens/", "token": "acme-rw", "account": "acme", "provider": "impact", "version": 1.0, "fingerprint": state["fingerprint"],
		"health": "rejected", "rotation_state": "idle", "runbook": "acme/adtokens/tokens/acme-rw/rotate", "detail": rejected.Data["detail"],
	}
	if !maps.Equal(rejected.Data, want) || !strings.HasPrefix(fmt.Sprint(want["detail"]), "the provider rejects version 1: ") {
		t.Errorf("got the data %v, want %v", rejected.Data, want)
	}
	for _, taken := range n.receiver.Taken() {
		for _, secret := range []string{old.AuthToken, fresh.AuthToken, "a-wrong-value", notifySecret} {
			if strings.Contains(string(taken.Body), secret) {
				t.Error("a message has a secret")
			}
		}
		if !strings.HasPrefix(taken.ID, "msg_") {
			t.Errorf("the message has the ID %q", taken.ID)
		}
	}
	if shown := n.read(t, "notifications/ops"); shown["waiting"] != 0 || shown["last_error"] != "" || shown["last_sent"] == nil {
		t.Errorf("after the sending, the notification shows %v", shown)
	}
}

// TestNotifications_TheirSecretIsInNoText that is shown, such as a reason.
func TestNotifications_TheirSecretIsInNoText(t *testing.T) {
	t.Parallel()
	n := newNotifying(t)
	n.withImpact(t, nil)
	n.notify(t, "ops", nil)
	fresh := n.resetReadWrite(t)
	response, err := n.handle(t, logical.UpdateOperation, "tokens/acme-rw/rotate", map[string]any{"auth_token": fresh.AuthToken, "reason": "now with " + notifySecret})
	if err != nil || !response.IsError() || strings.Contains(response.Error().Error(), notifySecret) {
		t.Errorf("got %v, error %v", response, err)
	}
}

// TestNotifications_TheirEventsSayWhatHappened in words that fit the event.
func TestNotifications_TheirEventsSayWhatHappened(t *testing.T) {
	t.Parallel()
	n := newNotifying(t)
	n.withImpact(t, nil)
	tok, err := n.tokens.Get(t.Context(), n.storage, "acme-rw")
	if err != nil {
		t.Fatal(err)
	}
	n.notify(t, "ops", map[string]any{"events": "*"})
	n.sendTokenEvent(t.Context(), eventRetirementWaits, tok, "version", "1", "behind", "3")
	n.sendTokenEvent(t.Context(), eventIdentityChanged, tok, "identity", "new@acme.example", "previous_identity", "old@acme.example")
	n.sendEvent(t.Context(), eventCampaignDone, "campaigns/jane", "campaign", "jane", "state", "failed", "total", "9", "done", "7", "failed", "2")
	n.drain(t, "ops")
	bodies := n.bodies(t)
	if len(bodies) != 3 {
		t.Fatalf("got %v", bodies)
	}
	for i, want := range []string{
		"version 1 waits for its end, because 3 of its readers have not read a newer one", "new@acme.example instead of old@acme.example",
		"7 of 9 tokens are done, 2 failed",
	} {
		if !strings.Contains(bodies[i].Data["detail"].(string), want) {
			t.Errorf("%s says %v, want %q", bodies[i].Type, bodies[i].Data["detail"], want)
		}
	}
	if bodies[2].Data["campaign"] != "jane" || bodies[1].Data["campaign"] != nil {
		t.Errorf("got the campaigns %v and %v", bodies[2].Data["campaign"], bodies[1].Data["campaign"])
	}
	for name := range eventOperations {
		if h := newHappening(name, tok, nil); h.detail() == "" || strings.HasPrefix(h.detail(), "this happened") {
			t.Errorf("%s says %q", name, h.detail())
		}
	}
}

// TestNotifications_WithoutVaultsEvents: no community server brings an event to anybody.
func TestNotifications_WithoutVaultsEvents(t *testing.T) {
	t.Parallel()
	n := newNotifying(t, func(c *logical.BackendConfig) { c.EventsSender = &listener{err: ErrEventsUnsupported} })
	n.withImpact(t, nil)
	n.notify(t, "ops", nil)
	n.handIn(t, "a-wrong-value")
	n.drain(t, "ops")
	if got := typesOf(n.bodies(t)); !slices.Equal(got, []string{"adtokens/rotate-fail"}) {
		t.Errorf("got %v", got)
	}
}

func TestNotifications_BadInputIsRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		path string
		data map[string]any
		want string
	}{
		"no url":               {"ops", map[string]any{"secret": notifySecret}, "url is missing"},
		"no secret":            {"ops", map[string]any{"url": "https://hooks.example.com"}, "secret is missing"},
		"empty secret":         {"ops", map[string]any{"url": "https://hooks.example.com", "secret": ""}, "secret is missing"},
		"plain http":           {"ops", map[string]any{"url": "http://hooks.example.com", "secret": notifySecret}, "url must start with https://"},
		"user info":            {"ops", map[string]any{"url": "https://jane:pass@hooks.example.com", "secret": notifySecret}, "user info"},
		"a fragment":           {"ops", map[string]any{"url": "https://hooks.example.com/#x", "secret": notifySecret}, "fragment"},
		"no host":              {"ops", map[string]any{"url": "https://", "secret": notifySecret}, "url must be a URL"},
		"secret without whsec": {"ops", map[string]any{"url": "https://hooks.example.com", "secret": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}, "secret must be whsec_"},
		"short secret":         {"ops", map[string]any{"url": "https://hooks.example.com", "secret": "whsec_c2hvcnQ="}, "24 to 64 bytes"},
		"unknown format":       {"ops", map[string]any{"url": "https://hooks.example.com", "secret": notifySecret, "format": "teams"}, "standard_webhooks, slack"},
		"bad certificate":      {"ops", map[string]any{"url": "https://hooks.example.com", "secret": notifySecret, "ca_cert": "none"}, "ca_cert must hold"},
		"unknown event":        {"ops", map[string]any{"url": "https://hooks.example.com", "secret": notifySecret, "events": "rotate-fail,rotated"}, "fits none: rotated. There are campaign-done, "},
		"another namespace":    {"ops", map[string]any{"url": "https://hooks.example.com", "secret": notifySecret, "events": "kv/*"}, "fits none"},
		"upper case":           {"ops", map[string]any{"url": "https://hooks.example.com", "secret": notifySecret, "events": []string{"Rotate"}}, "could be a part of a secret"},
		"slack with a secret":  {"ops", map[string]any{"url": "https://hooks.example.com", "secret": notifySecret, "format": "slack"}, "secret is for the format standard_webhooks"},
		"unknown field":        {"ops", map[string]any{"url": "https://hooks.example.com", "secrets": notifySecret}, "did you mean secret=-?"},
		"misspelt":             {"ops", map[string]any{"url": "https://hooks.example.com", "secret": notifySecret, "event": "rotate"}, "did you mean events?"},
		"a name":               {"ops team", map[string]any{"url": "https://hooks.example.com", "secret": notifySecret}, "the name of a notification must be"},
		"a path below":         {"ops/send", map[string]any{}, "notifications/<name>/test"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNotifying(t)
			response, err := n.handle(t, logical.CreateOperation, "notifications/"+tc.path, tc.data)
			if err != nil || !response.IsError() || !strings.Contains(response.Error().Error(), tc.want) {
				t.Fatalf("got %v, error %v; want %q", response, err, tc.want)
			}
			if strings.Contains(response.Error().Error(), notifySecret) {
				t.Error("the error has the secret")
			}
			if names, err := n.storage.List(t.Context(), notificationPrefix); err != nil || len(names) > 0 {
				t.Errorf("storage has %v, error %v", names, err)
			}
		})
	}
}

func TestNotifications_ShowNoSecret(t *testing.T) {
	t.Parallel()
	n := newNotifying(t)
	n.write(t, "notifications/ops", map[string]any{"url": "https://hooks.example.com/in?key=abc", "secret": notifySecret, "events": " rotate* ,rotate*, adtokens/overdue"})
	n.write(t, "notifications/chat", map[string]any{"url": "https://hooks.slack.example/T/B/s3cr3t", "format": "slack"})
	ops, chat := n.read(t, "notifications/ops"), n.read(t, "notifications/chat")
	if ops["url"] != "https://hooks.example.com/in?…" || ops["format"] != "standard_webhooks" || !slices.Equal(ops["secrets_set"].([]string), []string{"secret"}) ||
		!slices.Equal(ops["events"].([]string), []string{"rotate*", "adtokens/overdue"}) {
		t.Errorf("ops shows %v", ops)
	}
	if _, shown := chat["url"]; shown || !slices.Equal(chat["secrets_set"].([]string), []string{"url"}) || !slices.Equal(chat["events"].([]string), defaultNotified) {
		t.Errorf("chat shows %v", chat)
	}
	list := n.listed(t, "chat", "ops")
	for _, told := range []any{ops, chat, list} {
		if text := fmt.Sprint(told); strings.Contains(text, "s3cr3t") || strings.Contains(text, "key=abc") || strings.Contains(text, notifySecret) {
			t.Error("a secret is shown")
		}
	}
	if info := list["key_info"].(map[string]any)["ops"].(map[string]any); info["waiting"] != 0 || info["dropped"] != 0 || info["format"] != "standard_webhooks" {
		t.Errorf("the details are %v", info)
	}
}

// listed is the list of notifications, which has to have these.
func (n *notifying) listed(t *testing.T, names ...string) map[string]any {
	t.Helper()
	list, err := n.handle(t, logical.ListOperation, "notifications/", nil)
	if err != nil || !slices.Equal(list.Data["keys"].([]string), names) {
		t.Fatalf("the list is %v, error %v", list, err)
	}
	return list.Data
}

func TestNotifications_ChangeOfAddressTakesTheSecret(t *testing.T) {
	t.Parallel()
	const other = "https://elsewhere.example.com"
	for name, tc := range map[string]struct {
		stored, change map[string]any
		want           string // empty where it is taken
	}{
		"url alone":              {nil, map[string]any{"url": other}, "url can change only together with the secret"},
		"ca_cert alone":          {nil, map[string]any{"ca_cert": testCertificate(t)}, "ca_cert can change only together with the secret"},
		"url with the secret":    {nil, map[string]any{"url": other, "secret": notifySecret}, ""},
		"the same url":           {nil, map[string]any{"url": "https://hooks.example.com"}, ""},
		"events alone":           {nil, map[string]any{"events": "*"}, ""},
		"secret alone":           {nil, map[string]any{"secret": notifySecret}, ""},
		"secret removed":         {nil, map[string]any{"secret": ""}, "secret is missing"},
		"format alone":           {nil, map[string]any{"format": "slack"}, "format can change only together with url"},
		"format with url":        {nil, map[string]any{"format": "slack", "url": other}, ""},
		"slack url":              {map[string]any{"format": "slack", "secret": ""}, map[string]any{"url": other}, ""},
		"slack ca_cert":          {map[string]any{"format": "slack", "secret": ""}, map[string]any{"ca_cert": testCertificate(t)}, "ca_cert can change only together with url"},
		"slack's url is secret":  {map[string]any{"format": "slack", "secret": ""}, map[string]any{"format": "standard_webhooks", "secret": notifySecret}, "format can change only together with url"},
		"slack to signed, whole": {map[string]any{"format": "slack", "secret": ""}, map[string]any{"format": "standard_webhooks", "secret": notifySecret, "url": other}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNotifying(t)
			first := map[string]any{"url": "https://hooks.example.com"}
			n.notify(t, "ops", merged(first, tc.stored))
			before, err := n.notifications.Load(t.Context(), n.storage, "ops")
			if err != nil {
				t.Fatal(err)
			}
			response, err := n.handle(t, logical.UpdateOperation, "notifications/ops", tc.change)
			if err != nil {
				t.Fatal(err)
			}
			after, err := n.notifications.Load(t.Context(), n.storage, "ops")
			switch {
			case err != nil:
				t.Fatal(err)
			case tc.want == "" && response.IsError(), tc.want != "" && (!response.IsError() || !strings.Contains(response.Error().Error(), tc.want)):
				t.Errorf("got %v, want %q", response, tc.want)
			case tc.want != "" && !maps.Equal(before.Settings, after.Settings):
				t.Error("a refused write has changed something")
			case before.ID != after.ID:
				t.Error("a change makes another notification of it")
			}
		})
	}
}

func merged(parts ...map[string]any) map[string]any {
	all := map[string]any{}
	for _, m := range parts {
		maps.Copy(all, m)
	}
	return all
}

func testCertificate(t *testing.T) string {
	t.Helper()
	_, ca, err := simulator.NewCertificate(simulator.CertificateGood)
	if err != nil {
		t.Fatal(err)
	}
	return string(ca)
}

func TestNotifications_Patterns(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string][]string{
		"rotate":          {"rotate"},
		"adtokens/rotate": {"rotate"},
		"rotate*":         {"rotate", "rotate-fail"},
		"*-fail":          {"rotate-fail", "verify-fail"},
		"adtokens/*-fail": {"rotate-fail", "verify-fail"},
		"*":               notifiableEvents(),
		"adtokens/*":      notifiableEvents(),
		"ret*":            {"retire", "retirement-waits"},
		"campaign-done":   {"campaign-done"},
		"identity-*":      {"identity-changed"},
	} {
		patterns, err := checkEvents([]string{pattern})
		if err != nil {
			t.Errorf("%s: %v", pattern, err)
			continue
		}
		n := notification{notificationEntry: notificationEntry{Events: patterns}}
		for _, p := range n.events() {
			n.patterns = append(n.patterns, eventPattern(p))
		}
		var got []string
		for _, name := range notifiableEvents() {
			if n.wants(eventNamespace + name) {
				got = append(got, name)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s fits %v, want %v", pattern, got, want)
		}
	}
	for _, name := range defaultNotified {
		if !slices.Contains(notifiableEvents(), name) {
			t.Errorf("%s is told by default and is no event", name)
		}
	}
}

func TestNotifications_Slack(t *testing.T) {
	t.Parallel()
	n := newNotifying(t)
	var got map[string]string
	var header http.Header
	chat := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header = r.Header
		_ = json.NewDecoder(r.Body).Decode(&got)
		_, _ = io.WriteString(w, "ok")
	}))
	defer chat.Close()
	n.withImpact(t, nil)
	n.write(t, "notifications/chat", map[string]any{"url": chat.URL, "format": "slack", "events": "rotate-fail"})
	n.handIn(t, "a-wrong-value")
	n.drain(t, "chat")
	if want := "*adtokens/rotate-fail*: token acme-rw, account acme, provider impact, version 1, mount"; len(got) != 1 || !strings.HasPrefix(got["text"], want) {
		t.Errorf("got %v, want %q", got, want)
	}
	if header.Get("webhook-signature") != "" || header.Get("Content-Type") != "application/json" || header.Get("User-Agent") != userAgent() {
		t.Errorf("got the headers %v", header)
	}
	m := message{Type: "adtokens/rotate-fail", Data: messageData{Detail: "<!channel> & <https://evil.example|here>"}}
	if text := m.slackText(); strings.Contains(text, "<") || !strings.Contains(text, "&lt;!channel&gt; &amp; ") {
		t.Errorf("Slack would read commands in %q", text)
	}
}

// TestNotifications_CostOfAMessage: one write when it happens, and one deletion when it is taken.
func TestNotifications_CostOfAMessage(t *testing.T) {
	t.Parallel()
	n := newNotifying(t)
	n.withImpact(t, nil)
	count := func(do func()) (gets, puts, deletes int64) {
		gets, puts, deletes = n.storage.Gets.Load(), n.storage.Puts.Load(), n.storage.Deletes.Load()
		do()
		return n.storage.Gets.Load() - gets, n.storage.Puts.Load() - puts, n.storage.Deletes.Load() - deletes
	}
	event := func() { n.sendEvent(t.Context(), eventConfigWrite, "config/acme", "account", "acme") }
	if gets, puts, deletes := count(event); gets+puts+deletes != 0 {
		t.Errorf("with no notification an event costs %d reads, %d writes and %d deletions", gets, puts, deletes)
	}
	n.notify(t, "ops", map[string]any{"events": "config-write"})
	if gets, puts, deletes := count(event); gets != 0 || puts != 1 || deletes != 0 {
		t.Errorf("to keep a message costs %d reads, %d writes and %d deletions", gets, puts, deletes)
	}
	if gets, puts, deletes := count(func() { n.drain(t, "ops") }); gets != 0 || puts != 0 || deletes != 1 {
		t.Errorf("to send it costs %d reads, %d writes and %d deletions", gets, puts, deletes)
	}
	n.sendEvent(t.Context(), eventProviderWrite, "providers/x", "provider", "x")
	n.receiver.Break(&simulator.Fault{Kind: simulator.FaultStatus, Status: 503})
	event()
	if gets, puts, deletes := count(func() { n.drain(t, "ops") }); gets+puts+deletes != 0 {
		t.Errorf("a try that fails costs %d reads, %d writes and %d deletions", gets, puts, deletes)
	}
	if keys, err := n.storage.List(t.Context(), notificationQueuePrefix); err != nil || len(keys) != 1 {
		t.Errorf("storage has the queues %v, error %v", keys, err)
	}
}

func TestNotifications_AreTriedAgainUnderTheSameID(t *testing.T) {
	t.Parallel()
	n := newNotifying(t)
	n.withImpact(t, nil)
	var ids []string
	var bodies []string
	status, wait := http.StatusServiceUnavailable, ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		ids, bodies = append(ids, r.Header.Get("webhook-id")), append(bodies, string(body))
		w.Header().Set("Retry-After", wait)
		w.WriteHeader(status)
	}))
	defer server.Close()
	n.notify(t, "ops", map[string]any{"url": server.URL})
	n.handIn(t, "a-wrong-value")
	q := n.outbox.get("ops")
	for range 3 {
		n.drain(t, "ops")
		n.drain(t, "ops") // before its time
		n.clock.Advance(lastNotifyRetry * 13 / 10)
	}
	if len(ids) != 3 || ids[0] == "" || ids[1] != ids[0] || ids[2] != ids[0] || bodies[2] != bodies[0] {
		t.Fatalf("got the IDs %v and %d bodies", ids, len(bodies))
	}
	wait = "1800"
	n.drain(t, "ops")
	n.clock.Advance(29 * time.Minute)
	n.drain(t, "ops")
	if len(ids) != 4 {
		t.Errorf("the receiver asked for half an hour, and was asked %d times", len(ids)-3)
	}
	if warnings := n.statusWarnings(t); !strings.Contains(warnings, "notifications/ops: 1 messages wait, the oldest since ") || !strings.Contains(warnings, "(HTTP 503)") {
		t.Errorf("status does not warn: %s", warnings)
	}
	status, wait = http.StatusOK, ""
	n.clock.Advance(2 * time.Minute)
	n.drain(t, "ops")
	n.clock.Advance(time.Hour)
	n.drain(t, "ops")
	if len(ids) != 5 || ids[4] != ids[0] || q.state().waiting != 0 || n.storedMessages(t) != 0 {
		t.Errorf("got the IDs %v, %d wait", ids, q.state().waiting)
	}
	if warnings := n.statusWarnings(t); strings.Contains(warnings, "notifications/") {
		t.Errorf("status still warns: %s", warnings)
	}
}

// statusWarnings are those of status, one a line.
func (n *notifying) statusWarnings(t *testing.T) string {
	t.Helper()
	response, err := n.handle(t, logical.ReadOperation, "status", nil)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(response.Warnings, "\n")
}

// storedMessages counts those in storage.
func (n *notifying) storedMessages(t testing.TB) int {
	t.Helper()
	keys, err := logical.CollectKeysWithPrefix(t.Context(), n.storage, notificationQueuePrefix)
	if err != nil {
		t.Fatal(err)
	}
	return len(keys)
}

func TestNotifications_AreDroppedAfterThreeDays(t *testing.T) {
	t.Parallel()
	n := newNotifying(t)
	n.withImpact(t, nil)
	n.notify(t, "ops", map[string]any{"events": "rotate-fail"})
	n.receiver.Break(&simulator.Fault{Kind: simulator.FaultDropBefore})
	n.handIn(t, "a-wrong-value")
	for range 71 {
		n.drain(t, "ops")
		n.clock.Advance(time.Hour)
	}
	if got := n.outbox.get("ops").state(); got.waiting != 1 || got.dropped != 0 {
		t.Fatalf("after 71 hours %d wait and %d were dropped", got.waiting, got.dropped)
	}
	n.clock.Advance(2 * time.Hour)
	n.drain(t, "ops")
	n.saveDropped(t.Context(), n.outbox.get("ops"))
	if got := n.outbox.get("ops").state(); got.waiting != 0 || got.dropped != 1 || n.storedMessages(t) != 0 {
		t.Fatalf("after three days %d wait, %d were dropped", got.waiting, got.dropped)
	}
	if warnings := n.statusWarnings(t); !strings.Contains(warnings, "notifications/ops: messages were dropped, 1 in all, the last at ") {
		t.Errorf("status does not warn: %s", warnings)
	}
	if text := n.metricsText(t); !strings.Contains(text, `adtokens_notifications_total{notification="ops",outcome="dropped"} 1.0`) {
		t.Error("the metrics do not count it")
	}
	if again := n.restart(t); again.outbox.get("ops").state().dropped != 1 {
		t.Error("a restart forgets what was dropped")
	}
	n.clock.Advance(73 * time.Hour)
	if warnings := n.statusWarnings(t); strings.Contains(warnings, "notifications/ops") {
		t.Errorf("status warns for ever: %s", warnings)
	}
}

func (n *notifying) metricsText(t *testing.T) string {
	t.Helper()
	response, err := n.HandleRequest(t.Context(), &logical.Request{Operation: logical.ReadOperation, Path: "metrics", Storage: n.storage})
	if err != nil {
		t.Fatal(err)
	}
	return string(response.Data[logical.HTTPRawBody].([]byte))
}

// restart is the engine as it comes back on the same storage after it was killed.
func (n *notifying) restart(t *testing.T) *notifying {
	t.Helper()
	b := newBackend(n.clock.Now)
	b.outboxByHand = true
	config := logical.TestBackendConfig()
	config.StorageView, config.System = n.storage, n.System()
	if err := b.setUp(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Cleanup(t.Context()) })
	again := *n
	f := *n.fixture
	f.backend, again.fixture = b, &f
	again.read(t, "status")
	return &again
}

func TestNotifications_AtMostAThousandWait(t *testing.T) {
	t.Parallel()
	n := newNotifying(t)
	n.notify(t, "ops", map[string]any{"events": "config-write"})
	n.receiver.Break(&simulator.Fault{Kind: simulator.FaultDropBefore})
	for i := range maxWaiting + 25 {
		n.clock.Advance(time.Millisecond)
		n.sendEvent(t.Context(), eventConfigWrite, "config/acme", "account", fmt.Sprintf("a%d", i))
	}
	shown := n.read(t, "status")["notifications"].(map[string]any)["ops"].(map[string]any)
	if shown["waiting"] != maxWaiting || shown["dropped"] != 25 || n.storedMessages(t) != maxWaiting {
		t.Fatalf("status shows %v, storage has %d", shown, n.storedMessages(t))
	}
	for _, engine := range []*notifying{n, n.restart(t)} {
		if q := engine.outbox.get("ops"); q.state().waiting != maxWaiting {
			t.Errorf("%d wait", q.state().waiting)
		}
	}
	text := n.metricsText(t)
	for _, want := range []string{
		`adtokens_notifications_waiting{notification="ops"} 1000.0`, `adtokens_notifications_total{notification="ops",outcome="dropped"} 25.0`,
		`adtokens_notifications_oldest_waiting_seconds{notification="ops"} `,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	n.receiver.Break(nil)
	n.drain(t, "ops")
	bodies := n.bodies(t)
	if len(bodies) != maxWaiting || bodies[0].Data["account"] != "a25" || bodies[maxWaiting-1].Data["account"] != fmt.Sprintf("a%d", maxWaiting+24) {
		t.Errorf("got %d messages, which are not the latest ones in their order", len(bodies))
	}
}

// TestNotifications_SurviveARestart: what waits goes on under its ID, and what was taken does not come again.
func TestNotifications_SurviveARestart(t *testing.T) {
	t.Parallel()
	n := newNotifying(t)
	n.withImpact(t, nil)
	n.notify(t, "ops", map[string]any{"events": "rotate-fail"})
	n.handIn(t, "a-wrong-value")
	n.drain(t, "ops")
	n.receiver.Break(&simulator.Fault{Kind: simulator.FaultDropBefore})
	n.clock.Advance(time.Second)
	n.handIn(t, "another-wrong-value")
	n.drain(t, "ops")

	again := n.restart(t)
	n.receiver.Break(nil)
	again.drain(t, "ops")
	taken := n.receiver.Taken()
	if len(taken) != 2 || taken[0].Repeated || taken[1].Repeated || taken[0].ID == taken[1].ID || again.storedMessages(t) != 0 {
		t.Errorf("the receiver has %d messages, storage %d", len(taken), again.storedMessages(t))
	}
	if again.outbox.get("ops").state().waiting != 0 {
		t.Error("something waits")
	}
}

// TestNotifications_TakenIsNotSentAgain although storage does not forget it for a while.
func TestNotifications_TakenIsNotSentAgain(t *testing.T) {
	t.Parallel()
	n := newNotifying(t)
	n.withImpact(t, nil)
	n.notify(t, "ops", nil)
	n.handIn(t, "a-wrong-value")
	n.storage.FailDelete(true)
	n.drain(t, "ops")
	n.clock.Advance(notifyStorageRetry)
	n.drain(t, "ops")
	if n.storedMessages(t) != 1 || n.outbox.get("ops").state().waiting != 0 {
		t.Errorf("storage has %d messages, and %d are said to wait", n.storedMessages(t), n.outbox.get("ops").state().waiting)
	}
	n.storage.FailDelete(false)
	n.clock.Advance(notifyStorageRetry)
	n.drain(t, "ops")
	if taken := n.receiver.Taken(); len(taken) != 1 || n.storedMessages(t) != 0 {
		t.Errorf("the receiver got %d messages, and storage has %d", len(taken), n.storedMessages(t))
	}
}

// TestNotifications_StorageThatFailsIsTriedAgain: a message is not lost because storage did not take it, and not sent before it has.
func TestNotifications_StorageThatFailsIsTriedAgain(t *testing.T) {
	t.Parallel()
	n := newNotifying(t)
	n.withImpact(t, nil)
	n.notify(t, "ops", map[string]any{"events": "config-write"})
	n.storage.FailPut(true)
	n.sendEvent(t.Context(), eventConfigWrite, "config/acme", "account", "acme")
	n.drain(t, "ops")
	if taken := n.receiver.Taken(); len(taken) != 0 {
		t.Error("a message was sent that is not stored")
	}
	n.storage.FailPut(false)
	n.clock.Advance(notifyStorageRetry)
	n.drain(t, "ops")
	if taken := n.receiver.Taken(); len(taken) != 1 {
		t.Errorf("the receiver got %d messages", len(taken))
	}
}

// TestNotifications_OneRefusedMessageHoldsUpNoOther: 422 speaks of one message, 503 of the receiver.
func TestNotifications_OneRefusedMessageHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	n := newNotifying(t)
	var accounts []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body sentBody
		_ = json.NewDecoder(r.Body).Decode(&body)
		accounts = append(accounts, fmt.Sprint(body.Data["account"]))
		if body.Data["account"] == "bad" {
			w.WriteHeader(http.StatusUnprocessableEntity)
		}
	}))
	defer server.Close()
	n.notify(t, "ops", map[string]any{"url": server.URL, "events": "config-write"})
	for _, account := range []string{"bad", "good", "better"} {
		n.clock.Advance(time.Millisecond)
		n.sendEvent(t.Context(), eventConfigWrite, "config/"+account, "account", account)
	}
	n.drain(t, "ops")
	if !slices.Equal(accounts, []string{"bad", "good", "better"}) || n.outbox.get("ops").state().waiting != 1 {
		t.Errorf("the receiver was asked for %v", accounts)
	}
}

// TestNotifications_AStateIsToldOnce however often it is found again, and whatever differs in its words.
func TestNotifications_AStateIsToldOnce(t *testing.T) {
	t.Parallel()
	n := newNotifying(t)
	n.withImpact(t, map[string]any{"rotation_period": "1h"})
	n.notify(t, "ops", nil)
	n.resetReadWrite(t)
	n.clock.Advance(2 * time.Hour)
	for range 3 {
		n.write(t, "tokens/acme-rw/verify", nil)
		if err := n.rotateRoutinely(t.Context(), "acme-rw"); err != nil {
			t.Fatal(err)
		}
		n.clock.Advance(time.Minute)
	}
	n.drain(t, "ops")
	if got := typesOf(n.bodies(t)); !slices.Equal(got, []string{"adtokens/verify-fail", "adtokens/overdue"}) {
		t.Errorf("got %v", got)
	}
}

// TestNotifications_OneThatComesLaterIsTold of a problem that comes back, although it was there before and nobody wanted to know.
func TestNotifications_OneThatComesLaterIsTold(t *testing.T) {
	t.Parallel()
	n := newNotifying(t)
	n.withImpact(t, nil)
	tok, unlock, err := n.lockToken(t.Context(), n.storage, "acme-rw")
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	fails := func(problem string) {
		tok.LastError = problem
		n.tellAhead(t.Context(), eventRotateFail, tok, sameProblem(problem))
		n.sendTokenEvent(t.Context(), eventRotateFail, tok, "version", "1")
	}
	fails("the hook says no")
	n.notify(t, "ops", nil)
	fails("the hook says no")
	fails("the hook says no")
	n.sendTokenEvent(t.Context(), eventRotateFail, tok, "source", "assisted")
	n.drain(t, "ops")
	if got := n.bodies(t); len(got) != 2 || got[0].Data["detail"] != "the hook says no" {
		t.Errorf("got %v, want the hook's refusal once, and a person's", got)
	}
}

func TestNotifications_LastingFailureIsToldOnce(t *testing.T) {
	t.Parallel()
	n := newNotifying(t)
	n.withImpact(t, nil)
	n.notify(t, "ops", nil)
	tok, unlock, err := n.lockToken(t.Context(), n.storage, "acme-rw")
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	for _, problem := range []string{
		"impact has a problem of its own (HTTP 503) [request id a1b2]", "impact has a problem of its own (HTTP 503) [request id ffff]",
		"dial tcp 127.0.0.1:4711: refused", "impact has a problem of its own (HTTP 503) [request id 0]", "dial tcp 127.0.0.1:4712: refused",
	} {
		tok.LastError = problem
		n.tellAhead(t.Context(), eventRotateFail, tok, sameProblem(problem))
		n.sendTokenEvent(t.Context(), eventRotateFail, tok, "version", "1")
	}
	n.drain(t, "ops")
	if got := n.bodies(t); len(got) != 2 {
		t.Errorf("got %d messages, want one for each of two problems", len(got))
	}
	tok.Publish(rotation.Candidate{Credential: provider.Values{"auth_token": "x"}, Source: rotation.SourceAssisted}, n.now())
	n.tellAhead(t.Context(), eventRotateFail, tok, sameProblem("dial tcp 127.0.0.1:4712: refused"))
	n.drain(t, "ops")
	if got := n.bodies(t); len(got) != 3 {
		t.Errorf("a failure of the next version is not told: %d messages", len(got))
	}
}

// TestNotifications_AStateIsNotForgottenByACrash between the message and the record that has the state: it is told again under the same
// ID, which tells the receiver.
func TestNotifications_AStateIsNotForgottenByACrash(t *testing.T) {
	t.Parallel()
	n := newNotifying(t)
	n.withImpact(t, nil)
	n.notify(t, "ops", nil)
	n.resetReadWrite(t)
	n.storage.Late.Begin("token/acme-rw", false) // the record is not stored: as after a crash
	_, _ = n.handle(t, logical.UpdateOperation, "tokens/acme-rw/verify", nil)
	n.storage.Late.End()
	n.storage.Late.GetLost()
	if n.storedMessages(t) != 1 {
		t.Fatalf("%d messages are stored before the record is", n.storedMessages(t))
	}
	n.drain(t, "ops")
	again := n.restart(t)
	again.write(t, "tokens/acme-rw/verify", nil)
	again.drain(t, "ops")
	taken := n.receiver.Taken()
	if len(taken) != 2 || taken[0].ID != taken[1].ID || !taken[1].Repeated {
		t.Errorf("the receiver has %d messages, want one and its repetition", len(taken))
	}
}

func TestNotifications_OnlyTheNodeThatWritesSends(t *testing.T) {
	t.Parallel()
	n := newNotifying(t, func(c *logical.BackendConfig) {
		c.System = &logical.StaticSystemView{ReplicationStateVal: consts.ReplicationPerformanceStandby}
	})
	entry, err := logical.StorageEntryJSON(notificationPrefix+"ops", notificationEntry{
		Schema: 1, ID: "an-id", Settings: provider.Values{"url": n.url, "secret": notifySecret, "format": formatStandard}, Events: []string{"*"},
	})
	if err != nil {
		t.Fatal(err)
	}
	m := message{Schema: 1, ID: "msg_1", At: n.now(), Type: eventRotate}
	stored, err := logical.StorageEntryJSON(notificationQueuePrefix+"an-id/"+m.key(), m)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []*logical.StorageEntry{entry, stored} {
		if err := n.storage.Put(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	n.sendEvent(t.Context(), eventConfigWrite, "config/acme", "account", "acme")
	if shown := n.read(t, "status")["notifications"].(map[string]any)["ops"].(map[string]any); shown["waiting"] != 1 {
		t.Errorf("a standby shows %v", shown)
	}
	if n.outbox.get("ops") != nil || n.storedMessages(t) != 1 || len(n.receiver.Taken()) != 0 {
		t.Error("a standby has sent or stored something")
	}
}

func TestNotifications_DeletionForgetsWhatWaits(t *testing.T) {
	t.Parallel()
	n := newNotifying(t)
	n.notify(t, "ops", map[string]any{"events": "config-write"})
	n.sendEvent(t.Context(), eventConfigWrite, "config/acme", "account", "acme")
	if response, err := n.handle(t, logical.DeleteOperation, "notifications/ops", nil); err != nil || response != nil {
		t.Fatalf("got %v, error %v", response, err)
	}
	awaitCondition(t, "the messages to be forgotten", func() bool { return n.storedMessages(t) == 0 })
	if response, err := n.handle(t, logical.DeleteOperation, "notifications/ops", nil); err != nil || response != nil {
		t.Errorf("deleting it again: got %v, error %v", response, err)
	}
	if response, err := n.handle(t, logical.ReadOperation, "notifications/ops", nil); err != nil || response != nil {
		t.Errorf("it can still be read: %v, error %v", response, err)
	}
	if strings.Contains(n.metricsText(t), `notification="ops"`) {
		t.Error("the metrics still have it")
	}
	n.notify(t, "ops", map[string]any{"events": "config-write"})
	n.drain(t, "ops")
	if taken := n.receiver.Taken(); len(taken) != 0 {
		t.Error("a new notification of the name gets what waited for the old one")
	}
}

// TestNotifications_LeftoversOfADeletionAreForgotten: a crash may come between the deletion and that of what waits.
func TestNotifications_LeftoversOfADeletionAreForgotten(t *testing.T) {
	t.Parallel()
	n := newNotifying(t)
	n.notify(t, "ops", map[string]any{"events": "config-write"})
	n.sendEvent(t.Context(), eventConfigWrite, "config/acme", "account", "acme")
	if err := n.storage.Delete(t.Context(), notificationPrefix+"ops"); err != nil {
		t.Fatal(err)
	}
	if again := n.restart(t); again.storedMessages(t) != 0 {
		t.Errorf("%d messages are left", again.storedMessages(t))
	}
}

func TestNotifications_Try(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		fault  *simulator.Fault
		status int
		want   string
	}{
		"taken":       {nil, 204, "has taken the message (HTTP 204)"},
		"unavailable": {&simulator.Fault{Kind: simulator.FaultStatus, Status: 503}, 503, "did not take the message (HTTP 503)"},
		"redirect":    {&simulator.Fault{Kind: simulator.FaultRedirect, Location: "https://elsewhere.example.com/"}, 307, "redirect (HTTP 307), which is not followed"},
		"closed":      {&simulator.Fault{Kind: simulator.FaultDropBefore}, 0, "closed the connection"},
		"a flood":     {&simulator.Fault{Kind: simulator.FaultOversizedBody}, 204, "has taken the message (HTTP 204)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNotifying(t)
			n.notify(t, "ops", nil)
			n.receiver.Break(tc.fault)
			data := n.write(t, "notifications/ops/test", nil).Data
			if data["ok"] != (tc.status/100 == 2) || data["status"] != tc.status || !strings.Contains(data["detail"].(string), tc.want) {
				t.Errorf("got %v", data)
			}
			if ms, isInt := data["duration_ms"].(int); !isInt || ms < 0 || ms > 5000 {
				t.Errorf("got the duration %v", data["duration_ms"])
			}
			if n.storedMessages(t) != 0 {
				t.Error("a try is stored")
			}
		})
	}
}

func TestNotifications_TryNeedsOneThatExistsAndItsSecret(t *testing.T) {
	t.Parallel()
	n := newNotifying(t)
	if _, err := n.handle(t, logical.UpdateOperation, "notifications/ops/test", nil); err == nil || !strings.Contains(err.Error(), `notification "ops" does not exist`) {
		t.Errorf("got error %v", err)
	}
	n.notify(t, "ops", map[string]any{"secret": "whsec_" + hookSecret})
	if data := n.write(t, "notifications/ops/test", nil).Data; data["ok"] != false || data["status"] != 401 || !strings.Contains(data["detail"].(string), "check that it has the same secret") {
		t.Errorf("another secret: got %v", data)
	}
	n.notify(t, "ops", nil)
	n.write(t, "notifications/ops/test", nil)
	body := n.bodies(t)[0]
	if body.Type != "adtokens/test" || body.Data["detail"] == "" || len(body.Data) != 10 {
		t.Errorf("got %v", body)
	}
}

// TestNotifications_TryThatSucceedsSendsWhatWaits: whoever has put the receiver right need not wait.
func TestNotifications_TryThatSucceedsSendsWhatWaits(t *testing.T) {
	t.Parallel()
	n := newNotifying(t)
	n.notify(t, "ops", map[string]any{"events": "config-write"})
	n.receiver.Break(&simulator.Fault{Kind: simulator.FaultDropBefore})
	n.sendEvent(t.Context(), eventConfigWrite, "config/acme", "account", "acme")
	n.drain(t, "ops")
	n.receiver.Break(nil)
	n.drain(t, "ops")
	n.write(t, "notifications/ops/test", nil)
	n.drain(t, "ops")
	if got := typesOf(n.bodies(t)); !slices.Equal(got, []string{"adtokens/test", "adtokens/config-write"}) {
		t.Errorf("got %v", got)
	}
}

// TestNotifications_SlowReceiverHoldsUpNothing with the background at work.
func TestNotifications_SlowReceiverHoldsUpNothing(t *testing.T) {
	t.Parallel()
	n := newNotifying(t)
	n.outboxByHand = false
	var asked atomic.Int32
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	defer hanging.Close()
	n.withImpact(t, nil)
	n.notify(t, "slow", map[string]any{"url": hanging.URL, "events": "*"})
	n.notify(t, "ops", map[string]any{"events": "*"})
	start := time.Now()
	for i := range 20 {
		n.write(t, "tokens/acme-rw", map[string]any{"refresh_ttl": fmt.Sprintf("%ds", i+1)})
	}
	awaitCondition(t, "the other receiver to have all", func() bool { return len(n.receiver.Taken()) == 20 })
	if took := time.Since(start); took > notificationTimeout {
		t.Errorf("it took %v", took)
	}
	awaitCondition(t, "the slow receiver to be asked", func() bool { return asked.Load() > 0 })
	awaitCondition(t, "what was taken to be forgotten", func() bool { return n.storedMessages(t) == 20 })
	closing := time.Now()
	n.Cleanup(context.WithoutCancel(t.Context()))
	if took := time.Since(closing); took > unstoredPatience {
		t.Errorf("the mount took %v to close", took)
	}
	if asked.Load() != 1 || n.storedMessages(t) != 20 {
		t.Errorf("the slow receiver was asked %d times, and %d messages wait", asked.Load(), n.storedMessages(t))
	}
	for _, taken := range n.receiver.Taken() {
		if taken.Repeated {
			t.Error("a message came twice")
		}
	}
}

// awaitCondition waits for what the background does.
func awaitCondition(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

// TestNotifications_AnswerThatDripsIsTaken: the status is what counts, and nobody waits for the rest, or reads all of it.
func TestNotifications_AnswerThatDripsIsTaken(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request){
		"drips": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"floods": func(w http.ResponseWriter, r *http.Request) {
			for junk := make([]byte, 64<<10); r.Context().Err() == nil; {
				if _, err := w.Write(junk); err != nil {
					return
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNotifying(t)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusAccepted)
				_ = http.NewResponseController(w).Flush()
				answer(w, r)
			}))
			defer server.Close()
			n.notify(t, "ops", map[string]any{"url": server.URL, "events": "config-write"})
			n.sendEvent(t.Context(), eventConfigWrite, "config/acme", "account", "acme")
			start := time.Now()
			n.drain(t, "ops")
			if took := time.Since(start); took > notificationTimeout || n.outbox.get("ops").state().waiting != 0 {
				t.Errorf("after %v, %d messages wait", took, n.outbox.get("ops").state().waiting)
			}
		})
	}
}

// TestNotifications_ReadsCostNothing while 10,000 messages wait.
func TestNotifications_ReadsCostNothing(t *testing.T) { // not parallel: it counts allocations
	n := newNotifying(t)
	n.withImpact(t, nil)
	n.read(t, "creds/acme-rw")
	cost := func() (allocs float64, gets int64) {
		req := &logical.Request{Operation: logical.ReadOperation, Path: "creds/acme-rw", Storage: n.storage}
		before := n.storage.Gets.Load()
		allocs = testing.AllocsPerRun(200, func() {
			if _, err := n.HandleRequest(t.Context(), req); err != nil {
				t.Error(err)
			}
		})
		return allocs, n.storage.Gets.Load() - before
	}
	without, _ := cost()
	n.receiver.Break(&simulator.Fault{Kind: simulator.FaultDropBefore})
	for i := range 10 {
		n.notify(t, fmt.Sprintf("ops-%d", i), map[string]any{"events": "config-write"})
	}
	for range maxWaiting {
		n.sendEvent(t.Context(), eventConfigWrite, "config/acme", "account", "acme")
	}
	if n.storedMessages(t) != 10*maxWaiting {
		t.Fatalf("%d messages wait", n.storedMessages(t))
	}
	if with, gets := cost(); with > without || gets != 0 {
		t.Errorf("a read costs %.0f allocations and %d reads of storage, and %.0f allocations where nothing waits", with, gets, without)
	}
}

func TestNotifications_DamagedEntriesAreNamed(t *testing.T) {
	t.Parallel()
	n := newNotifying(t)
	n.notify(t, "ops", map[string]any{"events": "config-write"})
	n.sendEvent(t.Context(), eventConfigWrite, "config/acme", "account", "acme")
	keys, err := logical.CollectKeysWithPrefix(t.Context(), n.storage, notificationQueuePrefix)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range append(keys, notificationPrefix+"broken") {
		if err := n.storage.Put(t.Context(), &logical.StorageEntry{Key: key, Value: []byte(`{"schema`)}); err != nil {
			t.Fatal(err)
		}
	}
	again := n.restart(t)
	again.drain(t, "ops")
	if state := again.outbox.get("ops").state(); state.waiting != 0 || state.dropped != 1 {
		t.Errorf("a damaged message: %+v", state)
	}
	if warnings := again.statusWarnings(t); !strings.Contains(warnings, "notification/broken in storage cannot be used") {
		t.Errorf("status says %s", warnings)
	}
	if response, err := again.handle(t, logical.DeleteOperation, "notifications/broken", nil); err != nil || response.IsError() {
		t.Errorf("a damaged notification cannot be deleted: %v, error %v", response, err)
	}
}

func TestNotifications_ErrorsOfStorageAreErrors(t *testing.T) {
	t.Parallel()
	n := newNotifying(t)
	n.notify(t, "ops", nil)
	n.storage.FailPut(true)
	if _, err := n.handle(t, logical.UpdateOperation, "notifications/ops", map[string]any{"events": "*"}); err == nil {
		t.Error("a write that storage refuses succeeds")
	}
	n.storage.FailPut(false)
	n.storage.ReadOnly.Store(true)
	if _, err := n.handle(t, logical.UpdateOperation, "notifications/ops", map[string]any{"events": "*"}); !errors.Is(err, logical.ErrReadOnly) {
		t.Errorf("got error %v, which Vault does not forward", err)
	}
}

// TestNotifications_StoredFormIsKept: what waits is sent by later releases too.
func TestNotifications_StoredFormIsKept(t *testing.T) {
	t.Parallel()
	n := newNotifying(t)
	const (
		entry = `{"schema":1,"id":"an-id","settings":{"url":"URL","secret":"` + notifySecret + `","format":"standard_webhooks"},"events":["overdue"],"mount":"adtokens/"}`
		waits = `{"schema":1,"id":"msg_1","type":"adtokens/overdue","timestamp":"2026-11-22T03:00:00Z","data":{"mount":"adtokens/","token":"acme-rw",` +
			`"account":"acme","provider":"impact","version":3,"fingerprint":"2222222222222222","health":"ok","rotation_state":"idle","detail":"late",` +
			`"runbook":"adtokens/tokens/acme-rw/rotate"}}`
	)
	at := n.clock.Now().Add(-time.Hour)
	for key, value := range map[string]string{
		"notification/ops": strings.Replace(entry, "URL", n.url, 1),
		fmt.Sprintf("notification-queue/an-id/%014d-msg_1", at.UnixMilli()): waits,
		"notification-state/an-id": `{"schema":1,"dropped":7,"dropped_at":"2026-11-22T03:00:00Z"}`,
	} {
		if err := n.storage.Put(t.Context(), &logical.StorageEntry{Key: key, Value: []byte(value)}); err != nil {
			t.Fatal(err)
		}
	}
	if shown := n.read(t, "notifications/ops"); shown["waiting"] != 1 || shown["dropped"] != 7 || shown["dropped_at"] != "2026-11-22T03:00:00Z" {
		t.Errorf("got %v", shown)
	}
	n.drain(t, "ops")
	if bodies := n.bodies(t); len(bodies) != 1 || bodies[0].id != "msg_1" || bodies[0].Data["version"] != 3.0 || bodies[0].Timestamp != "2026-11-22T03:00:00Z" {
		t.Errorf("got %v", bodies)
	}
}

func TestQueue_KeysSortByTime(t *testing.T) {
	t.Parallel()
	m := message{ID: "msg_1", At: testkit.Epoch}
	later := message{ID: "msg_0", At: testkit.Epoch.Add(time.Millisecond)}
	if m.key() >= later.key() {
		t.Errorf("%s sorts after %s", m.key(), later.key())
	}
	if at, id, ok := parseMessageKey(m.key()); !ok || id != "msg_1" || !at.Equal(testkit.Epoch) {
		t.Errorf("got %v, %s, %v", at, id, ok)
	}
	for _, key := range []string{"", "x", "12", "-", "abc-msg_1", "12-"} {
		if _, _, ok := parseMessageKey(key); ok {
			t.Errorf("%q is taken for a key", key)
		}
	}
}
