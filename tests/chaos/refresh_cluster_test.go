//go:build unix

package chaos

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// refreshesWanted says how many refreshes a cluster makes at least while its leaders fail.
const refreshesWanted = "ADTOKENS_CLUSTER_REFRESHES"

// rollingTokens is how many tokens of each platform are refreshed all the time: their access tokens live for two seconds.
const rollingTokens = 12

const rollingScript = `
name: PLATFORM
kinds:
  oauth_client:
    owner: '{digits 7}'
    fields:
      client_id: {shape: '{digits 12}'}
      client_secret: {shape: '{alnum 40}', secret: true}
      refresh_token: {shape: 'rt_{alnum 40}', secret: true}
      access_token: {shape: 'at_{alnum 40}', secret: true, minted: true, life: 10s}
endpoints:
  - on: POST /token
    kind: oauth_client
    present:
      - {field: client_id, in: basic user}
      - {field: client_secret, in: basic password}
      - {field: refresh_token, in: form refresh_token}
    makes: [{field: access_token}, {field: refresh_token, FATE}]
    answers:
      ok: {json: {access_token: '{made.access_token}', expires_in: 2, token_type: Bearer, refresh_token: '{made.refresh_token}'}}
      wrong: {status: 400, json: {error: invalid_grant}}
`

const rollingDefinition = `
format: 1
name: PLATFORM
title: Rolling Ads
sources: [{title: The test that made it up, url: https://docs.rolling.example, read: 2026-11-26}]
account: {endpoints: {base_url: {default: https://api.rolling.example, description: Address of the API.}}}
token_types:
  oauth_client:
    title: OAuth client
    description: OAuth client with a refresh token.
    reset_semantics: overlapping
    fields:
      client_id: {description: Client id.}
      client_secret: {secret: true, description: Client secret.}
      refresh_token: {secret: true, description: Refresh token.}
    grant:
      type: refresh_token
      url: '{+account.base_url}/token'
      client: basic
      refresh_token: {answer: always, previous: dies}
    runbook: {steps: [Agree anew.], previous: Dies at the refresh.}
`

// Platforms that end a refresh token when it is used: the one takes it once more for a while, as most do, because answers get lost.
const (
	rollsInAWindow = "rolls_in_a_window"
	rollsAtOnce    = "rolls_at_once"
)

var rollingFates = map[string]string{rollsInAWindow: "previous: dies_later, later: 10m", rollsAtOnce: "previous: dies"}

// refreshTrial is a cluster whose tokens are refreshed by whoever reads.
type refreshTrial struct {
	*trial
	// issued is how many refresh tokens there were before the first reader.
	issued map[string]int
}

// rollingToken names a token, its account and its credential.
func rollingToken(platform string, n int) string { return fmt.Sprintf("%s-%d", platform, n) }

func newRefreshTrial(t *testing.T) *refreshTrial {
	t.Helper()
	r := &refreshTrial{trial: &trial{cluster: vaulttest.StartCluster(t), sim: vaulttest.StartSimulator(t)}, issued: map[string]int{}}
	r.cluster.Admit(t, r.sim.Platform(rollsAtOnce).URL)
	mount := r.leader(t, r.cluster.Nodes).Mount(t)
	for _, node := range r.cluster.Nodes {
		r.mounts = append(r.mounts, mount.On(t, node))
	}
	for platform, fate := range rollingFates {
		r.sim.AddPlatform(t, strings.NewReplacer("PLATFORM", platform, "FATE", fate).Replace(rollingScript))
		r.write(t, "providers/"+platform, map[string]any{"definition": strings.ReplaceAll(rollingDefinition, "PLATFORM", platform)})
		for n := range rollingTokens {
			name := rollingToken(platform, n)
			credential, err := r.sim.MakeCredential(t.Context(), simulator.PlatformName{Platform: platform, Name: name}, "oauth_client")
			if err != nil {
				vaulttest.Fatalf(t, "%v", err)
			}
			token := map[string]any{"account": name, "type": "oauth_client"}
			for field, value := range credential {
				token[field] = value
			}
			r.write(t, "config/"+name, map[string]any{"provider": platform, "base_url": r.sim.Platform(platform).URL})
			r.write(t, "tokens/"+name, token)
		}
		r.issued[platform] = r.refreshTokens(t, platform)
	}
	return r
}

// refreshTokens is how many the platform has ever issued.
func (r *refreshTrial) refreshTokens(t *testing.T, platform string) (n int) {
	t.Helper()
	ledger, err := r.sim.Ledger(t.Context())
	if err != nil {
		vaulttest.Fatalf(t, "%v", err)
	}
	for _, secret := range ledger.Issued {
		if secret.Service == simulator.Service(platform) && secret.Kind == "refresh_token" {
			n++
		}
	}
	return n
}

// refreshes is how many the platform has done since the readers began.
func (r *refreshTrial) refreshes(t *testing.T, platform string) int {
	t.Helper()
	return r.refreshTokens(t, platform) - r.issued[platform]
}

// read has apps read access tokens through all nodes until they are told to stop.
func (r *refreshTrial) read(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var apps sync.WaitGroup
	for _, mount := range r.mounts {
		for platform := range rollingFates {
			apps.Go(func() {
				pause := time.NewTicker(20 * time.Millisecond)
				defer pause.Stop()
				for n := 0; ctx.Err() == nil; n++ {
					request, done := context.WithTimeout(ctx, answerTime)
					_, _ = ask(request, mount, "access-token/"+rollingToken(platform, n%rollingTokens)) // what it gives is looked at in the end
					done()
					<-pause.C
				}
			})
		}
	}
	stop = sync.OnceFunc(func() { cancel(); apps.Wait() })
	t.Cleanup(stop)
	return stop
}

// disturb disturbs the active node, and has it come back once another one serves.
func (r *refreshTrial) disturb(t *testing.T, d disturbance) {
	t.Helper()
	old := r.leader(t, r.cluster.Nodes)
	others := r.cluster.Others(old)
	d.hit(t, old)
	r.leader(t, others)
	for platform := range rollingFates {
		before := r.refreshes(t, platform)
		vaulttest.Await(t, "further refreshes at "+platform, func() bool { return r.refreshes(t, platform) > before })
	}
	d.end(t, old)
	r.leader(t, r.cluster.Nodes)
}

// lost names the tokens whose grant is gone. A token that works gives another access token than before.
func (r *refreshTrial) lost(t *testing.T, platform string) (lost []string) {
	t.Helper()
	for n := range rollingTokens {
		name := rollingToken(platform, n)
		var token map[string]any
		refreshed := -1
		vaulttest.Await(t, name+" to be refreshed once more, or to be rejected", func() bool {
			_, _ = ask(t.Context(), r.mounts[0], "access-token/"+name) // refreshes it, where it can be
			secret, err := ask(t.Context(), r.mounts[0], "tokens/"+name)
			if err != nil {
				return false
			}
			token = secret.Data
			if refreshed < 0 {
				refreshed = asInt(token["refreshes"])
			}
			return token["health"] == "rejected" || asInt(token["refreshes"]) > refreshed
		})
		problem, _ := token["last_error"].(string)
		switch {
		case token["health"] == "rejected":
			lost = append(lost, name)
			if !strings.Contains(problem, "the answer to a refresh was lost") || !strings.Contains(problem, "new consent is needed") {
				t.Errorf("%s is rejected, and its problem is %q", name, problem)
			}
		case asInt(token["version"]) != 1 || token["health"] != "ok" || problem != "":
			t.Errorf("%s has version %v, the health %v and the problem %q", name, token["version"], token["health"], problem)
		}
	}
	return lost
}

// TestAClusterLosesNoRefreshToken has tokens refreshed all the time while the active node steps down, and is killed. A step-down may cost
// nothing at all. A node that is killed with an answer that nobody else has costs the grant where the platform has ended the value
// before at once: then the engine says so.
func TestAClusterLosesNoRefreshToken(t *testing.T) {
	t.Parallel()
	wanted, err := strconv.Atoi(cmp.Or(os.Getenv(refreshesWanted), "150"))
	if err != nil {
		t.Fatalf("%s has to be a number such as 1000: %v", refreshesWanted, err)
	}
	r := newRefreshTrial(t)
	began := time.Now()
	stepDown := disturbance{"step-down", func(t testing.TB, s *vaulttest.Server) { s.StepDown(t) }, func(testing.TB, *vaulttest.Server) {}}
	kill := disturbance{"kill -9", func(t testing.TB, s *vaulttest.Server) { s.Kill(t) }, func(t testing.TB, s *vaulttest.Server) { s.Start(t) }}
	lost := map[string][]string{}
	for _, d := range []disturbance{stepDown, kill} {
		stop, times := r.read(t), 0
		before := r.refreshes(t, rollsInAWindow) + r.refreshes(t, rollsAtOnce)
		for done := 0; times < 2 || done < wanted/2; times++ {
			r.disturb(t, d)
			done = r.refreshes(t, rollsInAWindow) + r.refreshes(t, rollsAtOnce) - before
		}
		stop()
		for platform := range rollingFates {
			lost[platform] = r.lost(t, platform)
			t.Logf("%d × %s: %d refreshes at %s, grants that are gone: %d", times, d.name, r.refreshes(t, platform), platform, len(lost[platform]))
		}
		if d.name == stepDown.name && len(lost[rollsAtOnce]) > 0 {
			t.Errorf("a step-down has cost the grants of %v", lost[rollsAtOnce])
		}
		if len(lost[rollsInAWindow]) > 0 {
			t.Errorf("the grants of %v are gone although the platform takes a refresh token again", lost[rollsInAWindow])
		}
	}
	t.Logf("%d refreshes in %s", r.refreshes(t, rollsInAWindow)+r.refreshes(t, rollsAtOnce), time.Since(began).Round(time.Second))
}
