#!/usr/bin/env bash
# Builds the release of the last commit: scripts/release.sh OUTPUT (make release). OUTPUT must not exist yet. For every
# platform it gets an archive with the plugin, adtokens-audit and adtokens-console, the same unpacked, an SBOM of each; and SHA256SUMS.
# PLATFORMS, such as "linux/amd64 freebsd/amd64", chooses others. The same commit and Go release give the same checksums
# wherever and whenever (release-check.sh). Needs bash, coreutils, git, make, Go, GNU tar and gzip.
set -euo pipefail

output=${1:?usage: scripts/release.sh OUTPUT}
platforms=${PLATFORMS:-linux/amd64 linux/arm64 darwin/arm64 windows/amd64}
plugin=vault-plugin-secrets-adtokens
commands=("$plugin" adtokens-audit adtokens-console) # not the simulator and the hook, which are for trying out and to learn from
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
tar=$(command -v gtar || command -v tar)
if [[ $("$tar" --version) != *'GNU tar'* ]]; then
  printf 'release: this needs GNU tar, as tar or gtar on PATH.\n' >&2
  exit 1
fi

mkdir "$output"
output=$(cd "$output" && pwd -P)
source=$(mktemp -d "${TMPDIR:-/tmp}/adtokens-release.XXXXXX")
trap 'rm -rf "$source"' EXIT

# What a machine's settings could change in a binary.
export LC_ALL=C TZ=UTC CGO_ENABLED=0 GOAMD64=v1 GOARM64=v8.0 GOFIPS140=off GOWORK=off
export GOFLAGS='-mod=readonly -trimpath -buildvcs=false'
unset GOEXPERIMENT GOOS GOARCH VERSION COMMIT MAKEFLAGS

# A clone has what is committed and nothing else.
git clone --quiet --shared "$repository" "$source"
cd "$source"
version=$(make --silent version)
committed=$(git log -1 --format=%ct)
if [[ $version =~ ^v[0-9]+\.[0-9]+\.[0-9]+$ ]]; then # a tag, not a commit after one
  newest=$(sed '1,/^## \[Unreleased\]$/d' CHANGELOG.md | grep -m 1 . || true)
  if [[ ! $newest =~ ^"## [${version#v}] - "[0-9]{4}-[0-9]{2}-[0-9]{2}$ ]]; then
    printf 'release: CHANGELOG.md has to have an empty section [Unreleased], and below it "## [%s] - YYYY-MM-DD".\n' "${version#v}" >&2
    exit 1
  fi
fi
printf 'Building %s from commit %s with %s.\n' "$version" "$(git rev-parse HEAD)" "$(go version)"
if [[ -n $(git -C "$repository" status --porcelain) ]]; then
  printf 'The changes that are not committed are no part of it.\n'
fi

# bom BINARY OUTPUT: without a serial number and a time, and with Go's standard library as a component.
bom() {
  go tool -modfile=scripts/tools/go.mod cyclonedx-gomod bin -json -std -noserial -notimestamp -version "$version" \
    -output "$2" "$1"
}

for platform in $platforms; do
  os=${platform%/*} arch=${platform#*/}
  suffix=${version}_${os}_$arch
  dir=$output/${plugin}_$suffix
  printf '  %s\n' "$platform"
  GOOS=$os GOARCH=$arch make --silent build BIN="$dir" COMMANDS="${commands[*]/#/./cmd/}"
  extension=$(GOOS=$os go env GOEXE)
  for command in "${commands[@]}"; do
    bom "$dir/$command$extension" "$output/${command}_$suffix.cdx.json"
  done
  cp LICENSE CHANGELOG.md "$dir"
  "$tar" --create --directory="$output" --format=ustar --sort=name --mtime="@$committed" --owner=0 --group=0 \
    --numeric-owner --mode=u=rwX,go=rX "${dir##*/}" | gzip -9 --no-name >"$dir.tar.gz"
done

cd "$output"
sha256sum -- *.tar.gz *.cdx.json */*adtokens* >SHA256SUMS
cat SHA256SUMS
