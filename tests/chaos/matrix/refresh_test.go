//go:build unix

package matrix

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// refreshStory is a refresh of one kind, or what goes wrong with one.
type refreshStory struct {
	name, id string
	rolls    rolls
	ask      asks
	// fault is met by the token's first refresh; nil for none.
	fault *simulator.Fault
	// loses says that the fault loses the answer of a refresh that was done.
	loses bool
}

// asks is what causes the refresh.
type asks interface {
	// prepare does what comes before.
	prepare(context.Context, *refreshed) error
	// request is what is sent, and sent again where nothing came of it.
	request(context.Context, *refreshed) error
	// version is the current one in the end.
	version() int
}

const (
	stepRefreshAsked = "refresh asked for"
	shortTimeout     = "3s"
	tooLate          = 8 * time.Second
)

var (
	refreshLost   = simulator.Fault{Kind: simulator.FaultDropAfter, Method: http.MethodPost, Times: 1}
	refreshLate   = simulator.Fault{Kind: simulator.FaultLateAnswer, Method: http.MethodPost, Latency: tooLate, Times: 1}
	refreshFailed = simulator.Fault{Kind: simulator.FaultStatus, Method: http.MethodPost, Status: http.StatusServiceUnavailable, Times: 1}
)

func refreshStories() (stories []refreshStory) {
	tell := func(name, id string, ask asks, fault *simulator.Fault, loses bool, all ...rolls) {
		for i, r := range all {
			stories = append(stories, refreshStory{
				name: fmt.Sprintf("%s (%s)", name, r), id: fmt.Sprintf("%s-%d", id, i), rolls: r, ask: ask, fault: fault, loses: loses,
			})
		}
	}
	tell("refresh", "read", reads{}, nil, false, diesAtOnce, reuseWindow, livesOn)
	tell("refresh, its answer lost", "lost", reads{}, &refreshLost, true, diesAtOnce, reuseWindow)
	tell("refresh, answered after the deadline", "late", reads{}, &refreshLate, true, diesAtOnce, reuseWindow)
	tell("refresh, not served at first", "failed", reads{}, &refreshFailed, false, diesAtOnce)
	tell("refresh token handed in", "hand", &handsIn{}, nil, false, diesAtOnce, reuseWindow)
	tell("consent", "consent", &consents{}, nil, false, diesAtOnce, reuseWindow)
	return stories
}

// refreshed is a token on which a story of a refresh is told.
type refreshed struct {
	subject
	told refreshStory
	// given is what a person has in hand: a refresh token, or the address that a browser was sent to.
	given string
	// toldLost says that the engine has told of a lost answer.
	toldLost bool
}

func (s *refreshed) at() simulator.PlatformName {
	return simulator.PlatformName{Platform: s.told.rolls.platform, Name: s.name}
}

// newRefreshed makes the token at the platform and in Vault.
func (w *world) newRefreshed(ctx context.Context, told refreshStory, name string) (*refreshed, error) {
	s := &refreshed{subject: subject{Mount: w.mounts[told.id], world: w, name: name}, told: told}
	fields, err := w.sim.MakeCredential(ctx, s.at(), "oauth_client")
	if err != nil {
		return s, err
	}
	account := map[string]any{"provider": told.rolls.platform, "base_url": w.sim.Platform(told.rolls.platform).URL + "/" + name, "request_timeout": "1m"}
	token := map[string]any{"account": name, "type": "oauth_client"}
	for field, value := range fields {
		token[field] = value
	}
	for _, write := range []struct {
		path string
		data map[string]any
	}{{"config/" + name, account}, {"tokens/" + name, token}} {
		if _, err := s.Write(ctx, write.path, write.data); err != nil {
			return s, err
		}
	}
	if told.fault != nil {
		fault := *told.fault
		fault.Service, fault.Path = simulator.Service(told.rolls.platform), "/"+name+"/token"
		err = w.sim.InjectFault(ctx, fault)
	}
	if err == nil && told.fault == &refreshLate {
		_, err = s.Write(ctx, "config/"+name, map[string]any{"request_timeout": shortTimeout})
	}
	return s, errors.Join(err, told.ask.prepare(ctx, s))
}

// begin sends the request, which stops at a point that is named as fail points are.
func (s *refreshed) begin(ctx context.Context, stop string) error {
	if err := s.watch(stop); err != nil {
		return err
	}
	ctx, s.hangUp = context.WithCancel(ctx)
	s.answer = make(chan error, 1)
	go func() { s.answer <- s.told.ask.request(ctx, s) }()
	return nil
}

// reads is an app that wants an access token.
type reads struct{}

func (reads) prepare(context.Context, *refreshed) error { return nil }

func (reads) request(ctx context.Context, s *refreshed) error {
	_, err := s.Read(ctx, "access-token/"+s.name)
	return err
}

func (reads) version() int { return 1 }

// handsIn is a person with a refresh token, which can be used once.
type handsIn struct{}

func (*handsIn) prepare(ctx context.Context, s *refreshed) error {
	fresh, err := s.world.sim.ResetCredential(ctx, simulator.PlatformReset{PlatformName: s.at(), Fields: []string{"refresh_token"}, Previous: "dies"})
	s.given = fresh["refresh_token"]
	return err
}

func (*handsIn) request(ctx context.Context, s *refreshed) error {
	_, err := s.Write(ctx, "tokens/"+s.name+"/rotate", map[string]any{"refresh_token": s.given})
	return err
}

func (*handsIn) version() int { return 2 }

// consents is a person who agrees in a browser.
type consents struct{}

func (*consents) prepare(ctx context.Context, s *refreshed) error {
	asked, err := s.Write(ctx, "tokens/"+s.name+"/consent", nil)
	if err != nil {
		return err
	}
	back, err := s.world.sim.Consent(ctx, fmt.Sprint(asked.Data["consent_url"]))
	if err == nil {
		s.given = back.String()
	}
	return err
}

func (c *consents) request(ctx context.Context, s *refreshed) error {
	_, err := s.Write(ctx, "tokens/"+s.name+"/rotate", map[string]any{"redirect_url": s.given})
	if err != nil && strings.Contains(err.Error(), "no consent of this token waits for its answer") {
		err = errors.Join(err, c.prepare(ctx, s)) // for the next time
	}
	return err
}

func (*consents) version() int { return 2 }

// settledBySelf waits until the engine has done all that it does by itself.
func (s *refreshed) settledBySelf(ctx context.Context) error {
	return await(func() error {
		token, err := s.data(ctx, "tokens/"+s.name)
		if err != nil {
			return err
		}
		if token["health"] != "rejected" && (number(token["version"]) < s.told.ask.version() || s.told.ask == (reads{}) && number(token["refreshes"]) == 0) {
			return fmt.Errorf("version %v has the health %v after %v refreshes, and the problem %q", token["version"], token["health"], token["refreshes"], token["last_error"])
		}
		return nil
	})
}

// getWell does what apps and people do until an access token is served that the platform takes, and then waits for another one.
func (s *refreshed) getWell(ctx context.Context) error {
	var first any
	return await(func() error {
		token, err := s.data(ctx, "tokens/"+s.name)
		if err != nil {
			return err
		}
		problem, _ := token["last_error"].(string)
		switch {
		case strings.Contains(problem, "new consent is needed"):
			s.toldLost = true
			if !strings.Contains(problem, "the answer to a refresh was lost") || s.told.ask == (reads{}) && token["health"] != "rejected" {
				return fmt.Errorf("the health is %v, and the problem %q", token["health"], problem)
			}
			hand := &handsIn{}
			if err := errors.Join(hand.prepare(ctx, s), hand.request(ctx, s)); err != nil {
				return fmt.Errorf("handing a new consent in: %w", err)
			}
			return errors.New("a new value was handed in")
		case number(token["version"]) < s.told.ask.version() && token["rotation_state"] == "idle":
			return errors.Join(errors.New("asked once more"), s.told.ask.request(ctx, s))
		}
		access, err := s.works(ctx)
		switch {
		case err != nil:
			return err
		case first == nil:
			first = access
		}
		if access == first {
			return errors.New("there is no other access token")
		}
		return nil
	})
}

// works reads an access token and tries it.
func (s *refreshed) works(ctx context.Context) (any, error) {
	access, err := s.data(ctx, "access-token/"+s.name)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.world.sim.Platform(s.told.rolls.platform).URL+"/"+s.name+"/me", http.NoBody)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", fmt.Sprint("Bearer ", access["access_token"]))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusOK {
		return nil, errors.Join(err, fmt.Errorf("the platform answers an access token with HTTP %d", response.StatusCode))
	}
	return access["access_token"], nil
}

// check compares what is left with what the story allows. Loses says that an answer was lost for good.
func (s *refreshed) check(ctx context.Context, loses bool) error {
	token, tokenErr := s.data(ctx, "tokens/"+s.name)
	history, historyErr := s.data(ctx, "tokens/"+s.name+"/history")
	calls, callsErr := s.world.sim.PlatformCalls(ctx, s.told.rolls.platform)
	if err := errors.Join(tokenErr, historyErr, callsErr); err != nil {
		return err
	}
	version := s.told.ask.version()
	if loses && version == 1 {
		version++
	}
	var problems []error
	if loses != s.toldLost {
		problems = append(problems, fmt.Errorf("an answer is lost: %t, and the engine says so: %t", loses, s.toldLost))
	}
	if number(token["version"]) != version || token["health"] != "ok" || token["last_error"] != "" {
		problems = append(problems, fmt.Errorf("version %v instead of %d is current, its health %v, the problem %q", token["version"], version, token["health"], token["last_error"]))
	}
	versions, _ := history["versions"].([]any)
	if len(versions) != version {
		return errors.Join(append(problems, fmt.Errorf("the history has %d versions", len(versions)))...)
	}
	last, _ := versions[version-1].(fields)
	if last["fingerprint"] != token["fingerprint"] || fmt.Sprint(last["refreshes"]) != fmt.Sprint(token["refreshes"]) {
		problems = append(problems, fmt.Errorf("the history has %v refreshes of the current version, and the token %v, or their fingerprints differ", last["refreshes"], token["refreshes"]))
	}
	return errors.Join(append(problems, s.checkCalls(calls, loses))...)
}

// checkCalls wants no code to be sent twice, and no refresh token that has ended unless an answer was lost.
func (s *refreshed) checkCalls(calls []simulator.PlatformCall, loses bool) error {
	var problems []error
	dead := 0
	for _, call := range calls {
		switch {
		case call.Credential != s.name:
		case call.Verdict == "ended code":
			problems = append(problems, errors.New("a code was sent twice"))
		case call.Verdict == "ended refresh_token":
			dead++
		}
	}
	if !loses && dead > 0 {
		problems = append(problems, fmt.Errorf("a refresh token that has ended was sent %d times", dead))
	}
	return errors.Join(problems...)
}

// refreshRow is a point of a story of a refresh.
type refreshRow struct {
	row
	told refreshStory
}

// loses says whether what happens here costs the answer of a refresh, which the platform does not give again.
func (r refreshRow) loses(e event) bool {
	asked := len(r.path) - 1
	for asked >= 0 && r.path[asked] != stepRefreshAsked {
		asked--
	}
	switch {
	case r.told.rolls.forgives:
		return false
	case r.told.loses:
		return true
	}
	return e.happen != nil && r.at > asked && !slices.ContainsFunc(r.path[asked:r.at], isWrite)
}

// newRefreshWorld is a world with the platforms of refreshes, and a mount for each story.
func newRefreshWorld(t *testing.T, server *vaulttest.Server, plugin vaulttest.Plugin, stories ...refreshStory) *world {
	t.Helper()
	w := &world{Server: server, sim: vaulttest.StartSimulator(t), points: t.TempDir(), mounts: map[string]*vaulttest.Mount{}}
	server.Replace(t, plugin, "ADTOKENS_FAILPOINTS="+w.points)
	for _, r := range []rolls{diesAtOnce, reuseWindow, livesOn} {
		w.sim.AddPlatform(t, r.script())
	}
	for _, told := range stories {
		mount := server.Mount(t)
		if _, err := mount.Write(t.Context(), "providers/"+told.rolls.platform, fields{"definition": told.rolls.definition()}); err != nil {
			vaulttest.Fatalf(t, "defining %s: %v", told.rolls.platform, err)
		}
		w.mounts[told.id] = mount
	}
	return w
}

// recordRefreshes lets every story happen undisturbed, and makes rows of the points that it comes to.
func recordRefreshes(t *testing.T, w *world, stories []refreshStory) []refreshRow {
	t.Helper()
	paths := make([][]string, len(stories))
	each(stories, func(i int, told refreshStory) {
		var err error
		if paths[i], err = w.recordRefresh(t.Context(), told); err != nil {
			vaulttest.Errorf(t, "%s, undisturbed: %v", told.name, err)
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	var rows []refreshRow
	for i, told := range stories {
		for at := range paths[i] {
			rows = append(rows, refreshRow{row{story: story{name: told.name, id: told.id}, path: paths[i], at: at}, told})
		}
	}
	return rows
}

func (w *world) recordRefresh(ctx context.Context, told refreshStory) ([]string, error) {
	s, err := w.newRefreshed(ctx, told, told.id+"-undisturbed")
	if err != nil {
		return nil, err
	}
	if err := s.begin(ctx, ""); err != nil {
		return nil, err
	}
	if err := s.answered(); err != nil && told.fault == nil {
		return nil, err
	}
	if err := s.settledBySelf(ctx); err != nil {
		return nil, err
	}
	log, err := os.ReadFile(s.file("reached"))
	if err != nil {
		return nil, err
	}
	loses := told.loses && !told.rolls.forgives
	return strings.Split(strings.TrimSpace(string(log)), "\n"), errors.Join(s.forget(), s.getWell(ctx), s.check(ctx, loses))
}

// refreshColumn has the event happen on a world in which a token is stopped at the point of each row, and returns what is wrong
// afterwards, by row.
func refreshColumn(t *testing.T, w *world, e event, rows []refreshRow) []string {
	t.Helper()
	ctx := t.Context()
	subjects := lineUp(rows, func(r refreshRow) (*refreshed, error) {
		return w.newRefreshed(ctx, r.told, fmt.Sprintf("%s-%d", r.told.id, r.at))
	})
	phase := subjects.phase
	phase(func(r refreshRow, s *refreshed) error { return s.begin(ctx, r.stop()) })
	phase(func(r refreshRow, s *refreshed) error { return s.stopped(r.stop()) })
	if e.happen != nil {
		phase(func(_ refreshRow, s *refreshed) error { s.hangUp(); _ = s.answered(); return nil }) // Vault waits for requests before it is sealed
		e.happen(t, w)
	} else {
		phase(func(_ refreshRow, s *refreshed) error { return s.refuseNext() })
	}
	phase(func(_ refreshRow, s *refreshed) error { return s.release() })
	w.wake(t)
	phase(func(r refreshRow, s *refreshed) error {
		if e.happen == nil {
			_ = s.answered() // what it says is compared with what is there
		}
		err := errors.Join(s.getWell(ctx), s.check(ctx, r.loses(e)))
		if e.happen == nil && s.refuses() {
			err = errors.Join(err, errors.New("no write was refused"))
		}
		return errors.Join(err, s.forget())
	})
	cells := make([]string, len(rows))
	for i, r := range rows {
		if cells[i] = "ok"; r.loses(e) {
			cells[i] = "lost, and says so"
		}
		if problem := subjects.problem(t, i); problem != "" {
			cells[i] = problem
			t.Errorf("%s, before %s: %s", r.told.name, r.stop(), cells[i])
		}
	}
	return cells
}

// Whatever happens between two steps of a refresh: afterwards apps get access tokens that the platform takes. An answer is lost only where
// it was lost on the way, or with the process that alone had it, and the platform takes the value before no more; then the engine says so.
func TestRefreshMatrix(t *testing.T) {
	t.Parallel()
	plugin := vaulttest.BuildPlugin(t, "adtokens-failpoints", "-tags", "failpoints")
	stories := refreshStories()
	rows := recordRefreshes(t, newRefreshWorld(t, vaulttest.StartDev(t), plugin, stories...), stories)
	plain := make([]row, len(rows))
	for i, r := range rows {
		plain[i] = r.row
	}
	cells := make([][]string, len(events)) // by event and row
	t.Cleanup(func() { t.Logf("what is left where something happens before a step:\n%s", table(plain, cells)) })
	for i, e := range events {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			w := newRefreshWorld(t, e.start(t), plugin, stories...)
			for batch := range slices.Chunk(rows, together) {
				cells[i] = append(cells[i], refreshColumn(t, w, e, batch)...)
			}
		})
	}
}

// TestSealing_WaitsForTheAnswerToARefresh: Vault is sealed while the platform is at work on the only copy of the next refresh token.
func TestSealing_WaitsForTheAnswerToARefresh(t *testing.T) {
	t.Parallel()
	for _, ask := range []asks{reads{}, &handsIn{}, &consents{}} {
		t.Run(fmt.Sprintf("%T", ask), func(t *testing.T) {
			t.Parallel()
			const atWork = 2 * time.Second
			fault := simulator.Fault{Kind: simulator.FaultLateAnswer, Method: http.MethodPost, Latency: atWork, Times: 1}
			told := refreshStory{name: "slow", id: "slow", rolls: diesAtOnce, ask: ask, fault: &fault}
			w := newRefreshWorld(t, vaulttest.StartRaft(t), vaulttest.BuildPlugin(t, "adtokens-failpoints", "-tags", "failpoints"), told)
			ctx := t.Context()
			s, err := w.newRefreshed(ctx, told, "slow")
			if err != nil {
				vaulttest.Fatalf(t, "%v", err)
			}
			asked := w.sim.Platform(diesAtOnce.platform).Count(t, "POST /{who}/token")
			if err := s.begin(ctx, ""); err != nil {
				vaulttest.Fatalf(t, "%v", err)
			}
			vaulttest.Await(t, "the platform to be asked", func() bool {
				return w.sim.Platform(diesAtOnce.platform).Count(t, "POST /{who}/token") > asked
			})
			s.hangUp()
			_ = s.answered() // nobody waits for it any more
			w.Seal(t)
			w.Unseal(t)
			w.wake(t)
			if err := errors.Join(s.getWell(ctx), s.check(ctx, false)); err != nil {
				vaulttest.Errorf(t, "%v", err)
			}
		})
	}
}
