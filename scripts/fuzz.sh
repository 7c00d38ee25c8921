#!/usr/bin/env bash
# Runs every fuzz target of this module, one after the other: scripts/fuzz.sh [TIME], where TIME is that of each target, 5s
# unless told otherwise (make fuzz FUZZ_TIME=10m). An input that makes a target fail is written below testdata/fuzz/ of its
# package; committed with the fix, every `go test` tries it from then on.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

time=${1:-5s}
if [[ ! $time =~ ^[0-9]+(s|m|h|x)$ ]]; then
  printf 'usage: scripts/fuzz.sh [TIME], where TIME is such as 5s, 10m, 1h, or 1000x for a number of runs\n' >&2
  exit 2
fi

listed=$(go test -list '^Fuzz' ./...) || {
  printf '%s\n' "$listed" >&2
  exit 1
}
# A package's targets are listed before the line with its name.
targets=$(awk '/^Fuzz/ { names[n++] = $1 } $1 == "ok" { for (i = 0; i < n; i++) print $2, names[i]; n = 0 }' <<<"$listed")
count=0 failed=()
while read -r package target; do
  count=$((count + 1))
  printf '%s.%s: ' "${package#*/*/*/}" "$target"
  if output=$(go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 1s "$package" 2>&1); then
    sed -n 's/^fuzz: elapsed: //p' <<<"$output" | tail -n 1
  else
    failed+=("$target")
    printf 'FAILED\n%s\n' "$output"
  fi
done <<<"$targets"

if ((${#failed[@]} > 0)); then
  printf 'fuzz: %d of %d targets failed: %s\n' "${#failed[@]}" "$count" "${failed[*]}" >&2
  exit 1
fi
printf 'fuzz: %d targets ran for %s each, and none failed.\n' "$count" "$time"
