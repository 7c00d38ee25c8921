//go:build unix

package acceptance

import (
	"bufio"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// newNotifySecret is a secret that signs, and that must be found nowhere.
func newNotifySecret(t *testing.T) string {
	t.Helper()
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return "whsec_" + vaulttest.Secret(t, "notification's secret", base64.StdEncoding.EncodeToString(key))
}

// notified is a receiver of notifications with its server.
type notified struct {
	*simulator.Receiver
	server *httptest.Server
	secret string
}

func startReceiver(t *testing.T) *notified {
	t.Helper()
	n := &notified{secret: newNotifySecret(t)}
	n.Receiver = done(simulator.NewReceiver(n.secret))(t)
	n.server = httptest.NewServer(n.Receiver)
	t.Cleanup(n.server.Close)
	return n
}

func (n *notified) fields(more fields) fields {
	all := fields{"url": n.server.URL + "/adtokens", "secret": n.secret}
	maps.Copy(all, more)
	return all
}

// types are those of the messages that were taken, and what they are about.
func (n *notified) types(t *testing.T) []string {
	t.Helper()
	var all []string
	for _, taken := range n.Taken() {
		var body struct {
			Type string
			Data fields
		}
		succeeded(t, json.Unmarshal(taken.Body, &body))
		all = append(all, fmt.Sprintf("%s %s", body.Type, body.Data["token"]))
	}
	return all
}

func TestNotifications_TellOverARealVault(t *testing.T) {
	t.Parallel()
	w, receiver := newWorld(t), startReceiver(t)
	w.importLegacyTokens(t)
	w.write(t, "notifications/ops", receiver.fields(nil))
	answer := w.write(t, "notifications/ops/test", nil).Data
	has(t, answer, fields{"ok": true, "status": 204})
	hasOnly(t, answer, "ok", "status", "detail", "duration_ms")

	done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
	has(t, w.write(t, "tokens/rw/verify", nil).Data, fields{"outcome": "rejected"})
	w.write(t, "tokens/rw/verify", nil) // it lasts
	want := []string{"adtokens/test ", "adtokens/verify-fail rw"}
	vaulttest.Await(t, "the notification", func() bool { return slices.Equal(receiver.types(t), want) })
	var body struct {
		Timestamp time.Time
		Data      fields
	}
	succeeded(t, json.Unmarshal(receiver.Taken()[1].Body, &body))
	mount := w.Path + "/"
	has(t, body.Data, fields{
		"mount": mount, "token": "rw", "account": "agency", "provider": "impact", "version": 1, "health": "rejected", "rotation_state": "idle",
		"runbook": mount + "tokens/rw/rotate", "fingerprint": w.data(t, "tokens/rw")["fingerprint"],
	})
	hasOnly(t, body.Data, "mount", "token", "account", "provider", "version", "fingerprint", "health", "rotation_state", "detail", "runbook")
	if age := time.Since(body.Timestamp); age < 0 || age > time.Minute {
		t.Errorf("the message is %v old", age)
	}
	has(t, w.data(t, "status"), fields{"notifications": fields{"ops": fields{"waiting": 0, "dropped": 0, "last_error": ""}}})
	for range 2 { // the second one of nothing
		if w.remove(t, "notifications/ops") != nil {
			t.Error("a deletion says something")
		}
	}
	_, err := w.Write(t.Context(), "notifications/ops/test", nil)
	refused(t, err, http.StatusNotFound, `notification "ops" does not exist`)
}

// TestNotifications_GoOnAfterKill9: nothing that waits is lost, nothing that was taken comes again, and everything keeps its ID.
func TestNotifications_GoOnAfterKill9(t *testing.T) {
	t.Parallel()
	w := &world{Mount: vaulttest.StartRaft(t).Mount(t), sim: vaulttest.StartSimulator(t)}
	receiver := startReceiver(t)
	w.importLegacyTokens(t)
	w.write(t, "notifications/ops", receiver.fields(fields{"events": "token-write"}))
	touch := func(ttl string) { w.write(t, "tokens/rw", fields{"refresh_ttl": ttl}) }
	touch("31s")
	vaulttest.Await(t, "the first message", func() bool { return len(receiver.Taken()) == 1 })
	receiver.Break(&simulator.Fault{Kind: simulator.FaultDropAfter, Latency: 0})
	touch("32s")
	vaulttest.Await(t, "a message whose answer is lost", func() bool { return len(receiver.Taken()) > 1 })
	lost := receiver.Taken()[1].ID
	touch("33s")
	waits := func(n int) bool {
		state := w.data(t, "status")["notifications"].(fields)["ops"].(fields)
		return fmt.Sprint(state["waiting"]) == fmt.Sprint(n)
	}
	vaulttest.Await(t, "two to wait", func() bool { return waits(2) })

	w.Crash(t)
	receiver.Break(nil)
	vaulttest.Await(t, "nothing to wait", func() bool { return waits(0) })
	ids := map[string]int{}
	for _, taken := range receiver.Taken() {
		ids[taken.ID]++
	}
	if len(ids) != 3 || ids[lost] < 2 || ids[receiver.Taken()[0].ID] != 1 {
		t.Errorf("the receiver has the messages %v, want 3, of which %s at least twice and the first one once", ids, lost)
	}
}

// TestNotifications_TrustACAOfOnesOwn, and nobody else's.
func TestNotifications_TrustACAOfOnesOwn(t *testing.T) {
	t.Parallel()
	w, receiver := newWorld(t), startReceiver(t)
	server := httptest.NewTLSServer(receiver.Receiver)
	t.Cleanup(server.Close)
	w.write(t, "notifications/ops", receiver.fields(fields{"url": server.URL}))
	answer := w.write(t, "notifications/ops/test", nil).Data
	has(t, answer, fields{"ok": false, "status": 0})
	mentions(t, "the detail", answer["detail"].(string), "certificate that is not trusted", "ca_cert")
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	w.refuses(t, "notifications/ops", fields{"ca_cert": ca}, "give secret in the same write")
	w.write(t, "notifications/ops", fields{"ca_cert": ca, "secret": receiver.secret})
	has(t, w.write(t, "notifications/ops/test", nil).Data, fields{"ok": true, "status": 204})
}

// TestNotifications_StandardWebhooksLibrary has the messages verified by the library of Standard Webhooks for another language.
func TestNotifications_StandardWebhooksLibrary(t *testing.T) {
	t.Parallel()
	app := installNodeApp(t, "standardwebhooks")
	w, secret := newWorld(t), newNotifySecret(t)
	w.importLegacyTokens(t)
	receiver := exec.CommandContext(t.Context(), "node", "receiver.mjs", secret)
	receiver.Dir = app.dir
	out := done(receiver.StdoutPipe())(t)
	succeeded(t, receiver.Start())
	t.Cleanup(func() { _ = receiver.Process.Kill(); _ = receiver.Wait() })
	lines := bufio.NewScanner(out)
	next := func() (line struct {
		URL, ID, Refused string
		Message          struct {
			Type string
			Data fields
		}
	},
	) {
		if !lines.Scan() {
			t.Fatalf("the receiver has ended: %v", lines.Err())
		}
		succeeded(t, json.Unmarshal(lines.Bytes(), &line))
		return line
	}
	url := next().URL
	w.write(t, "notifications/ops", fields{"url": url, "secret": secret})
	has(t, w.write(t, "notifications/ops/test", nil).Data, fields{"ok": true, "status": 204})
	if tried := next(); tried.Message.Type != "adtokens/test" || !strings.HasPrefix(tried.ID, "msg_") {
		t.Errorf("the library verified %+v", tried)
	}
	_, err := w.Write(t.Context(), "tokens/rw/rotate", fields{"auth_token": vaulttest.Secret(t, "wrong value", "aWrongValueForNotifications")})
	refused(t, err, http.StatusBadRequest)
	if failed := next(); failed.Message.Type != "adtokens/rotate-fail" || failed.Message.Data["token"] != "rw" {
		t.Errorf("the library verified %+v", failed)
	}
	w.write(t, "notifications/ops", fields{"secret": newNotifySecret(t)})
	has(t, w.write(t, "notifications/ops/test", nil).Data, fields{"ok": false, "status": 401})
	if forged := next(); forged.Refused == "" {
		t.Errorf("the library takes what is signed with another secret: %+v", forged)
	}
}
