#!/usr/bin/env bash
# Runs a Vault server with the engine, the console, and the provider simulators, until Ctrl-C: make dev [PORT=8200]
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
trap 'printf "\nStopping.\n"; exit 0' INT

start_simulator
start_vault "${PORT:-$(free_port 8200)}"
mount_engine
say "Google ignores developer tokens since 9 September 2026. So does the simulator from here on."
run 'adtokens-simulator console google developer-token-mode ignored'
import_tokens
define_platform
start_console

say 'Everything runs. In another terminal:'
cat <<EOF
  export PATH=$bin:\$PATH
  export VAULT_ADDR=$VAULT_ADDR VAULT_TOKEN=$VAULT_TOKEN
  export ADTOKENS_SIMULATOR_CONTROL=$ADTOKENS_SIMULATOR_CONTROL
  export IMPACT_URL=$impact GOOGLE_URL=$google PLATFORMS_URL=$platforms ACME_URL=$platforms/acme_ads
  export PLUGIN_DIR=$plugins AUDIT_LOG=$work/audit.log

The console, for people who reset tokens and have no terminal: $console
  sign in with this Vault token, which may do what the console needs: $console_token

The README's quickstart works with these as it stands. Or try what is there already:

  vault read adtokens/creds/acme-rw                             # what an app reads
  adtokens-simulator console impact reset-read-write            # a reset in the console, behind Vault's back
  vault write -f adtokens/tokens/acme-rw/verify                 # ... is noticed
  vault read -field=runbook adtokens/tokens/acme-rw/rotate      # what to do next, step by step
  adtokens-simulator console impact show-credentials -field auth_token |
    vault write adtokens/tokens/acme-rw/rotate auth_token=- reason="reset in the console"
  adtokens-simulator console platform reset acme_ads shop       # the same for a platform that a document describes
  vault write -f adtokens/tokens/acme-key/verify
  adtokens-simulator console platform show acme_ads shop -field api_key |
    vault write adtokens/tokens/acme-key/rotate api_key=- reason="reset in the console"
  vault write -f adtokens/tokens/acme-key/rotate                # its API replaces a key too
  adtokens-simulator console platform list                      # what else is simulated, each at \$PLATFORMS_URL/<name>
  vault list -detailed adtokens/tokens                          # every token at a glance
  vault read -format=yaml adtokens/tokens/acme-rw/readers       # who has read it, and which version each has
  vault write adtokens/report/acme-rw version=1 status=401      # an app that was refused says so
  vault write adtokens/campaigns/new-keys reason="try" tokens='*' # everything new: the engine does what it can ...
  vault read -format=yaml adtokens/campaigns/new-keys           # ... and lists what is left for a person
  adtokens-simulator console -h                                 # what else the consoles can do
  vault path-help adtokens

Logs: $work/{audit,vault,simulator,console}.log
Ctrl-C stops everything and removes the logs.
EOF
wait -n || true
fail 'One of the servers has stopped by itself.'
