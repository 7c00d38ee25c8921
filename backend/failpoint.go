//go:build failpoints

package backend

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/provider"
	"github.com/adtokens/vault-plugin-secrets-adtokens/backend/rotation"
)

// A plugin that is built with the tag failpoints lets a test stop the work on a token at a named point: between any two
// steps, where a step is a call of a provider or of the reset hook, a storage write, or an event. It lets the test have a
// write refused, too. The test works with files below the directory that the variable names, in a directory that has the
// token's name and without which nothing happens:
//
//	reached  the points that the work has come to, one a line; each is named by the step before which it lies
//	stop     "<n> <point>" stops the work where it comes to the point for the nth time
//	panic    "<point>" has the work panic where it comes to the point, and the file removed
//	stopped  what stop is called from then on; the work goes on when it is removed
//	refuse   the next write of the token is refused, and the file removed
const failPointsVariable = "ADTOKENS_FAILPOINTS"

const (
	pointValueTried    = "value tried"
	pointOldValueTried = "old value tried"
	pointEventSent     = "event sent"
	pointRefreshAsked  = "refresh asked for"
	pointTokenShared   = "access token given out"
	pointCodeSent      = "code exchanged"
)

// failPointsMu is for the files: two requests may work on one token, as long as neither changes it.
var failPointsMu sync.Mutex

// failPoints opens the directory of the token's files; nil where no test watches the token.
func failPoints(t *token) *os.Root {
	all := os.Getenv(failPointsVariable)
	if all == "" {
		return nil
	}
	dir, err := os.OpenRoot(filepath.Join(all, t.name))
	if err != nil {
		return nil
	}
	return dir
}

// reachPoint notes that the work on the token has come to a point, and waits there if that is wanted: for a person whose
// request it is as well, because it is the process that is to die here.
func reachPoint(t *token, point string) {
	dir := failPoints(t)
	if dir == nil {
		return
	}
	defer dir.Close()
	if wanted, _ := dir.ReadFile("panic"); string(wanted) == point && dir.Remove("panic") == nil { // else none is wanted
		panic(wantedPanic("a test wants it at the point: " + point))
	}
	for stops := stopsAt(dir, point); stops; time.Sleep(5 * time.Millisecond) {
		_, err := dir.Stat("stopped")
		stops = err == nil
	}
}

func stopsAt(dir *os.Root, point string) bool {
	failPointsMu.Lock()
	defer failPointsMu.Unlock()
	log, _ := dir.ReadFile("reached") // nothing was reached yet
	log = append(log, point+"\n"...)
	if err := dir.WriteFile("reached", log, 0o600); err != nil {
		return false // the test has seen enough of this token
	}
	times := 0
	for line := range strings.Lines(string(log)) {
		if line == point+"\n" {
			times++
		}
	}
	wanted, _ := dir.ReadFile("stop")
	return string(wanted) == fmt.Sprint(times, " ", point) && dir.Rename("stop", "stopped") == nil
}

// wantedPanic is an error of the runtime, because the text of any other panic is not logged.
type wantedPanic string

func (p wantedPanic) Error() string { return string(p) }

// RuntimeError is part of runtime.Error.
func (p wantedPanic) RuntimeError() {}

var errRefusedByTest = errors.New("storage refused the write, as a test wants")

// beforeWrite is the point before a write, named by the states before and after it. It returns an error where the write
// is to be refused.
func (b *backend) beforeWrite(ctx context.Context, storage logical.Storage, t *token) error {
	dir := failPoints(t)
	if dir == nil {
		return nil
	}
	defer dir.Close()
	before, err := b.tokens.Load(ctx, storage, t.name)
	if err != nil || before == nil {
		return err
	}
	step := "stored"
	if before.Number() != t.Number() {
		step = "published"
	}
	reachPoint(t, fmt.Sprintf("%s: %s --> %s", step, before.State(), t.State()))
	if dir.Remove("refuse") == nil {
		return errRefusedByTest
	}
	return nil
}

// stopBetweenSteps has a machine reach a point before each call of its outside world. Writes and events have theirs in
// saveToken and sendTokenEvent; Fingerprint changes nothing and asks nobody.
func stopBetweenSteps(m *rotation.Machine, t *token) {
	verify, obtain, retire := m.Verify, m.Obtain, m.Retire
	m.Verify = func(ctx context.Context, value provider.Values) (provider.Verification, error) {
		reachPoint(t, pointValueTried)
		return verify(ctx, value)
	}
	m.Obtain = func(ctx context.Context, p *rotation.Pending) (provider.Values, error) {
		reachPoint(t, "value asked for")
		return obtain(ctx, p)
	}
	m.Retire = func(ctx context.Context, old rotation.Retiring) error {
		reachPoint(t, "old value retired")
		return retire(ctx, old)
	}
	if m.Keys != nil {
		m.Keys = &stoppingKeys{KeyRing: m.Keys, token: t}
	}
}

// stoppingKeys reaches a point before each call of a key API.
type stoppingKeys struct {
	rotation.KeyRing
	token *token
}

func (k *stoppingKeys) List(ctx context.Context, by rotation.Rights) ([]provider.Key, error) {
	reachPoint(k.token, "keys listed")
	return k.KeyRing.List(ctx, by)
}

func (k *stoppingKeys) Delete(ctx context.Context, by rotation.Rights, key provider.Key) error {
	reachPoint(k.token, "lost key deleted")
	return k.KeyRing.Delete(ctx, by, key)
}
