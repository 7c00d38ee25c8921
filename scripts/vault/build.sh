#!/usr/bin/env bash
# Builds the Vault server that go.mod beside this file pins: scripts/vault/build.sh OUTPUT
set -euo pipefail

output=${1:?usage: scripts/vault/build.sh OUTPUT}
case $output in /*) ;; *) output=$PWD/$output ;; esac
cd "$(dirname "${BASH_SOURCE[0]}")"

version=$(go list -m -f '{{.Version}}' github.com/hashicorp/vault)
printf 'Building Vault %s from Go modules. The first time takes several minutes; later ones use the Go cache.\n' "$version"

# Counts what `go build -v` names (downloads, then packages) into one line every ten seconds; anything else is shown.
progress() {
  local line said=$SECONDS downloaded=0 compiled=0
  while true; do
    line='' code=0
    IFS= read -r -t 10 line || code=$?
    case $line in
      '') ;;
      'go: downloading '*) downloaded=$((downloaded + 1)) ;;
      *[!A-Za-z0-9._/~-]*) printf '%s\n' "$line" ;;
      *) compiled=$((compiled + 1)) ;;
    esac
    if ((SECONDS - said >= 10)); then
      said=$SECONDS
      printf '  %4d s: %d modules downloaded, %d packages compiled\n' "$SECONDS" "$downloaded" "$compiled"
    fi
    # Over 128 means that ten seconds passed without a line; any other failure is the end of the input.
    if ((code > 0 && code <= 128)); then break; fi
  done
}

# Static, as HashiCorp builds it and as the Makefile builds everything else: what they have in common is compiled once.
CGO_ENABLED=0 go build -v -tags minimal -trimpath -ldflags '-s -w' -o "$output.new" github.com/hashicorp/vault 2>&1 | progress
mv "$output.new" "$output"
printf 'Built %s in %d s.\n' "$output" "$SECONDS"
