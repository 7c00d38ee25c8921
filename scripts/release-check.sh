#!/usr/bin/env bash
# Builds the release of the last commit twice and compares the checksums (make release-check): from two clones in different
# directories, the second with an empty build cache, another umask and another time zone. It builds for linux/amd64 alone
# unless PLATFORMS says otherwise.
set -euo pipefail

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
work=$(mktemp -d "${TMPDIR:-/tmp}/adtokens-release-check.XXXXXX")
trap 'rm -rf "$work"' EXIT
export PLATFORMS=${PLATFORMS:-linux/amd64}

git clone --quiet "$repository" "$work/one"
git clone --quiet "$repository" "$work/the-other"
(cd "$work/one" && umask 022 && TZ=UTC scripts/release.sh dist)
(cd "$work/the-other" && umask 077 && TZ=Asia/Kathmandu TMPDIR=$work GOCACHE=$work/cache scripts/release.sh dist)

cd "$work"
(cd one/dist && sha256sum --check --quiet SHA256SUMS)
diff one/dist/SHA256SUMS the-other/dist/SHA256SUMS || {
  printf 'release-check: the same commit has given different checksums.\n' >&2
  exit 1
}
printf 'Both builds have the same checksums.\n'
