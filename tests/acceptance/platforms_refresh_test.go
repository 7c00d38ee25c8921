//go:build unix

package acceptance

import (
	"testing"

	"github.com/adtokens/vault-plugin-secrets-adtokens/cmd/adtokens-simulator/simulator"
	"github.com/adtokens/vault-plugin-secrets-adtokens/tests/vaulttest"
)

// rolling is a platform whose access tokens live for two seconds, and whose refresh tokens are as the rule says.
func rolling(rule string) string {
	return `
name: rolling_ads
kinds:
  oauth_client:
    owner: '{digits 7}'
    fields:
      client_id: {shape: '{digits 7}'}
      client_secret: {shape: '{alnum 40}', secret: true}
      refresh_token: {shape: 'rt_{alnum 40}', secret: true}
      access_token: {shape: 'at_{alnum 40}', secret: true, minted: true, life: 2s}
    reset: {fields: [refresh_token], previous: dies}
endpoints:
  - on: POST /token
    when: {form grant_type: refresh_token}
    kind: oauth_client
    present:
      - {field: client_id, in: basic user}
      - {field: client_secret, in: basic password}
      - {field: refresh_token, in: form refresh_token}
    makes: [{field: access_token}, {field: refresh_token, ` + rule + `}]
    answers:
      ok: {json: {access_token: '{made.access_token}', expires_in: '{life.access_token}', token_type: Bearer, refresh_token: '{made.refresh_token}'}}
      wrong: {status: 400, json: {error: invalid_grant}}
      wrong client_secret: {status: 401, json: {error: invalid_client}}
  - on: GET /me
    kind: oauth_client
    present: [{field: access_token, in: bearer}]
    answers:
      ok: {json: {id: '{owner:number}'}}
      wrong: {status: 401, json: {error: invalid_token}}
`
}

// rollingDefinition is its definition.
func rollingDefinition(refresh string) string {
	return `
format: 1
name: rolling_ads
title: Rolling Ads
sources: [{title: Made up, url: https://docs.rolling.example, read: 2026-11-26}]
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
      refresh_token: ` + refresh + `
    verify:
      request: {url: '{+account.base_url}/me', bearer: '{grant.access_token}'}
      outcomes:
        - {when: status == 200, outcome: accepted, detail: the token is genuine}
        - {when: status == 401, outcome: rejected, detail: the token is refused}
      identity: body.id
    runbook: {steps: [Ask for consent.], previous: Works until it is revoked.}
`
}

func TestPlatforms_RefreshTokensThatRollAreKept(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ rule, refresh string }{
		"always, the one before dies":       {"previous: dies", "{answer: always, previous: dies}"},
		"always, the one before lives":      {"previous: lives", "{answer: always, previous: lives}"},
		"always, the one before dies later": {"previous: dies_later, later: 1s", "{answer: always, previous: lives}"},
		"sometimes":                         {"answer: sometimes, previous: dies", "{answer: sometimes, previous: dies}"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &onPlatform{world: newWorld(t), catalogued: catalogued{provider: "rolling_ads", kind: "oauth_client"}}
			w.platform = w.sim.AddPlatform(t, rolling(tt.rule))
			w.credential = w.platform.Make(t, "oauth_client", "app")
			w.write(t, "providers/rolling_ads", fields{"definition": rollingDefinition(tt.refresh)})
			w.write(t, "config/shop", fields{"provider": "rolling_ads", "base_url": w.platform.URL})
			has(t, w.write(t, "tokens/app", w.token(t, nil)).Data, fields{"verification": "accepted"})
			if !w.keepsRefreshTokens(t) {
				t.Skip("the engine does not store the refresh token that comes with an access token")
			}

			// Each access token is good, though each of them needs another refresh.
			seen := map[any]bool{}
			vaulttest.Await(t, "five access tokens", func() bool {
				token := w.data(t, "access-token/app")["access_token"]
				w.call(t, resource{path: "/me", header: "Authorization", prefix: "Bearer "}, token)
				seen[token] = true
				return len(seen) == 5
			})
			has(t, w.write(t, "tokens/app/verify", nil).Data, fields{"outcome": "accepted"})
			for _, call := range w.platform.Calls(t) {
				if call.Verdict != "ok" && call.Verdict != "expired access_token" { // which it may be on the way, on a slow machine
					t.Errorf("%s %s was answered with %q", call.Method, call.Path, call.Verdict)
				}
			}
		})
	}
}

// TestPlatforms_ARefreshWhoseAnswerIsLostIsNotHidden has the platform end the refresh token and drop the answer with the next one.
func TestPlatforms_ARefreshWhoseAnswerIsLostIsNotHidden(t *testing.T) {
	t.Parallel()
	w := &onPlatform{world: newWorld(t), catalogued: catalogued{provider: "rolling_ads", kind: "oauth_client"}}
	w.platform = w.sim.AddPlatform(t, rolling("previous: dies"))
	w.credential = w.platform.Make(t, "oauth_client", "app")
	w.write(t, "providers/rolling_ads", fields{"definition": rollingDefinition("{answer: always, previous: dies}")})
	w.write(t, "config/shop", fields{"provider": "rolling_ads", "base_url": w.platform.URL})
	has(t, w.write(t, "tokens/app", w.token(t, nil)).Data, fields{"verification": "accepted"})
	if !w.keepsRefreshTokens(t) {
		t.Skip("the engine does not store the refresh token that comes with an access token")
	}

	w.platform.Fail(t, simulator.Fault{Kind: simulator.FaultDropAfter, Path: "/token", Times: 1})
	vaulttest.Await(t, "the lost answer to be met", func() bool {
		_, _ = w.Read(t.Context(), "access-token/app")
		return w.platform.Count(t, "POST /token") > 2
	})
	vaulttest.Await(t, "the token to be rejected", func() bool {
		_, _ = w.Write(t.Context(), "tokens/app/verify", nil)
		return w.data(t, "tokens/app")["health"] == "rejected"
	})
	fresh := w.credential.Replace(t, "refresh_token")
	has(t, w.write(t, "tokens/app/rotate", fields{"refresh_token": fresh["refresh_token"]}).Data, fields{"verification": "accepted"})
	has(t, w.data(t, "tokens/app"), fields{"health": "ok"})
}
