//go:build unix

package matrix

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// matrixAds is a platform whose API replaces keys: the one that asks, at once; by making another one beside it; or as often as a
// password asks, each time at once.
const matrixAds = "matrix_ads"

const matrixScript = `
name: matrix_ads
title: Matrix Ads
kinds:
  key:
    owner: '{digits 7}'
    fields:
      key_id: {shape: 'K{digits 12}'}
      password: {shape: '{alnum 20}', secret: true}
      api_key: {shape: 'mx_{alnum 40}', secret: true}
    reset: {fields: [api_key], previous: dies}
endpoints:
  - on: GET /keys/{key_id}/me
    kind: key
    present: [{field: key_id, in: path key_id}, {field: api_key, in: header X-Key}]
    answers: {ok: {json: {id: 1}}}
  - on: POST /keys/{key_id}/regenerate
    kind: key
    present: [{field: key_id, in: path key_id}, {field: api_key, in: header X-Key}]
    makes: [{field: api_key, previous: dies}]
    answers: {ok: &made {json: {key: '{made.api_key}'}}}
  - on: POST /keys/{key_id}/add
    kind: key
    present: [{field: key_id, in: path key_id}, {field: api_key, in: header X-Key}]
    makes: [{field: api_key, previous: lives}]
    answers: {ok: *made}
  - on: POST /keys/{key_id}/login
    kind: key
    present: [{field: key_id, in: path key_id}, {field: password, in: header X-Password}]
    makes: [{field: api_key, previous: dies}]
    answers: {ok: *made}
  - on: DELETE /keys/{key_id}/old
    kind: key
    present: [{field: key_id, in: path key_id}, {field: api_key, in: header X-Key}]
    ends: {field: api_key, in: header X-Old}
    answers: {ok: {status: 204}}
answers:
  wrong: {status: 401, json: {error: unauthorized}}
  throttled: {status: 429, headers: {Retry-After: '{wait}'}}
`

// matrixDefinition has a token type for each way.
func matrixDefinition() string {
	const document = `
format: 1
name: matrix_ads
title: Matrix Ads
sources: [{title: The test that made it up, url: https://docs.matrix.example/, read: 2026-11-26}]
account:
  endpoints: {base_url: {default: https://api.matrix.example, description: Address of the API.}}
token_types:`
	const kind = `
  %s:
    title: Key
    description: A key.
    reset_semantics: %s
    fields:
      key_id: {description: Name of the key.}
      password: {secret: true, description: Password of its owner.}
      api_key: {secret: true, description: The key.}
    verify:
      request: {url: '{+account.base_url}/keys/{credential.key_id}/me', headers: {X-Key: '{credential.api_key}'}}
      outcomes: [{when: status == 200, outcome: accepted}, {when: status == 401, outcome: rejected}]
    rotate:
      request: {method: POST, url: '{+account.base_url}/keys/{credential.key_id}/%s', headers: {%s}}
      outcomes: [{when: status == 200, outcome: replaced}]
      credential: {api_key: body.key}
      lost_answer: %s
    runbook: {steps: [Reset the key.], previous: Ends with that.}
`
	const revoke = `    revoke:
      request: {method: DELETE, url: '{+account.base_url}/keys/{credential.key_id}/old', headers: {X-Key: '{current.api_key}', X-Old: '{credential.api_key}'}}
      outcomes: [{when: 'status in [204, 404]', outcome: done}]
`
	byKey, byPassword := "X-Key: '{credential.api_key}'", "X-Password: '{credential.password}'"
	return document + fmt.Sprintf(kind, regenerated, "immediate", "regenerate", byKey, "person") +
		fmt.Sprintf(kind, added, "overlapping", "add", byKey, "person") + revoke +
		fmt.Sprintf(kind, loggedIn, "immediate", "login", byPassword, "repeat")
}

// The token types of the definition.
const (
	regenerated = "regenerated"
	added       = "added"
	loggedIn    = "logged_in"
)

// byAPI is a token whose next value an API of the platform gives.
type byAPI struct{ kind string }

func (k byAPI) make(ctx context.Context, s *subject) (account, token fields, err error) {
	issued, err := s.world.sim.MakeCredential(ctx, simulator.PlatformName{Platform: matrixAds, Name: s.name}, "key")
	s.sid = issued["key_id"]
	account = fields{"provider": matrixAds, "base_url": s.world.sim.Platform(matrixAds).URL}
	return account, fields{"type": k.kind, "key_id": s.sid, "password": issued["password"], "api_key": issued["api_key"]}, err
}

func (byAPI) handOver(context.Context, *subject) (fields, error) { return fields{}, nil }

func (byAPI) value(creds fields) string { value, _ := creds["api_key"].(string); return value }

func (byAPI) path(s *subject) string { return "/" + s.sid + "/" }

func (byAPI) source() string { return "api" }

func (k byAPI) retired() string {
	if k.kind == added {
		return "retired by the engine"
	}
	return "rejected by provider"
}

// ends is how the story ends where something happens before a step: the engine is told the truth at most once more than the undisturbed
// story has it. killed says that the process dies there; otherwise a write is refused, which it tries again.
func (k byAPI) ends(r row, killed bool) (version, made int) {
	version, made = r.story.version, r.story.made
	if !killed {
		return version, made
	}
	asked := r.at > 0 && r.path[r.at-1] == stepAsked
	switch {
	case k.kind == loggedIn && r.step() == stepReceived: // asked for once more
		made++
	case k.kind == loggedIn:
	case r.step() == stepAsked, asked && r.step() == stepWaits && !r.story.loses: // may have been sent, and was not, or in vain
		version, made = r.story.begins, 0
	case r.step() == stepReceived && k.kind == added: // made beside the current one, and nobody has it
		version = r.story.begins
	}
	return version, made
}

const (
	stepAsked    = "value asked for"
	stepReceived = "stored: requested --> pending"
	stepWaits    = "stored: requested --> requested"
)

// settle waits until the rotation is over, and does what a person has to where the engine says that an answer is lost: where the
// current value is dead, hand in the one of the console; where it lives, look for another one.
func (k byAPI) settle(ctx context.Context, s *subject) error {
	var problem string
	err := await(func() error {
		token, err := s.data(ctx, "tokens/"+s.name)
		problem, _ = token["last_error"].(string)
		if state := token["rotation_state"]; err == nil && (state == "requested" || state == "pending") {
			err = fmt.Errorf("the rotation stays %v: %s", state, problem)
		}
		return err
	})
	if err != nil || !strings.Contains(problem, "is lost (") {
		return err
	}
	creds, credsErr := s.data(ctx, "creds/"+s.name)
	_, live, err := s.values(ctx)
	if err := errors.Join(credsErr, err); err != nil {
		return err
	}
	current := number(creds["version"])
	works, said := slices.Contains(live, k.value(creds)), strings.Contains(problem, fmt.Sprintf("version %d still works", current))
	switch dead := strings.Contains(problem, fmt.Sprintf("version %d does not work any more", current)); {
	case works != said || works == dead:
		return fmt.Errorf("the current value works: %t, and the engine says %q", works, problem)
	case works:
		s.toldBeside = strings.Contains(problem, "a new value was made beside it that nobody has")
		return nil
	}
	fresh, err := s.world.sim.Credential(ctx, simulator.PlatformName{Platform: matrixAds, Name: s.name})
	if err != nil {
		return err
	}
	refused := s.refuses()
	s.request(ctx, fields{"api_key": fresh["api_key"]})
	err = s.answered()
	if refused && err != nil && !s.refuses() { // the write that is to be refused was this one
		s.request(ctx, fields{"api_key": fresh["api_key"]})
		err = s.answered()
	}
	if err != nil {
		return fmt.Errorf("handing in what the console shows: %w", err)
	}
	s.handedIn = s.claimed
	return nil
}

var (
	apiAnswerLost = simulator.Fault{Service: matrixAds, Kind: simulator.FaultDropAfter, Method: http.MethodPost, Times: 1}
	apiThrottled  = simulator.Fault{Service: matrixAds, Kind: simulator.FaultStatus, Method: http.MethodPost, Status: http.StatusTooManyRequests, RetryAfter: 1, Times: 1}
)

// apiStories are of values that an API gives. An answer that is lost is lost: then a person is told what has become of the current value.
var apiStories = []story{
	{
		name: "API", id: "api", credential: byAPI{regenerated}, begins: 1, version: 2, made: 1,
	},
	{
		name: "API, its answer lost", id: "api-lost", credential: byAPI{regenerated}, begins: 1, version: 2, made: 1, loses: true,
		faults: []simulator.Fault{apiAnswerLost},
	},
	{
		name: "API, which limits the rate", id: "api-limits", credential: byAPI{regenerated}, begins: 1, version: 2, made: 1,
		faults: []simulator.Fault{apiThrottled},
	},
	{
		name: "API, to be repeated, its answer lost", id: "api-repeat", credential: byAPI{loggedIn}, begins: 1, version: 2, made: 2,
		faults: []simulator.Fault{apiAnswerLost},
	},
	{
		name: "API, beside the old value, which is revoked", id: "api-beside", credential: byAPI{added}, grace: forShort, begins: 1, version: 2, made: 1,
	},
}

// addPlatform has the world's mounts know the platform.
func (w *world) addPlatform(t *testing.T) {
	t.Helper()
	w.sim.AddPlatform(t, matrixScript)
	for _, story := range apiStories {
		if _, err := w.mounts[story.id].Write(t.Context(), "providers/"+matrixAds, fields{"definition": matrixDefinition()}); err != nil {
			vaulttest.Fatalf(t, "defining the platform: %v", err)
		}
	}
}

// TestSealing_WaitsForTheAnswerOfAnAPI: Vault is sealed while the API is at work on the only copy of the next value.
func TestSealing_WaitsForTheAnswerOfAnAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t, vaulttest.StartRaft(t), vaulttest.BuildPlugin(t, "adtokens-failpoints", "-tags", "failpoints"))
	ctx := t.Context()
	s, err := w.newSubject(ctx, apiStories[0], "slow")
	if err != nil {
		vaulttest.Fatalf(t, "%v", err)
	}
	const atWork = 2 * time.Second
	if err := w.sim.InjectFault(ctx, simulator.Fault{
		Service: matrixAds, Kind: simulator.FaultLateAnswer, Method: http.MethodPost, Latency: atWork, Times: 1,
	}); err != nil {
		vaulttest.Fatalf(t, "%v", err)
	}
	if err := s.ask(ctx); err != nil {
		vaulttest.Fatalf(t, "%v", err)
	}
	vaulttest.Await(t, "the API to be asked", func() bool {
		ledger, err := w.sim.Ledger(ctx)
		return err == nil && ledger.Requests[matrixAds]["POST /keys/{key_id}/regenerate"] > 0
	})
	s.hangUp()
	_ = s.answered() // nobody waits for it any more
	w.Seal(t)
	w.Unseal(t)
	w.wake(t)
	if err := errors.Join(s.settled(ctx, 2), s.note(ctx), s.check(ctx, 2, 1)); err != nil {
		vaulttest.Errorf(t, "%v", err)
	}
}
