# shellcheck shell=bash disable=SC2016 # commands are shown as typed, and expanded when they run
# Shared by dev.sh, cluster.sh and demo.sh: real Vault servers with the engine, and the provider simulators, on loopback ports.
# Everything started here is stopped when the script ends, whichever way. Needs bash, coreutils, grep and sed.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
bin=${ADTOKENS_BIN:-$root/bin} # what make build has built; tests have it elsewhere
umask 077
work=$(mktemp -d "${TMPDIR:-/tmp}/adtokens.XXXXXX")
groups=() # process groups of what was started
mkdir "$work/tools"
ln -s "$bin"/adtokens-* "$work/tools" # before others of these names on PATH; a vault on PATH comes before the one in bin/
export PATH=$work/tools:$PATH:$bin
unset "${!VAULT_@}" # the caller's own server is not ours to touch
unset "${!ADTOKENS_SIMULATOR_@}"

bold='' dim='' red='' reset=''
if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
  bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' reset=$'\e[0m'
fi

say() { printf '\n%s%s%s\n' "$bold" "$*" "$reset"; }

fail() {
  printf '\n%s%s%s\n' "$red" "$*" "$reset" >&2
  exit 1
}

# run COMMAND: shows a command line as a user would type it, runs it in the work directory, and shows what it answers.
# The answer is shown as it comes, and stays in $output.
run() { attempt "$1" || fail "This command should have succeeded: $1"; }

# refused COMMAND: the same for one that has to fail.
refused() { ! attempt "$1" || fail "This command should have failed: $1"; }

attempt() {
  local code=0
  printf '\n%s$ %s%s\n' "$bold" "$1" "$reset"
  output=$(cd "$work" && bash -o pipefail -c "$1" 2>&1 | show_lines) || code=$?
  return "$code"
}

# show_lines shows each line as it comes, on the script's own output, and passes it on.
exec 3>&1
show_lines() {
  local line
  while IFS= read -r line || [[ $line ]]; do
    printf '%s\n' "$line" >&3
    printf '%s\n' "$line"
  done
}

# start NAME COMMAND...: runs a server in the background, its output in $work/NAME.log and its process id in $started.
start() {
  local name=$1
  shift
  set -m # gives it a process group: a Ctrl-C stays with this script, and stop reaches its children too
  "$@" >"$work/$name.log" 2>&1 </dev/null &
  set +m
  started=$!
  groups+=("$started")
}

# await NAME CONDITION...: waits until the server that was started last is ready.
await() {
  local name=$1 deadline=$((SECONDS + 30))
  shift
  printf '%sStarting %s ' "$dim" "$name"
  until "$@" >/dev/null 2>&1; do
    if ! kill -0 "$started" 2>/dev/null || ((SECONDS >= deadline)); then
      printf '\n'
      tail -n 20 "$work/$name.log" >&2
      fail "The $name did not become ready; its last log lines are above."
    fi
    printf '.'
    sleep 0.2
  done
  printf ' ready%s\n' "$reset"
}

alive() {
  local group
  for group in "${groups[@]}"; do
    if kill -0 -- "-$group" 2>/dev/null; then return 0; fi
  done
  return 1
}

signal() {
  local group
  for group in "${groups[@]}"; do
    kill "-$1" -- "-$group" 2>/dev/null || true
  done
}

# stop ends what was started. A failed run, unlike an interrupted one, keeps its work directory for a look at the logs.
stop() {
  local code=$? deadline=$((SECONDS + 10))
  trap - EXIT
  trap '' INT TERM HUP # a second Ctrl-C must not leave anything behind
  signal TERM
  while alive && ((SECONDS < deadline)); do sleep 0.1; done
  signal KILL
  if ((code == 0 || code > 128)); then
    rm -rf "$work"
  else
    printf 'The logs are in %s.\n' "$work" >&2
  fi
  exit "$code"
}
trap stop EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# free_port prints the first port from $1 on that nobody listens on.
free_port() {
  local port=$1
  until is_free "$port"; do port=$((port + 1)); done
  printf '%s\n' "$port"
}

start_simulator() {
  local ready=$work/simulator.json
  start simulator adtokens-simulator serve -ready-file "$ready"
  await simulator grep -q '}' "$ready"
  google=$(sed -n 's/.*"google":"\([^"]*\)".*/\1/p' "$ready")
  impact=$(sed -n 's/.*"impact":"\([^"]*\)".*/\1/p' "$ready")
  platforms=$(sed -n 's/.*"platforms":"\([^"]*\)".*/\1/p' "$ready")
  ADTOKENS_SIMULATOR_CONTROL=$(sed -n 's/.*"control":"\([^"]*\)".*/\1/p' "$ready")
  export ADTOKENS_SIMULATOR_CONTROL
}

# define_platform makes Acme Ads, of which no release of the engine knows, a platform, and imports a key of it.
define_platform() {
  cp "$root/scripts/acme_ads.yaml" "$work"
  say 'A platform that the engine does not know is a document: which fields its tokens have, what proves and what replaces them.'
  run 'grep -A 36 ^token_types acme_ads.yaml'
  run 'vault write adtokens/providers/acme_ads definition=@acme_ads.yaml'
  run "vault write adtokens/config/acme-shop provider=acme_ads base_url=$platforms/acme_ads region=eu \\
    contact_email=ads-api@acme.example"
  run 'adtokens-simulator console platform make acme_ads api_key shop > /dev/null # a person makes a key in the console of Acme Ads'
  run 'adtokens-simulator console platform show acme_ads shop -field api_key |
    vault write adtokens/tokens/acme-key account=acme-shop type=api_key api_key=- \
      key_id="$(adtokens-simulator console platform show acme_ads shop -field key_id)"'
}

# start_hook runs the reference reset hook, with a new secret in the work directory's file hook-secret.
start_hook() {
  echo "whsec_$(head -c 32 /dev/urandom | base64)" >"$work/hook-secret"
  start hook adtokens-hook -state "$work/hook-state" -secret-file "$work/hook-secret"
  await hook grep -q '"url"' "$work/hook.log"
  hook=$(sed -n 's/.*"url":"\([^"]*\)".*/\1/p' "$work/hook.log")
}

# start_receiver runs a receiver of notifications, with a new secret in the work directory's file notify-secret. What it takes, once it has
# checked the signature, is in receiver.log.
start_receiver() {
  echo "whsec_$(head -c 32 /dev/urandom | base64)" >"$work/notify-secret"
  start receiver adtokens-simulator receive -secret-file "$work/notify-secret"
  await receiver grep -q '"url"' "$work/receiver.log"
  receiver=$(sed -n 's/.*"url":"\([^"]*\)".*/\1/p' "$work/receiver.log")
}

# start_console runs the console, at $console, and makes a Vault token for it with the policy that its page has, $console_token.
start_console() {
  local port
  sed -n '/<!-- file: console.hcl -->/,/^```$/p' "$root/docs/console.md" | grep -v -e '^```' -e '^<!--' >"$work/console.hcl"
  vault policy write ads-console "$work/console.hcl" >/dev/null
  console_token=$(vault token create -policy=ads-console -display-name=jane -field=token)
  port=$(free_port 8080)
  start console env -u VAULT_TOKEN adtokens-console -vault-addr "$VAULT_ADDR" -listen "127.0.0.1:$port" -mount adtokens
  await console grep -q '"url"' "$work/console.log"
  console=$(sed -n 's/.*"url":"\([^"]*\)".*/\1/p' "$work/console.log")
}

# install_plugin makes the servers' plugin directory, $plugins, and puts the plugin there under a name with its version, $version.
install_plugin() {
  mkdir "$work/plugins"
  plugins=$(cd "$work/plugins" && pwd -P) # Vault takes no symbolic links there
  version=$("$bin/vault-plugin-secrets-adtokens" -version)
  install -m 0755 "$bin/vault-plugin-secrets-adtokens" "$plugins/vault-plugin-secrets-adtokens-$version"
}

# start_vault PORT: a server in dev mode. Dev mode's own -dev-plugin-dir would register whatever lies in bin/; a plain
# plugin directory leaves the registration to the operator, as in production. The root token is in the environment, which
# nobody else can read; an argument list is for everybody on the machine.
start_vault() {
  is_free "$1" || fail "Port $1 is taken; choose another one: make dev PORT=…"
  export VAULT_ADDR=http://127.0.0.1:$1 VAULT_TOKEN=root-$RANDOM$RANDOM$RANDOM
  install_plugin
  printf 'plugin_directory = "%s"\n' "$plugins" >"$work/vault.hcl"
  VAULT_DEV_ROOT_TOKEN_ID=$VAULT_TOKEN start vault vault server -dev -dev-no-store-token \
    -dev-listen-address="127.0.0.1:$1" -config="$work/vault.hcl"
  await vault vault token lookup # whoever else answers at this port does not know our token
}

# mount_engine registers, mounts and audits the engine as an operator does on a production server.
mount_engine() {
  local sum
  sum=$(sha256sum "$plugins/vault-plugin-secrets-adtokens-$version" | cut -d ' ' -f 1)
  say 'The operator registers the plugin by its checksum, switches the audit log on and mounts the engine.'
  run "vault plugin register -sha256=$sum -version=$version \\
    -command=vault-plugin-secrets-adtokens-$version secret vault-plugin-secrets-adtokens"
  run "vault audit enable file file_path=$work/audit.log"
  run 'vault secrets enable -path=adtokens \
    -audit-non-hmac-request-keys=reason -audit-non-hmac-request-keys=cas \
    -audit-non-hmac-response-keys=version -audit-non-hmac-response-keys=previous_version \
    -audit-non-hmac-response-keys=fingerprint -audit-non-hmac-response-keys=verification \
    -audit-non-hmac-response-keys=previous_credential -audit-non-hmac-response-keys=outcome \
    -audit-non-hmac-response-keys=current_version -audit-non-hmac-response-keys=state \
    -audit-non-hmac-response-keys=health -audit-non-hmac-response-keys=rotation_state -audit-non-hmac-response-keys=how \
    vault-plugin-secrets-adtokens'
}

# import_tokens configures both accounts and imports what is in use today, copied from the providers' consoles.
import_tokens() {
  say 'Two provider accounts. The OAuth identity is what the engine asks Google with.'
  run "vault write adtokens/config/acme-google provider=google_ads \\
    base_url=$google token_url=$google/token revoke_url=$google/revoke iam_url=$google \\
    contact_email=ads-api@acme.example login_customer_id=123-456-7890 \\
    client_id=\"\$(adtokens-simulator console google show-oauth-client -field client_id)\" \\
    client_secret=@<(adtokens-simulator console google show-oauth-client -field client_secret) \\
    refresh_token=@<(adtokens-simulator console google show-oauth-client -field refresh_token)"
  run "vault write adtokens/config/acme-impact provider=impact account_type=agency base_url=$impact \\
    contact_email=ads-api@acme.example"

  say 'Three tokens, imported as they are in use today. Each is tried at its provider before it is stored.'
  run 'adtokens-simulator console google show-developer-token |
    vault write adtokens/tokens/acme-dev account=acme-google type=developer_token developer_token=-'
  run 'adtokens-simulator console impact show-credentials -token read-write -field auth_token |
    vault write adtokens/tokens/acme-rw account=acme-impact type=legacy_read_write auth_token=- \
      account_sid="$(adtokens-simulator console impact show-credentials -token read-write -field account_sid)"'
  run 'adtokens-simulator console impact show-credentials -token read-only -field auth_token |
    vault write adtokens/tokens/acme-ro account=acme-impact type=legacy_read_only auth_token=- \
      account_sid="$(adtokens-simulator console impact show-credentials -token read-only -field account_sid)"'
}
