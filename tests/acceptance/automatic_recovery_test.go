//go:build unix

package acceptance

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// requests counts those that a service has got with a method, those in flight included.
func (w *world) requests(t *testing.T, service simulator.Service, method string) int {
	t.Helper()
	var sum int
	for endpoint, count := range done(w.sim.Ledger(t.Context()))(t).Requests[service] {
		if strings.HasPrefix(endpoint, method+" ") {
			sum += count
		}
	}
	return sum
}

// liveKeys counts the keys that Google accepts.
func (w *world) liveKeys(t *testing.T) int {
	t.Helper()
	live := 0
	for _, secret := range done(w.sim.Ledger(t.Context()))(t).Live {
		if secret.Kind == "private_key" {
			live++
		}
	}
	return live
}

// scene is work that is interrupted.
type scene interface {
	// begin starts the work and returns when it is where it is to be interrupted. Whoever asked for it hangs up then: Vault
	// waits for requests before it seals.
	begin(*testing.T, *world)
	// recovered looks at the provider alone: whether the work was taken up again is not to depend on a question.
	recovered(*testing.T, *world) bool
	// check looks at everything in the end.
	check(*testing.T, *world)
}

// keyScene is a rotation of a key that is held up by a fault.
type keyScene struct {
	fault simulator.Fault
	// met says whether the rotation has met the fault.
	met func(*testing.T, *world) bool
	// grace is the rotation_grace_period in seconds.
	grace int
	// version is the current one in the end, and made how many keys there ever were.
	version, made int
}

func (s keyScene) begin(t *testing.T, w *world) {
	t.Helper()
	w.importKey(t, fields{"rotation_grace_period": s.grace, "rotation_period": "720h"})
	w.write(t, "config/google", fields{"request_timeout": 60})
	if s.fault.Kind != "" {
		s.fault.Latency, s.fault.Times = time.Hour, 1
		succeeded(t, w.sim.InjectFault(t.Context(), s.fault))
	}
	rotation := w.startRotation(t, "key", nil)
	defer rotation.hangUp()
	vaulttest.Await(t, "the rotation to be held up", func() bool { return s.met(t, w) })
}

func (s keyScene) recovered(t *testing.T, w *world) bool {
	t.Helper()
	return len(done(w.sim.ServiceAccountKeys(t.Context(), simulator.DefaultName))(t)) == s.made && w.liveKeys(t) == 1
}

func (s keyScene) check(t *testing.T, w *world) {
	t.Helper()
	token := w.awaitToken(t, "key", "be at rest", func(token fields) bool {
		retiring, _ := token["retiring"].([]any)
		return reached(s.version)(token) && len(retiring) == 0
	})
	has(t, token, fields{"health": "ok", "overdue": false, "last_error": ""})
	if versions := w.history(t, "key"); len(versions) != s.version {
		t.Errorf("the history has %d versions instead of %d", len(versions), s.version)
	}
	w.hasKeys(t, w.currentKey(t))
	if !s.recovered(t, w) { // still, so nothing has rotated early
		t.Errorf("there are %d live keys", w.liveKeys(t))
	}
	has(t, w.write(t, "tokens/key/rotate", fields{"cas": s.version}).Data, fields{"version": s.version + 1})
}

// planScene is a rotation that becomes due later.
type planScene struct{}

func (planScene) begin(t *testing.T, w *world) {
	t.Helper()
	w.importKey(t, fields{"rotation_period": 5, "rotation_grace_period": "1h"})
}

func (planScene) recovered(t *testing.T, w *world) bool {
	t.Helper()
	return len(w.keysThere(t, simulator.DefaultName)) >= 2
}

func (planScene) check(t *testing.T, w *world) {
	t.Helper()
	w.awaitToken(t, "key", "have rotated", reached(2))
	has(t, w.history(t, "key")[1], fields{"source": "iam", "reason": "scheduled"})
}

// hookScene is a rotation by a hook that has reset the token and does not say so.
type hookScene struct{ hook *hook }

func (s *hookScene) begin(t *testing.T, w *world) {
	t.Helper()
	w.importLegacyTokens(t)
	s.hook = startHook(t, w, hookAnswer{status: hang})
	w.addHook(t, "agency", s.hook)
	rotation := w.startRotation(t, "rw", nil)
	defer rotation.hangUp()
	vaulttest.Await(t, "the hook to be asked", func() bool {
		_, resets := s.hook.asked()
		return len(resets) == 1
	})
}

func (s *hookScene) recovered(*testing.T, *world) bool {
	events, _ := s.hook.asked()
	return len(events) == 2
}

func (s *hookScene) check(t *testing.T, w *world) {
	t.Helper()
	token := w.awaitState(t, "rw", "idle")
	has(t, token, fields{"version": 2, "health": "ok", "last_error": ""})
	has(t, w.data(t, "creds/rw"), fields{"version": 2, "auth_token": s.hook.resetOnce(t, 2)["auth_token"]})
	has(t, w.data(t, "tokens/ro"), fields{"version": 1})
}

// rejectedScene is a hook's value that the provider rejects until after the interruption.
type rejectedScene struct{ hook *hook }

func (s *rejectedScene) begin(t *testing.T, w *world) {
	t.Helper()
	w.importLegacyTokens(t)
	s.hook = startHook(t, w)
	w.addHook(t, "agency", s.hook)
	rejecting := simulator.Fault{Service: simulator.Impact, Kind: simulator.FaultStatus, Status: http.StatusUnauthorized}
	succeeded(t, w.sim.InjectFault(t.Context(), rejecting))
	rotation := w.startRotation(t, "rw", nil)
	defer rotation.hangUp()
	w.awaitToken(t, "rw", "have a value that is rejected", func(token fields) bool {
		return token["rotation_state"] == "pending" && token["last_error"] != ""
	})
}

// recovered is left to check: how often the provider was asked before tells nothing.
func (s *rejectedScene) recovered(*testing.T, *world) bool { return true }

func (s *rejectedScene) check(t *testing.T, w *world) {
	t.Helper()
	has(t, w.awaitState(t, "rw", "idle"), fields{"version": 2, "health": "ok", "last_error": ""})
	has(t, w.data(t, "creds/rw"), fields{"version": 2, "auth_token": s.hook.resetOnce(t, 1)["auth_token"]})
}

// scenes are one for each step of a rotation. The last one is to begin last: it waits for nobody.
func scenes() []namedScene {
	asked := func(service simulator.Service, method string, times int) func(*testing.T, *world) bool {
		return func(t *testing.T, w *world) bool { return w.requests(t, service, method) == times }
	}
	made := func(t *testing.T, w *world) bool { return len(w.keysThere(t, simulator.DefaultName)) == 2 }
	deleted := func(t *testing.T, w *world) bool {
		return w.requests(t, simulator.GoogleIAM, http.MethodDelete) == 1 && w.liveKeys(t) == 1
	}
	return []namedScene{
		{"Google is asked which keys there are", keyScene{
			fault: simulator.Fault{Service: simulator.GoogleIAM, Kind: simulator.FaultLatency, Method: http.MethodGet},
			met:   asked(simulator.GoogleIAM, http.MethodGet, 1), version: 1, made: 1,
		}},
		{"Google is asked for a key", keyScene{
			fault: simulator.Fault{Service: simulator.GoogleIAM, Kind: simulator.FaultLatency, Method: http.MethodPost},
			met:   asked(simulator.GoogleIAM, http.MethodPost, 1), version: 2, made: 2,
		}},
		{"Google has made a key", keyScene{
			fault: simulator.Fault{Service: simulator.GoogleIAM, Kind: simulator.FaultLateAnswer, Method: http.MethodPost},
			met:   made, version: 2, made: 3,
		}},
		{"the new key is tried", keyScene{
			fault: simulator.Fault{Service: simulator.GoogleAds, Kind: simulator.FaultLatency},
			met:   asked(simulator.GoogleAds, http.MethodGet, 2), version: 2, made: 2, // the first was the import's
		}},
		{"Google is asked to delete the old key", keyScene{
			fault: simulator.Fault{Service: simulator.GoogleIAM, Kind: simulator.FaultLatency, Method: http.MethodDelete},
			met:   asked(simulator.GoogleIAM, http.MethodDelete, 1), version: 2, made: 2,
		}},
		{"Google has deleted the old key", keyScene{
			fault: simulator.Fault{Service: simulator.GoogleIAM, Kind: simulator.FaultLateAnswer, Method: http.MethodDelete},
			met:   deleted, version: 2, made: 2,
		}},
		{"a hook has reset the token", &hookScene{}},
		{"the provider rejects a hook's value", &rejectedScene{}},
		{"the old key waits for its end", keyScene{met: made, grace: 4, version: 2, made: 2}},
		{"a rotation is planned", planScene{}},
	}
}

type namedScene struct {
	name string
	scene
}

func TestARotationThatIsInterruptedIsTakenUpAgain(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		start     func(testing.TB) *vaulttest.Server
		interrupt func(testing.TB, *vaulttest.Server)
		// wake says that the plugin has to be started by a request.
		wake bool
	}{
		"the plugin is killed": {vaulttest.StartDev, func(t testing.TB, s *vaulttest.Server) { s.KillPlugins(t) }, true},
		"Vault is killed":      {vaulttest.StartRaft, func(t testing.TB, s *vaulttest.Server) { s.Crash(t) }, false},
		"Vault is sealed":      {vaulttest.StartRaft, func(t testing.TB, s *vaulttest.Server) { s.Seal(t); s.Unseal(t) }, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := tt.start(t)
			interrupted := scenes()
			worlds := make([]*world, len(interrupted))
			for i, scene := range interrupted {
				worlds[i] = &world{Mount: server.Mount(t), sim: vaulttest.StartSimulator(t)}
				scene.begin(t, worlds[i])
			}
			tt.interrupt(t, server)
			for i, scene := range interrupted {
				scene.resume(t, worlds[i], tt.wake)
			}
			for i, scene := range interrupted {
				if scene.check(t, worlds[i]); t.Failed() {
					t.Fatalf("where %s", scene.name)
				}
			}
		})
	}
}

// resume ends what held the work up, and waits until it is taken up again.
func (s namedScene) resume(t *testing.T, w *world, wake bool) {
	t.Helper()
	succeeded(t, w.sim.ClearFaults(t.Context()))
	if wake {
		vaulttest.Await(t, "the plugin to be started", func() bool {
			_, err := w.Read(t.Context(), "info")
			return err == nil
		})
	}
	vaulttest.Await(t, "recovery where "+s.name, func() bool { return s.recovered(t, w) })
}
