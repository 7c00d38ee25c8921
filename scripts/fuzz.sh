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

module=$(go list -m)
cache=$(go env GOCACHE)/fuzz # where `go test -fuzz` keeps its inputs too
work=$(mktemp -d "${TMPDIR:-/tmp}/adtokens-fuzz.XXXXXX")
trap 'rm -rf "$work"' EXIT

# fuzz runs a target, and leaves what it says in output.
fuzz() {
  output=$(cd "$directory" && "$work/fuzz.test" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$time" \
    -test.fuzzminimizetime 1s -test.fuzzcachedir "$cache/$package" 2>&1)
}

# out_of_time says that a target has failed by nothing but the end of its time, which package testing takes for a failure where a worker
# answers late. No input has failed then.
out_of_time() { grep -q '^ *context deadline exceeded$' <<<"$output" && ! grep -q 'Failing input' <<<"$output"; }

# One binary for all targets of a package. `go test -fuzz` would watch the coverage of every dependency, compile each of them
# for that, and link the binary for each target; the inputs are to find their way through this module's code.
count=0 failed=()
for package in $(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' ./...); do
  directory=$(go list -f '{{.Dir}}' "$package")
  grep -qs '^func Fuzz' "$directory"/*_test.go || continue
  go test -c -vet=off -gcflags="$module/...=-d=libfuzzer" -o "$work/fuzz.test" "$package"
  targets=$(cd "$directory" && "$work/fuzz.test" -test.list '^Fuzz')
  for target in $targets; do
    count=$((count + 1))
    printf '%s.%s: ' "${package#"$module"/}" "$target"
    if fuzz || { out_of_time && fuzz; } || { out_of_time && fuzz; }; then
      sed -n 's/^fuzz: elapsed: //p' <<<"$output" | tail -n 1
    else
      failed+=("$target")
      printf 'FAILED\n%s\n' "$output"
    fi
  done
done
((count > 0)) || {
  printf 'fuzz: there is no target.\n' >&2
  exit 1
}

if ((${#failed[@]} > 0)); then
  printf 'fuzz: %d of %d targets failed: %s\n' "${#failed[@]}" "$count" "${failed[*]}" >&2
  exit 1
fi
printf 'fuzz: %d targets ran for %s each, and none failed.\n' "$count" "$time"
