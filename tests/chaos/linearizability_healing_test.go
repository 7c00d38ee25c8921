//go:build unix

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// healable is a token that somebody resets in the console again and again without telling. A hook replaces what is rejected, and nobody
// rotates it by hand until that was done as often as may be.
const healable = "healable"

var healableName = simulator.ScopedTokenName{Account: "agency", Name: healable}

// importHealable makes the token, and the hook of its account.
func (r *recorder) importHealable(t *testing.T) {
	t.Helper()
	calls := newCallLog(t, r.sim)
	calls.made = r.noteHealing
	if _, err := r.sim.CreateScopedToken(t.Context(), simulator.ScopedTokenInput{ScopedTokenName: healableName}); err != nil {
		vaulttest.Fatalf(t, "%v", err)
	}
	r.configure(t, "hook", map[string]any{
		"provider": "impact", "account_type": "agency", "base_url": r.sim.ImpactURL,
		"reset_hook_url": calls.url + "/reset", "reset_hook_secret": calls.secret,
	})
	r.importToken(t, healable, r.inConsole, map[string]any{"account": "hook", "type": "scoped", "rotate_on_rejection": true})
}

// inConsole is the value that the provider's console has now. It is a maker.
func (r *recorder) inConsole(ctx context.Context, _ int) (map[string]any, error) {
	token, err := r.sim.ScopedToken(ctx, healableName)
	return map[string]any{"account_sid": token.AccountSID, "auth_token": token.AuthToken}, err
}

// noteHealing records that the hook has made a value. The engine has decided on that before it asked, and publishes it later, if ever.
func (r *recorder) noteHealing(c *makeCall, answer *httptest.ResponseRecorder) {
	var made struct {
		AuthToken string `json:"auth_token"`
	}
	if answer.Code != http.StatusOK || json.Unmarshal(answer.Body.Bytes(), &made) != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.resets[c.key] {
		return // it was asked again, and has given the same value
	}
	r.resets[c.key] = true
	r.last++
	r.numbers[made.AuthToken] = r.last
	asked := c.from.Sub(r.began).Nanoseconds()
	r.history = append(r.history,
		porcupine.Operation{Input: action{token: healable, event: heals}, Output: result{}, Call: 0, Return: asked},
		porcupine.Operation{Input: action{token: healable, event: healed, value: r.last}, Output: result{}, Call: asked, Return: math.MaxInt64})
}

// resetInConsole has the current value die.
func (r *recorder) resetInConsole(t *testing.T) {
	t.Helper()
	from := time.Now()
	if _, err := r.sim.ResetScopedToken(t.Context(), healableName); err != nil {
		vaulttest.Fatalf(t, "%v", err)
	}
	r.add(0, from, action{token: healable, event: dies}, result{})
}

// verifyHealable verifies the token until there is an answer. It does not wait for that.
func (r *recorder) verifyHealable(t *testing.T) (looked <-chan struct{}) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for t.Context().Err() == nil {
			if _, err := r.Write(t.Context(), "tokens/"+healable+"/verify", nil); err == nil {
				return
			}
			pause(t.Context(), 10*time.Millisecond)
		}
	}()
	return done
}

// awaitHealable waits for a version with nothing under way, and for what its last_error says.
func (r *recorder) awaitHealable(t *testing.T, version int, problem string) {
	t.Helper()
	vaulttest.Await(t, fmt.Sprintf("version %d of %s", version, healable), func() bool {
		secret, err := ask(t.Context(), r.Mount, "tokens/"+healable)
		return err == nil && asInt(secret.Data["version"]) == version && secret.Data["rotation_state"] == "idle" &&
			strings.Contains(fmt.Sprint(secret.Data["last_error"]), problem)
	})
}

// awaitRejection reports the version until the report is told that the provider rejects it. Reports share what was found in the last seconds.
func (r *recorder) awaitRejection(t *testing.T, version int) {
	t.Helper()
	vaulttest.Await(t, "a report to be told of the rejection", func() bool {
		return r.report(t.Context(), 0, healable, version) == rejected
	})
}

// handInHealable has a person hand in what the console shows.
func (r *recorder) handInHealable(t *testing.T) {
	t.Helper()
	if err := r.rotate(t.Context(), 0, healable, r.inConsole, maxHealings+1); err != nil {
		vaulttest.Fatalf(t, "%v", err)
	}
}
