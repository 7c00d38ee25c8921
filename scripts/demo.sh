#!/usr/bin/env bash
# Plays what users live through when a token is reset: every command is shown as typed, and really run. Fails when the
# engine does not do what the story says.
# shellcheck disable=SC2016 # commands are shown as typed, and expanded when they run
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=scripts/demo_healing.sh
source "$(dirname "${BASH_SOURCE[0]}")/demo_healing.sh"

# expect PATTERN: the last command's output has to contain a match.
expect() { grep -qE -- "$1" <<<"$output" || fail "The answer above should have matched: $1"; }

# campaign: Jane Doe leaves. What she knew is reset, by the engine where it can, and else by a person, and a receiver is told.
campaign() {
  start_receiver
  say 'Who is told when something happens? A receiver of yours, by a signed message, on every edition of Vault.'
  run "vault write adtokens/notifications/ops url=$receiver/adtokens secret=@notify-secret"
  run 'vault write -f adtokens/notifications/ops/test'
  expect '^ok +true$'

  say 'Jane Doe has read three credentials, and leaves. The audit log tells which, and with -campaign also what to type.'
  run 'vault token create -policy=acme-app -no-default-policy -display-name=jane-doe -field=token > doe-token'
  run 'for name in rw ro dev; do VAULT_TOKEN=$(cat doe-token) vault read adtokens/creds/acme-$name > /dev/null; done'
  run 'adtokens-audit leaver -display-name token-jane-doe -campaign jane-leaves audit.log | tee leaver'
  expect '^acme-dev +yes '
  expect '^vault write adtokens/campaigns/jane-leaves .* tokens=acme-dev,acme-ro,acme-rw$'
  run 'bash -c "$(tail -n 1 leaver)"'
  expect '^state +running$'
  say 'Two are reset by the hook, at once. A developer token is for a person, and the campaign says where.'
  run 'until vault read -format=yaml -field=progress adtokens/campaigns/jane-leaves | grep "done: 2"; do sleep 0.1; done'
  run 'vault read -format=yaml -field=items adtokens/campaigns/jane-leaves | grep -E "console_url|how|state|token"'
  expect 'how: person'
  expect 'how: automatic'
  say 'Who still has an old value? The app, until it reads again; and Jane Doe, who does not read again.'
  run 'vault read -format=yaml adtokens/tokens/acme-rw/readers | grep -E "behind|display_name| version"'
  expect 'behind: 2'
  run 'VAULT_TOKEN=$(cat app-token) vault read -field=version adtokens/creds/acme-rw'
  expect '^3$'
  run 'vault read -format=yaml adtokens/tokens/acme-rw/readers | grep -E "behind|display_name| version"'
  expect 'behind: 1'
  say 'A person does what is left, and the receiver hears of the end of the campaign.'
  run 'adtokens-simulator console google reset-developer-token |
    VAULT_TOKEN=$(cat jane-token) vault write adtokens/tokens/acme-dev/rotate developer_token=- reason="Jane Doe leaves"'
  expect '^version +2$'
  run 'vault read -format=yaml adtokens/campaigns/jane-leaves | grep -E "^  (reason|state):"'
  expect 'state: done'
  run 'vault read -format=json -field=versions adtokens/tokens/acme-rw/history | grep "(campaign jane-leaves)"'
  run 'until grep campaign-done receiver.log; do sleep 0.1; done # the receiver has checked the signature'
  expect '"type":"adtokens/campaign-done"'
}

start_simulator
start_vault "$(free_port $((20000 + RANDOM % 10000)))"
mount_engine
import_tokens
expect '^version +1$'

say 'Two policies of one line each: the app reads its credentials and can do nothing else, the operator rotates and reads none.'
run 'echo '\''path "adtokens/creds/acme-*" { capabilities = ["read"] }'\'' | vault policy write acme-app -'
run 'echo '\''path "adtokens/tokens/acme-*" { capabilities = ["read", "update"] }'\'' | vault policy write ads-operator -'
run 'vault token create -policy=acme-app -no-default-policy -field=token > app-token'
run 'vault token create -policy=ads-operator -display-name=jane -field=token > jane-token'
run 'VAULT_TOKEN=$(cat app-token) vault read adtokens/creds/acme-rw'
expect '^version +1$'
refused 'VAULT_TOKEN=$(cat app-token) vault read adtokens/tokens/acme-rw'
expect 'permission denied'
refused 'VAULT_TOKEN=$(cat app-token) vault write adtokens/tokens/acme-rw/rotate auth_token=mine-now'
expect 'permission denied'
refused 'VAULT_TOKEN=$(cat jane-token) vault read adtokens/creds/acme-rw'
expect 'permission denied'

say "Somebody resets the read/write token in impact.com's console and tells nobody. The old value is dead at once."
run 'adtokens-simulator console impact reset-read-write > /dev/null'
run 'VAULT_TOKEN=$(cat jane-token) vault write -f adtokens/tokens/acme-rw/verify'
expect '^outcome +rejected$'

say 'What has to be done? The engine knows the console.'
run 'VAULT_TOKEN=$(cat jane-token) vault read -field=runbook adtokens/tokens/acme-rw/rotate'
expect '^The old value:$'
expect 'Invalid from the moment of the reset'

say "The operator copies the wrong token's value. The provider refuses it, so nothing changes."
refused 'adtokens-simulator console impact show-credentials -token read-only -field auth_token |
    VAULT_TOKEN=$(cat jane-token) vault write adtokens/tokens/acme-rw/rotate auth_token=- reason="reset in the console" cas=1'
expect 'Code: 400'
run 'VAULT_TOKEN=$(cat jane-token) vault read -field=version adtokens/tokens/acme-rw'
expect '^1$'

say 'Now the right one.'
run 'adtokens-simulator console impact show-credentials -token read-write -field auth_token |
    VAULT_TOKEN=$(cat jane-token) vault write adtokens/tokens/acme-rw/rotate auth_token=- reason="reset in the console" cas=1'
expect '^version +2$'
expect '^verification +accepted$'
expect '^previous_credential +rejected by provider$'

say 'The app reads again, as its ttl told it to, and has the new version. The read-only token was never touched.'
run 'VAULT_TOKEN=$(cat app-token) vault read adtokens/creds/acme-rw'
expect '^version +2$'
run 'vault write -f adtokens/tokens/acme-ro/verify'
expect '^outcome +accepted$'
expect '^version +1$'

say "Google's developer token: a wrong one has to fail before the right one's success proves anything."
run 'vault write -f adtokens/tokens/acme-dev/verify'
expect '^outcome +accepted$'
run 'adtokens-simulator console google developer-token-mode ignored # as Google does since 9 September 2026'
run 'vault write -f adtokens/tokens/acme-dev/verify'
expect '^outcome +inconclusive$'

say 'What Google lets a program rotate, the engine rotates by itself: here a service account key, every three seconds.'
run 'adtokens-simulator console google show-service-account-key |
    vault write adtokens/tokens/acme-robot account=acme-google type=service_account_key service_account_key=- \
      rotation_period=3s rotation_grace_period=2s'
expect '^verification +accepted$'

say 'An app calls Google all the time meanwhile, with short-lived access tokens. Does it ever miss a call?'
run 'calls=0 missed=0 version=1
while ((version < 4)); do
    vault read -format=json adtokens/access-token/acme-robot | adtokens-simulator call > call.txt || missed=$((missed + 1))
    calls=$((calls + 1))
    ((calls % 10)) || echo "$calls calls so far, the last one with $(cat call.txt)"
    version=$(vault read -field=version adtokens/tokens/acme-robot)
done
echo "$calls calls, $missed missed, $((version - 1)) rotations"'
expect '[1-9][0-9]* calls, 0 missed, [3-9] rotations'
run 'vault write adtokens/tokens/acme-robot rotation_period=90d'
run "vault read -format=json -field=versions adtokens/tokens/acme-robot/history | grep -E '\"(retired_how|source|version)\"'"
expect '"source": "iam"'
expect '"retired_how": "retired by the engine"'

say 'The old key lived on for two seconds, whoever used it. Better: let it live until every reader has the new one.'
run 'vault write adtokens/tokens/acme-robot retire_after=adopted refresh_ttl=1s'
run 'VAULT_TOKEN=$(cat app-token) vault read -field=version adtokens/creds/acme-robot'
run 'vault write -f adtokens/tokens/acme-robot/rotate reason="yearly review"'
expect '^previous_credential +retires when adopted$'
run 'vault read -format=yaml adtokens/tokens/acme-robot/readers | grep -E "behind|current|display_name|version"'
expect 'behind: [1-9]'
run 'VAULT_TOKEN=$(cat app-token) vault read -field=version adtokens/creds/acme-robot # the app reads, as its ttl tells it to'
run 'vault read -field=version adtokens/access-token/acme-robot # and so does the other one'
run 'until vault read -field=rotation_state adtokens/tokens/acme-robot | grep -qx idle; do sleep 0.2; done
vault read -format=json -field=summary adtokens/tokens/acme-robot/readers'
expect '"behind": 0'

say "impact.com has no API that resets a token; but a company's own automation can be the account's reset hook."
start_hook
run "vault write adtokens/config/acme-impact reset_hook_url=$hook reset_hook_secret=@hook-secret"
run 'VAULT_TOKEN=$(cat jane-token) vault write -f adtokens/tokens/acme-ro/rotate reason=quarterly'
expect '^version +2$'
expect '^previous_credential +rejected by provider$'

demo_healing

define_platform
expect '^verification +accepted$'
run 'VAULT_TOKEN=$(cat app-token) vault read adtokens/creds/acme-key'
expect '^version +1$'
expect '^account_url +http'

say 'Somebody resets the key in the console of Acme Ads. The engine notices, and knows what to do there.'
run 'adtokens-simulator console platform reset acme_ads shop > /dev/null'
run 'vault write -f adtokens/tokens/acme-key/verify'
expect '^outcome +rejected$'
run 'VAULT_TOKEN=$(cat jane-token) vault read -field=runbook adtokens/tokens/acme-key/rotate'
expect 'press Reset'
run 'adtokens-simulator console platform show acme_ads shop -field api_key |
    VAULT_TOKEN=$(cat jane-token) vault write adtokens/tokens/acme-key/rotate api_key=- reason="reset in the console"'
expect '^version +2$'
expect '^previous_credential +rejected by provider$'

say 'The document also names the call that replaces a key. So the engine can do without a person from here on.'
run 'VAULT_TOKEN=$(cat jane-token) vault write -f adtokens/tokens/acme-key/rotate'
expect '^version +3$'
expect '^verification +accepted$'
run 'VAULT_TOKEN=$(cat app-token) vault read adtokens/creds/acme-key'
expect '^version +3$'

say 'Who rotated what, when and why? And how are the others?'
run 'vault read -format=json -field=versions adtokens/tokens/acme-rw/history'
expect '"display_name": "token-jane"'
expect '"reason": "reset in the console"'
run 'vault read -format=json -field=data adtokens/status'
expect '"rejected": 0'

say 'The audit log has the reason and the version in clear, the value as a keyed hash,'
run "grep -h '\"path\":\"adtokens/tokens/acme-rw/rotate\"' audit.log | grep '\"type\":\"response\"' | tail -n 1 |
    grep -oE '\"(path|reason|cas|auth_token|version|previous_version|verification|previous_credential)\":(\"[^\"]*\"|[0-9]+)'"
expect '"reason":"reset in the console"'
expect '"version":2'
expect '"auth_token":"hmac-sha256:'

campaign

say 'And none of the values that the providers ever issued is in any log.'
run 'adtokens-simulator console ledger | sed -n '\''s/^ *"value": "\(.*\)"$/\1/p'\'' | sort -u > issued; wc -l < issued'
expect '^[1-9]'
refused 'grep -cFf issued audit.log vault.log simulator.log hook.log receiver.log'
expect '^audit.log:0$'

say 'Whoever has no terminal does the same on the pages of adtokens-console: make dev runs it, and docs/console.md shows it.'
say "Done in $SECONDS s."
