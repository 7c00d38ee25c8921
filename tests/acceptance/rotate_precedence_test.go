//go:build unix

package acceptance

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

func TestRotate_AValueInHandComesBeforeTheHook(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answers hookAnswer
		empty   bool
	}{
		"it says not yet":                  {answers: hookAnswer{status: http.StatusAccepted}},
		"it hangs":                         {answers: hookAnswer{status: hang}},
		"it hangs, for a token's first":    {answers: hookAnswer{status: hang}, empty: true},
		"it says not yet, for the first":   {answers: hookAnswer{status: http.StatusAccepted}, empty: true},
		"it is at work on the same key":    {answers: hookAnswer{status: http.StatusConflict}},
		"it closes the connection for now": {answers: hookAnswer{status: abort}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			old := w.importLegacyTokens(t).ReadWrite
			version := 2
			if tt.empty {
				w.remove(t, "tokens/rw")
				w.write(t, "tokens/rw", fields{"account": "agency", "type": "legacy_read_write"})
				version = 1
			}
			h := startHook(t, w, slices.Repeat([]hookAnswer{tt.answers}, 1000)...)
			if tt.empty { // the hook of these tests finds a token by its account SID, which there is none of
				h.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					if tt.answers.status == hang {
						<-r.Context().Done()
						return
					}
					w.WriteHeader(tt.answers.status)
				})
			}
			w.addHook(t, "agency", h)
			rotation := w.startRotation(t, "rw", nil)
			w.awaitState(t, "rw", "requested")
			_, err := w.Write(t.Context(), "tokens/rw/rotate", nil)
			refused(t, err, http.StatusConflict, "under way", w.Path+"/tokens/rw/rotate ", "auth_token=-")

			reset := done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
			started := time.Now()
			rotated := w.write(t, "tokens/rw/rotate", fields{"account_sid": old.AccountSID, "auth_token": reset.AuthToken})
			if took := time.Since(started); took > 20*time.Second {
				t.Errorf("the value waited for %s", took)
			}
			has(t, rotated.Data, fields{"version": version, "verification": "accepted"})
			mentions(t, "the warnings", strings.Join(rotated.Warnings, "\n"), "may still perform it", "vault write -f "+w.Path+"/tokens/rw/verify")
			has(t, w.data(t, "creds/rw"), fields{"version": version, "auth_token": reset.AuthToken})
			has(t, w.data(t, "tokens/rw"), fields{"rotation_state": "idle", "last_error": "", "health": "ok"})
			versions := w.history(t, "rw")
			mentions(t, "the note", fmt.Sprint(versions[len(versions)-1]["note"]), "had not answered")
			refused(t, (<-rotation.answer).err, http.StatusConflict, fmt.Sprintf("handed in version %d", version))
		})
	}
}

func TestRotate_AWaiterOutlivesItsToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	h := startHook(t, w, slices.Repeat([]hookAnswer{{status: http.StatusAccepted}}, 1000)...)
	w.addHook(t, "agency", h)
	processes := fmt.Sprint(w.PluginProcesses(t))
	for _, withCredential := range []bool{false, true} {
		rotation := w.startRotation(t, "rw", nil)
		w.awaitState(t, "rw", "requested")
		again := fields{"account": "agency", "type": "legacy_read_write"}
		if withCredential {
			vaulttest.Await(t, "the hook to have reset it", func() bool { _, resets := h.asked(); return len(resets) == 2 })
			again = impactToken("legacy_read_write", done(w.sim.ImpactCredentials(t.Context(), "agency"))(t).ReadWrite)
		}
		w.remove(t, "tokens/rw")
		w.write(t, "tokens/rw", again)
		refused(t, (<-rotation.answer).err, http.StatusConflict, "was deleted")
		if !withCredential {
			w.remove(t, "tokens/rw")
			w.write(t, "tokens/rw", impactToken("legacy_read_write", done(w.sim.ImpactCredentials(t.Context(), "agency"))(t).ReadWrite))
		}
	}
	if now := fmt.Sprint(w.PluginProcesses(t)); now != processes {
		t.Errorf("the plugin's processes were %s and are %s", processes, now)
	}
	has(t, w.data(t, "creds/rw"), fields{"version": 1})
}

// listener is an address of an account for a moment: it writes down what it is sent, and may answer late.
type listener struct {
	mu    sync.Mutex
	heard []string
	hold  chan struct{}
}

func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, password, _ := r.BasicAuth()
	l.mu.Lock()
	l.heard = append(l.heard, password)
	l.mu.Unlock()
	if l.hold != nil {
		select {
		case <-l.hold:
		case <-r.Context().Done():
		}
	}
	w.WriteHeader(http.StatusInternalServerError)
}

func (l *listener) asked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.heard)
}

func TestRotate_AnAddressOfAMomentGetsNoValue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	slow, evil := &listener{hold: make(chan struct{})}, &listener{}
	addresses := map[string]string{"good": w.sim.ImpactURL}
	for name, l := range map[string]*listener{"slow": slow, "evil": evil} {
		server := httptest.NewServer(l)
		t.Cleanup(server.Close)
		addresses[name] = server.URL
	}
	point := func(to string) {
		w.write(t, "config/agency", fields{"provider": "impact", "account_type": "agency", "base_url": addresses[to], "request_timeout": 60})
	}
	value := done(w.sim.ImpactCredentials(t.Context(), "agency"))(t).ReadWrite
	point("slow")
	w.write(t, "tokens/rw", fields{"account": "agency", "type": "legacy_read_write"})
	dummy := vaulttest.Secret(t, "dummy", "dummyAuthTokenOfAMoment")
	first := w.startRotation(t, "rw", fields{"account_sid": value.AccountSID, "auth_token": dummy})
	vaulttest.Await(t, "the first request to be at the provider", func() bool { return slow.asked() == 1 })
	point("good")
	admin := w.startRotation(t, "rw", fields{"account_sid": value.AccountSID, "auth_token": value.AuthToken})
	point("evil")
	mallory := w.startRotation(t, "rw", fields{"account_sid": "IR00000000000000000000"})
	time.AfterFunc(2*time.Second, func() { close(slow.hold) }) // both wait for the token by then; an early end would only ask less of the engine
	point("good")
	<-first.answer
	<-mallory.answer
	if a := <-admin.answer; a.err == nil {
		has(t, a.secret.Data, fields{"version": 1, "verification": "accepted"})
	}
	if evil.asked() != 0 {
		t.Errorf("the address of a moment was asked %d times", evil.asked())
	}
}

func TestRotate_AWrongCasTellsNothingOfTheValue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importLegacyTokens(t)
	reset := done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
	request := fields{"auth_token": reset.AuthToken, "cas": 1}
	w.write(t, "tokens/rw/rotate", request)
	created := done(w.Client.Auth().Token().CreateWithContext(t.Context(), &api.TokenCreateRequest{Policies: []string{"root"}}))(t)
	other := w.As(t, created.Auth.ClientToken)
	for name, data := range map[string]fields{
		"the current value":             {"auth_token": reset.AuthToken, "cas": 9},
		"the current value, one before": request,
	} {
		_, err := other.Write(t.Context(), "tokens/rw/rotate", data)
		refused(t, err, http.StatusBadRequest, "cas is", "current version is 2")
		if t.Failed() {
			t.Fatalf("with %s", name)
		}
	}
	// The one who sent it is told what became of it.
	_, err := w.Write(t.Context(), "tokens/rw/rotate", request)
	refused(t, err, http.StatusBadRequest, "current credential already (version 2)")
}

func TestRetire_AnOldKeyEndsNowOrIsForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := w.importKey(t, nil)
	w.write(t, "tokens/key/rotate", nil)
	current := w.currentKey(t)
	_, err := w.Write(t.Context(), "tokens/key/retire", fields{"version": 2, "force": true})
	refused(t, err, http.StatusBadRequest, "is the current one", "version 1")
	w.hasKeys(t, old, current)
	has(t, w.write(t, "tokens/key/retire", fields{"version": 1}).Data, fields{"version": 1, "retired": true, "rotation_state": "idle"})
	w.hasKeys(t, current)
	has(t, w.history(t, "key")[0], fields{"retired_how": "retired by the engine"})
	_, err = w.Write(t.Context(), "tokens/key/retire", nil)
	refused(t, err, http.StatusBadRequest, "no old value of this token waits")

	w.write(t, "tokens/key/rotate", nil)
	succeeded(t, w.sim.SetKeyAdministration(t.Context(), simulator.DefaultName, simulator.KeyAdministrationDenied))
	_, err = w.Write(t.Context(), "tokens/key/retire", nil)
	refused(t, err, http.StatusBadGateway, "was not ended", w.Path+"/tokens/key/retire force=true")
	has(t, w.data(t, "tokens/key"), fields{"rotation_state": "retiring"})
	output := w.CLI(t, vaulttest.Command{Args: []string{"write", w.Path + "/tokens/key/retire", "force=true"}})
	if output.ExitCode != 0 {
		t.Fatalf("vault write fails: %s", output.Stderr)
	}
	mentions(t, "the CLI", output.Stdout+output.Stderr, "is forgotten now", "idle")
	has(t, w.data(t, "tokens/key"), fields{"rotation_state": "idle", "last_error": "", "retiring": []any{}})
	help := w.CLI(t, vaulttest.Command{Args: []string{"path-help", w.Path + "/tokens/key/retire"}})
	mentions(t, "the help", help.Stdout, "force (bool)", "version (int)", "Ends an old value now")
}

func TestDelete_AKeyThatMayStillAppearIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importKey(t, nil)
	succeeded(t, w.sim.ConfigureIAM(t.Context(), simulator.IAMSettings{KeyListLag: time.Hour}))
	lost := simulator.Fault{Service: simulator.GoogleIAM, Kind: simulator.FaultDropAfter, Method: http.MethodPost, Times: 1}
	succeeded(t, w.sim.InjectFault(t.Context(), lost))
	has(t, w.write(t, "tokens/key/rotate", nil).Data, fields{"version": 2})
	w.write(t, "tokens/key/retire", fields{"version": 1})
	_, err := w.Delete(t.Context(), "tokens/key")
	refused(t, err, http.StatusBadGateway, "was not deleted", "a key may still appear", "force=true")
	deleted, err := w.Client.Logical().DeleteWithDataWithContext(t.Context(), w.Path+"/tokens/key", map[string][]string{"force": {"true"}})
	succeeded(t, err)
	mentions(t, "the warnings", strings.Join(deleted.Warnings, "\n"), "search for a lost key is given up", "version 2", "lives on at the provider")
}
