//go:build unix

package acceptance

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

func TestOfTwoOperatorsWithTheSameCasOneSucceeds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.importScopedToken(t)
	// Two tokens that the provider accepts: nothing but cas refuses one of the rotations.
	var operators []fields
	for _, name := range []string{"alice", "bob"} {
		token := done(w.sim.DuplicateScopedToken(t.Context(), simulator.ScopedTokenName{Account: "agency", Name: "app"}, name))(t)
		operators = append(operators, fields{"account_sid": token.AccountSID, "auth_token": token.AuthToken, "cas": 1, "reason": name})
	}
	answers := w.rotateAtOnce(t, "scoped", operators)
	winner := slices.IndexFunc(answers, func(a answer) bool { return a.err == nil })
	if winner < 0 {
		vaulttest.Fatalf(t, "no operator succeeds: %v", answers)
	}
	loser := 1 - winner
	refused(t, answers[loser].err, http.StatusBadRequest, "cas is 1", "current version is 2", "somebody rotated this token")
	has(t, answers[winner].secret.Data, fields{"version": 2})
	has(t, w.data(t, "creds/scoped"), fields{"version": 2, "auth_token": operators[winner]["auth_token"], "account_sid": operators[winner]["account_sid"]})
	if versions := w.history(t, "scoped"); len(versions) != 2 {
		t.Errorf("the history has %d versions", len(versions))
	}
}

type answer struct {
	secret *api.Secret
	err    error
}

// rotateAtOnce sends all rotations at the same time and returns the answers in the same order.
func (w *world) rotateAtOnce(t *testing.T, name string, rotations []fields) []answer {
	t.Helper()
	answers := make([]answer, len(rotations))
	var group sync.WaitGroup
	for i, data := range rotations {
		group.Go(func() {
			answers[i].secret, answers[i].err = w.Write(t.Context(), "tokens/"+name+"/rotate", data)
		})
	}
	group.Wait()
	return answers
}

func TestRotationsOfOneTokenComeOneAfterTheOther(t *testing.T) {
	t.Parallel()
	const operators = 8
	w := newWorld(t)
	w.importLegacyTokens(t)
	var rotations []fields
	for i := range operators {
		value := vaulttest.Secret(t, "auth token of a parallel rotation", fmt.Sprintf("parallelAuthToken%d", i))
		rotations = append(rotations, fields{"auth_token": value, "verify": false})
	}
	published := map[string]string{} // fingerprint by version
	for _, answer := range w.rotateAtOnce(t, "rw", rotations) {
		succeeded(t, answer.err)
		published[fmt.Sprint(answer.secret.Data["version"])] = fmt.Sprint(answer.secret.Data["fingerprint"])
	}
	if len(published) != operators {
		t.Fatalf("%d operators published %d versions", operators, len(published))
	}
	versions := w.history(t, "rw")
	if len(versions) != operators+1 {
		t.Fatalf("the history has %d versions", len(versions))
	}
	for i, version := range versions {
		has(t, version, fields{"version": i + 1})
		if i > 0 {
			has(t, version, fields{"fingerprint": published[fmt.Sprint(i+1)]})
		}
	}
	has(t, w.data(t, "creds/rw"), fields{"version": operators + 1, "fingerprint": published[fmt.Sprint(operators+1)]})
}

func TestReadsDoNotWaitForARotationWhoseProviderHangs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	credentials := w.importLegacyTokens(t)
	w.write(t, "config/agency", fields{"request_timeout": 60})
	reset := done(w.sim.ResetReadWrite(t.Context(), "agency"))(t)
	rotation := fields{"auth_token": reset.AuthToken}
	hung := simulator.Fault{Service: simulator.Impact, Kind: simulator.FaultLatency, Latency: time.Hour, Times: 1}
	succeeded(t, w.sim.InjectFault(t.Context(), hung))
	asked := w.impactRequests(t)

	ctx, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	rotated := make(chan error, 1)
	go func() {
		_, err := w.Write(ctx, "tokens/rw/rotate", rotation)
		rotated <- err
	}()
	vaulttest.Await(t, "the provider to be asked", func() bool { return w.impactRequests(t) > asked })

	has(t, w.data(t, "creds/rw"), fields{"version": 1, "auth_token": credentials.ReadWrite.AuthToken})
	has(t, w.data(t, "tokens/rw"), fields{"version": 1})
	for _, path := range []string{"tokens/rw/history", "tokens/rw/rotate", "status", "config/agency", "creds/ro"} {
		w.data(t, path)
	}
	if keys := w.keys(t, "tokens"); len(keys) != 2 {
		t.Errorf("the tokens are %v", keys)
	}
	// Nor does another token of the account.
	has(t, w.write(t, "tokens/ro/verify", nil).Data, fields{"outcome": "accepted"})
	select {
	case err := <-rotated:
		vaulttest.Fatalf(t, "the rotation was over before the reads: %v", err)
	default:
	}

	// The operator gives up, and can start anew.
	hangUp()
	if err := <-rotated; err == nil {
		t.Fatal("the rotation succeeds without an answer of the provider")
	}
	has(t, w.write(t, "tokens/rw/rotate", rotation).Data, fields{"version": 2, "verification": "accepted"})
}

// impactRequests counts the requests that impact.com has got, those in flight included.
func (w *world) impactRequests(t *testing.T) int {
	t.Helper()
	var sum int
	for _, count := range done(w.sim.Ledger(t.Context()))(t).Requests[simulator.Impact] {
		sum += count
	}
	return sum
}
