#!/usr/bin/env bash
# Runs three Vault servers with integrated storage and the engine, and the provider simulators, until Ctrl-C: make cluster
# [PORT=8200]. With the argument "check" it kills the active server, rotates on another one and ends.
# shellcheck disable=SC2016 # commands are shown as typed, and expanded when they run
set -euo pipefail
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
trap 'printf "\nStopping.\n"; exit 0' INT

nodes=() # addresses of the servers' APIs
pids=()

# start_node: one more server of the cluster. All but the first join it when they are unsealed.
start_node() {
  local name=node-$((${#nodes[@]} + 1)) port cluster_port join=''
  port=$(free_port "$next_port")
  cluster_port=$(free_port $((port + 1)))
  next_port=$((cluster_port + 1))
  if ((${#nodes[@]})); then join="retry_join { leader_api_addr = \"${nodes[0]}\" }"; fi
  mkdir "$work/$name"
  cat >"$work/$name.hcl" <<HCL
plugin_directory = "$plugins"
disable_mlock    = true
api_addr         = "http://127.0.0.1:$port"
cluster_addr     = "https://127.0.0.1:$cluster_port"

listener "tcp" {
  address         = "127.0.0.1:$port"
  cluster_address = "127.0.0.1:$cluster_port"
  tls_disable     = true
}

storage "raft" {
  path                   = "$work/$name"
  node_id                = "$name"
  performance_multiplier = 3
  $join
}
HCL
  start "$name" vault server -config="$work/$name.hcl"
  export VAULT_ADDR=http://127.0.0.1:$port
  await "$name" answers
  nodes+=("$VAULT_ADDR")
  pids+=("$started")
}

# answers: the server at VAULT_ADDR answers; 2 says that it is sealed.
answers() {
  local code=0
  vault status || code=$?
  ((code == 0 || code == 2))
}

# unsealed: the server at VAULT_ADDR was unsealed. One that has not joined yet takes the key and stays sealed.
unsealed() {
  vault status || vault write sys/unseal key=@"$work/unseal-key" # an argument would show the key to everybody on the machine
  vault status
}

is_active() { vault status -address="$1" 2>/dev/null | grep -E '^HA Mode +active' >/dev/null; }

# find_active puts the number of the active server into $active, from 0.
find_active() {
  for active in "${!nodes[@]}"; do
    if is_active "${nodes[active]}"; then return 0; fi
  done
  return 1
}

next_port=${PORT:-8200}
start_simulator
install_plugin
start_node
say 'The first server is initialised, with one key. The others join it.'
vault operator init -key-shares=1 -key-threshold=1 >"$work/init"
sed -n 's/^Unseal Key 1: //p' "$work/init" | tr -d '\n' >"$work/unseal-key"
VAULT_TOKEN=$(sed -n 's/^Initial Root Token: //p' "$work/init")
export VAULT_TOKEN
await node-1 unsealed
await node-1 is_active "${nodes[0]}"
run 'vault write sys/storage/raft/autopilot/configuration server_stabilization_time=1s'
for number in 2 3; do
  start_node
  await "node-$number" unsealed
done
export VAULT_ADDR=${nodes[0]}
three_vote() { (($(vault operator raft list-peers | grep -cE ' true *$') == 3)); }
await node-3 three_vote
run 'vault operator raft list-peers'
mount_engine
import_tokens

if [[ ${1:-} == check ]]; then
  find_active || fail 'No server is active.'
  say "The active server, node-$((active + 1)), is killed."
  killed=$active
  kill -KILL -- "-${pids[killed]}"
  wait "${pids[killed]}" 2>/dev/null || true # bash would tell how it ended
  export VAULT_ADDR=${nodes[(killed + 1) % 3]}
  deadline=$((SECONDS + 30))
  until vault read adtokens/creds/acme-rw >/dev/null 2>&1; do
    ((SECONDS < deadline)) || fail 'No other server has become active.'
    sleep 0.2
  done
  find_active || fail 'No server is active.'
  ((active != killed)) || fail 'The server that was killed is active.'
  run 'vault read adtokens/creds/acme-rw'
  grep -qE '^version +1$' <<<"$output" || fail 'The credential should have version 1.'
  run 'adtokens-simulator console impact reset-read-write > /dev/null'
  run 'adtokens-simulator console impact show-credentials -token read-write -field auth_token |
    vault write adtokens/tokens/acme-rw/rotate auth_token=- reason="the leader was killed"'
  export VAULT_ADDR=${nodes[(killed + 2) % 3]}
  run 'vault read adtokens/creds/acme-rw'
  grep -qE '^version +2$' <<<"$output" || fail 'The credential should have version 2.'
  say 'The cluster has survived its leader.'
  exit 0
fi

say 'Everything runs. In another terminal:'
cat <<INFO
  export PATH=$bin:\$PATH
  export VAULT_ADDR=${nodes[0]} VAULT_TOKEN=$VAULT_TOKEN    # or ${nodes[1]}, or ${nodes[2]}
  export ADTOKENS_SIMULATOR_CONTROL=$ADTOKENS_SIMULATOR_CONTROL

  vault operator raft list-peers                                # who leads
  vault read adtokens/creds/acme-rw                             # every server answers; the standbys ask the leader
  vault operator step-down                                      # the leader hands over
  kill -KILL -- -${pids[0]}                                     # node-1 dies with its plugin (node-2: ${pids[1]}, node-3: ${pids[2]})
  kill -STOP -- -${pids[0]}                                     # ... or freezes, until kill -CONT
  vault server -config=$work/node-1.hcl >>$work/node-1.log 2>&1 &       # node-1 comes back
  vault operator unseal -address=${nodes[0]} "\$(cat $work/unseal-key)"

Logs: $work/{node-1,node-2,node-3,simulator}.log, and $work/audit.log of whoever leads
Ctrl-C stops everything and removes the logs.
INFO
wait || true
fail 'All servers have stopped by themselves.'
