#!/usr/bin/env bash
# Runs the acceptance tests on another release of Vault: scripts/compat.sh v1.19.0 (make compat VAULT_VERSION=v1.19.0).
# Its server is built from Go modules into bin/vault-VERSION/, once. Vault's own api and sdk, which a release takes from
# its source tree, are then the published ones that its go.mod names.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [[ ! ${1:-} =~ ^v?[0-9]+\.[0-9]+\.[0-9]+$ ]]; then
  printf 'usage: scripts/compat.sh VERSION, where VERSION is a release of Vault such as v1.19.0\n' >&2
  exit 2
fi
version=v${1#v}
dir=$PWD/bin/vault-$version

if [[ ! -x $dir/vault ]]; then
  mkdir -p "$dir"
  # The pinned server's module file with another release, and without the dependencies of the pinned one.
  sed '/^require (/,/^)/d' scripts/vault/go.mod >"$dir/go.mod"
  go mod edit -require="github.com/hashicorp/vault@$version" "$dir/go.mod"
  GOFLAGS="-modfile=$dir/go.mod -mod=mod" scripts/vault/build.sh "$dir/vault"
fi

export PATH=$dir:$PATH # the tests run the server that is first on PATH
vault version
go test -race -count=1 ./tests/acceptance/...
