//go:build unix

package matrix

import (
	"strings"
)

// The platforms of refreshes. Each token has endpoints below a path of its own name, so that it meets faults of its own. Access tokens are
// said to live for two seconds, so that another refresh is soon needed, and live longer, because a stop may take that.
const rollingScript = `
name: PLATFORM
kinds:
  oauth_client:
    owner: '{digits 7}'
    fields:
      client_id: {shape: '{digits 12}'}
      client_secret: {shape: '{alnum 40}', secret: true}
      refresh_token: {shape: 'rt_{alnum 40}', secret: true}
      access_token: {shape: 'at_{alnum 40}', secret: true, minted: true, life: 10m}
      code: {shape: 'co_{alnum 40}', secret: true, minted: true, life: 10m}
    reset: {fields: [refresh_token], previous: dies}
endpoints:
  - on: POST /{who}/token
    when: {form grant_type: refresh_token}
    kind: oauth_client
    present:
      - {field: client_id, in: basic user}
      - {field: client_secret, in: basic password}
      - {field: refresh_token, in: form refresh_token}
    makes: [{field: access_token}, {field: refresh_token, FATE}]
    answers: &grants
      ok: {json: {access_token: '{made.access_token}', expires_in: 2, token_type: Bearer, refresh_token: '{made.refresh_token}'}}
      wrong: {status: 400, json: {error: invalid_grant}}
  - on: POST /{who}/token
    when: {form grant_type: authorization_code}
    kind: oauth_client
    present:
      - {field: client_id, in: basic user}
      - {field: client_secret, in: basic password}
      - {field: code, in: form code}
    proof: {code: code, verifier: form code_verifier, redirect: form redirect_uri}
    uses_up: [code]
    makes: [{field: access_token}, {field: refresh_token}]
    answers: *grants
  - on: GET /{who}/authorize
    kind: oauth_client
    present: [{field: client_id, in: query client_id}]
    consent: {code: code, pkce: true}
    answers: {wrong: {status: 400}}
  - on: GET /{who}/me
    kind: oauth_client
    present: [{field: access_token, in: bearer}]
    answers:
      ok: {json: {id: '{owner:number}'}}
      wrong: {status: 401, json: {error: invalid_token}}
`

const rollingDefinition = `
format: 1
name: PLATFORM
title: Matrix Rolls
sources: [{title: The test that made it up, url: https://docs.matrix.example/, read: 2026-11-26}]
account: {endpoints: {base_url: {default: https://api.matrix.example, description: Address of the API.}}}
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
      refresh_token: {answer: always, previous: PREVIOUS}
    consent:
      authorize_url: '{+account.base_url}/authorize'
      params: {client_id: '{credential.client_id}'}
      pkce: true
      exchange: {url: '{+account.base_url}/token', client: basic}
      credential: {refresh_token: body.refresh_token}
    verify:
      request: {url: '{+account.base_url}/me', bearer: '{grant.access_token}'}
      outcomes: [{when: status == 200, outcome: accepted}, {when: status == 401, outcome: rejected}]
    runbook: {steps: [Agree anew.], previous: Dies at the refresh.}
`

// rolls is what a platform does to a refresh token that was used.
type rolls struct {
	platform, fate, previous string
	// forgives says that a used value is taken once more for a while, or for ever, so that a lost answer costs nothing.
	forgives bool
}

var (
	diesAtOnce  = rolls{platform: "rolls_at_once", fate: "previous: dies", previous: "dies"}
	reuseWindow = rolls{platform: "rolls_in_a_window", fate: "previous: dies_later, later: 10m", previous: "dies", forgives: true}
	livesOn     = rolls{platform: "rolls_and_lives", fate: "previous: lives", previous: "lives", forgives: true}
)

func (r rolls) script() string {
	return strings.NewReplacer("PLATFORM", r.platform, "FATE", r.fate).Replace(rollingScript)
}

func (r rolls) definition() string {
	return strings.NewReplacer("PLATFORM", r.platform, "PREVIOUS", r.previous).Replace(rollingDefinition)
}

func (r rolls) String() string {
	return map[rolls]string{diesAtOnce: "single use", reuseWindow: "single use, reuse window", livesOn: "the one before lives"}[r]
}
