#!/usr/bin/env bash
# Looks the dependencies up in the Go vulnerability database.
# Exits 0: nothing found. 75: the database is out of reach, nothing was checked. Anything else: findings, or a failure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

code=0
output=$(go tool -modfile=scripts/tools/go.mod govulncheck ./... 2>&1) || code=$?
# govulncheck exits 1 when it cannot work and 3 when it has found something. The pattern is Go's message for a request
# that got no answer at all; an answer of the database, even a bad one, is a failure.
unreachable='Get "https://vuln\.go\.dev/[^"]*": '
if ((code == 1)) && grep -q "$unreachable" <<<"$output"; then
  printf 'vulncheck: the Go vulnerability database is out of reach, so the dependencies were NOT checked.\n' >&2
  exit 75
fi
printf '%s\n' "$output"
exit "$code"
