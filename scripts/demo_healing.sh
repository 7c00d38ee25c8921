# shellcheck shell=bash
# The part of demo.sh in which an app reports a dead value, and the account's reset hook heals it.
# shellcheck disable=SC2016 # commands are shown as typed, and expanded when they run

demo_healing() {
  say 'One more line of policy lets an app say that it was refused; and a token that the hook can reset need not wait for a person.'
  run 'echo '\''path "adtokens/report/acme-*" { capabilities = ["update"] }'\'' | vault policy write acme-report -'
  run 'vault token create -policy=acme-app -policy=acme-report -no-default-policy -field=token > reporting-app-token'
  run 'vault write adtokens/tokens/acme-ro rotate_on_rejection=true'

  say "Somebody resets the read-only token in impact.com's console and tells nobody. The app is refused, and says so."
  run 'adtokens-simulator console impact reset-read-only > /dev/null'
  run 'VAULT_TOKEN=$(cat reporting-app-token) vault write adtokens/report/acme-ro version=2 status=401'
  expect '^outcome +rejected$'
  run 'until [[ $(vault read -field=version adtokens/tokens/acme-ro) == 3 ]]; do
    vault read -field=rotation_state adtokens/tokens/acme-ro; echo; sleep 0.1
done; echo healed'
  expect 'healed'
  run 'VAULT_TOKEN=$(cat reporting-app-token) vault read adtokens/creds/acme-ro'
  expect '^version +3$'
  run 'VAULT_TOKEN=$(cat reporting-app-token) vault write adtokens/report/acme-ro version=2 # of a thread that was late'
  expect '^outcome +outdated$'
}
