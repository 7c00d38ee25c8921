//go:build unix

// Package matrix kills, seals and refuses: it stops rotations of every kind on a real Vault server between any two of
// their steps, has something happen to them there, and looks at what is left from the provider's side and the engine's.
package matrix

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

func TestMain(m *testing.M) { os.Exit(vaulttest.Main(m)) }

// fields are the data of a request or response.
type fields = map[string]any

// world is a server with the providers and a hook. Many tokens are stopped on it at the same time.
type world struct {
	*vaulttest.Server
	sim  *vaulttest.Simulator
	hook *hook
	// points is the directory of the fail points.
	points string
	// mounts are by story, so that the tokens of one do not take the workers of another.
	mounts map[string]*vaulttest.Mount
}

// newWorld takes the server over, and has it run the plugin with fail points.
func newWorld(t *testing.T, server *vaulttest.Server, plugin vaulttest.Plugin) *world {
	t.Helper()
	w := &world{Server: server, sim: vaulttest.StartSimulator(t), points: t.TempDir(), mounts: map[string]*vaulttest.Mount{}}
	w.hook = startHook(t, w.sim)
	server.Replace(t, plugin, "ADTOKENS_FAILPOINTS="+w.points)
	for _, story := range stories {
		w.mounts[story.id] = server.Mount(t)
	}
	w.addPlatform(t)
	return w
}

// wake asks every mount for something, because a plugin that was killed is started by the next request.
func (w *world) wake(t *testing.T) {
	t.Helper()
	for _, mount := range w.mounts {
		vaulttest.Await(t, "the plugin to answer", func() bool {
			_, err := mount.Read(t.Context(), "info")
			return err == nil
		})
	}
}

// mend ends what made rotations fail.
func (w *world) mend(ctx context.Context) error {
	w.hook.mend()
	return w.sim.ClearFaults(ctx)
}

// subject is a token on which a story is told. Its account, its account at the provider and the directory of its fail
// points have its name.
type subject struct {
	*vaulttest.Mount
	world *world
	story story
	name  string
	// sid is the account SID of a token of impact.com, or the name of a key.
	sid string
	// versions are the values, as the provider's ledger calls them, by version.
	versions map[int]string
	// issued is how many values there had been at the provider when the story began.
	issued int

	// handedIn is the version that a person handed in after a lost answer, and toldBeside is set where a person was told to look for a
	// value that nobody has.
	handedIn   int
	toldBeside bool

	hangUp context.CancelFunc
	answer chan error
	// claimed is the version that the request's answer spoke of, 0 where there was none.
	claimed int
}

// newSubject makes the token at the provider and in Vault, and tells the story up to where it begins.
func (w *world) newSubject(ctx context.Context, told story, name string) (*subject, error) {
	s := &subject{Mount: w.mounts[told.id], world: w, story: told, name: name, versions: map[int]string{}}
	account, token, err := told.credential.make(ctx, s)
	if err != nil {
		return s, err
	}
	account["request_timeout"] = "1m" // a busy machine is no story
	token["account"], token["rotation_period"] = name, period.String()
	if told.grace != "" {
		token["rotation_grace_period"] = told.grace
	}
	maps.Copy(token, told.policy)
	_, accountErr := s.Write(ctx, "config/"+name, account)
	_, tokenErr := s.Write(ctx, "tokens/"+name, token)
	if err := errors.Join(accountErr, tokenErr, s.note(ctx)); err != nil {
		return s, err
	}
	if told.before != nil {
		if err := errors.Join(told.before(ctx, s), s.quiet(ctx)); err != nil {
			return s, err
		}
	}
	for _, fault := range told.faults {
		fault.Path = told.credential.path(s)
		if err := w.sim.InjectFault(ctx, fault); err != nil {
			return s, err
		}
	}
	issued, _, err := s.values(ctx)
	s.issued = len(issued)
	return s, err
}

// note remembers the current value.
func (s *subject) note(ctx context.Context) error {
	creds, err := s.data(ctx, "creds/"+s.name)
	if err != nil {
		return err
	}
	s.versions[number(creds["version"])] = s.story.credential.value(creds)
	return nil
}

// quiet waits until nobody works on the token: a write of its policy takes its turn.
func (s *subject) quiet(ctx context.Context) error {
	_, err := s.Write(ctx, "tokens/"+s.name, fields{"verify_period": "24h"})
	return err
}

// values are what the provider has ever issued to the token's owner, and what it accepts now.
func (s *subject) values(ctx context.Context) (issued, live []string, err error) {
	ledger, err := s.world.sim.Ledger(ctx)
	own := func(all []simulator.Secret) (values []string) {
		for _, secret := range all {
			switch {
			case secret.Owner != s.name:
			case secret.Kind == "private_key":
				values = append(values, secret.ID)
			case secret.Kind == "auth_token" && secret.ID == s.sid, secret.Kind == "api_key":
				values = append(values, secret.Value)
			}
		}
		return values
	}
	return own(ledger.Issued), own(ledger.Live), err
}

// begin asks for the rotation, which stops at a point that is named as fail points are.
func (s *subject) begin(ctx context.Context, stop string) error {
	first := "1 " + s.story.first
	if s.story.first == "" || stop == first {
		return errors.Join(s.watch(stop), s.ask(ctx))
	}
	if err := errors.Join(s.watch(first), s.ask(ctx)); err != nil {
		return err
	}
	if err := s.stopped(first); err != nil {
		return err
	}
	return errors.Join(os.WriteFile(s.file("reached"), []byte(s.story.first+"\n"), 0o600), s.watch(stop), s.release())
}

// watch has the plugin note the points that the token comes to, and stop at one; empty for none.
func (s *subject) watch(stop string) error {
	if err := os.MkdirAll(s.file(""), 0o700); err != nil || stop == "" {
		return err
	}
	return os.WriteFile(s.file("stop"), []byte(stop), 0o600)
}

// reached are the points that the token has come to.
func (s *subject) reached() ([]string, error) {
	log, err := os.ReadFile(s.file("reached"))
	return strings.Split(strings.TrimSpace(string(log)), "\n"), err
}

// forget ends that. The plugin may be writing there, so the directory is only moved away.
func (s *subject) forget() error {
	aside := s.file("") + ".over"
	return errors.Join(os.RemoveAll(aside), os.Rename(s.file(""), aside))
}

// stopped waits until the token has come to the point.
func (s *subject) stopped(point string) error {
	return await(func() error {
		if _, err := os.Stat(s.file("stopped")); err != nil {
			return fmt.Errorf("the point %q is not reached", point)
		}
		return nil
	})
}

// release lets the work go on, where there is a process that would.
func (s *subject) release() error { return os.Remove(s.file("stopped")) }

// refuseNext has the token's next write refused.
func (s *subject) refuseNext() error { return os.WriteFile(s.file("refuse"), nil, 0o600) }

// refuses reports whether there was no write to refuse yet.
func (s *subject) refuses() bool {
	_, err := os.Stat(s.file("refuse"))
	return err == nil
}

func (s *subject) file(name string) string { return filepath.Join(s.world.points, s.name, name) }

// ask sends the request of somebody who wants the token rotated.
func (s *subject) ask(ctx context.Context) error {
	data, err := s.story.credential.handOver(ctx, s)
	if err != nil {
		return err
	}
	s.request(ctx, data)
	return nil
}

func (s *subject) request(ctx context.Context, data fields) {
	data["reason"] = s.story.name
	ctx, s.hangUp = context.WithCancel(ctx)
	s.answer = make(chan error, 1)
	go func() {
		secret, err := s.Write(ctx, "tokens/"+s.name+"/rotate", data)
		if err == nil {
			s.claimed = number(secret.Data["version"])
		}
		s.answer <- err
	}()
}

// leave waits until the rotation fails to get on, and hangs up.
func (s *subject) leave(ctx context.Context) error {
	if err := await(func() error {
		token, err := s.data(ctx, "tokens/"+s.name)
		if err == nil && token["last_error"] == "" {
			err = errors.New("the rotation does not fail")
		}
		return err
	}); err != nil {
		return err
	}
	s.hangUp()
	if err := s.answered(); !errors.Is(err, context.Canceled) {
		return fmt.Errorf("the rotation has ended: %w", err)
	}
	return nil
}

// answered waits for the request's answer.
func (s *subject) answered() error { return <-s.answer }

// rotate asks for a rotation and waits for the answer.
func (s *subject) rotate(ctx context.Context) error {
	if err := s.ask(ctx); err != nil {
		return err
	}
	return s.answered()
}

// period is the rotation_period: nothing is due while the tests run.
const period = 720 * time.Hour

// settle waits until a rotation by an API is over, and does what a person has to. Other rotations need nobody.
func (s *subject) settle(ctx context.Context) error {
	if k, ok := s.story.credential.(byAPI); ok {
		return k.settle(ctx, s)
	}
	return nil
}

// settled waits until nothing is left to do but to let the grace of old values pass.
func (s *subject) settled(ctx context.Context, version int) error {
	return await(func() error {
		token, err := s.data(ctx, "tokens/"+s.name)
		if err != nil {
			return err
		}
		state := fmt.Sprint(token["rotation_state"])
		want := 0
		if s.story.grace == forLong {
			want = version - 1
		}
		retiring, _ := token["retiring"].([]any)
		if number(token["version"]) != version || state == "requested" || state == "pending" || len(retiring) != want {
			return fmt.Errorf("version %v is current, the state %s, %d old versions live on, the last problem %q; it should come to version %d",
				token["version"], state, len(retiring), token["last_error"], version)
		}
		return nil
	})
}

func (s *subject) data(ctx context.Context, path string) (fields, error) {
	secret, err := s.Read(ctx, path)
	var refusal *api.ResponseError
	switch {
	case errors.As(err, &refusal):
		return nil, fmt.Errorf("reading %s: HTTP %d: %s", path, refusal.StatusCode, strings.Join(refusal.Errors, "; "))
	case err != nil:
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return secret.Data, nil
}

// number reads a whole number as JSON has it; 0 where there is none.
func number(value any) (n int) {
	_, _ = fmt.Sscan(fmt.Sprint(value), &n)
	return n
}

// patience bounds what is waited for: far beyond what any of it takes on a busy machine.
const patience = time.Minute

// await waits until there is no problem any more, and returns the last one where that takes too long.
func await(problem func() error) error { return vaulttest.Poll(patience, problem) }
