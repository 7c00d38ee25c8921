#!/usr/bin/env bash
# Installs what scripts/release.sh has built for this machine as somebody does who has downloaded it (make release-try):
# checks the checksums, unpacks in an empty directory, runs the programs without an environment, compares the SBOMs with what
# is in the programs, and has a real Vault server run the plugin. It builds the container image where a builder answers,
# on BASE if that is set: see scripts/release/Containerfile.
set -euo pipefail

dist=$(cd "${1:?usage: scripts/release-try.sh DIST}" && pwd -P)
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

plugin=vault-plugin-secrets-adtokens
platform=$(go env GOHOSTOS)_$(go env GOHOSTARCH)
archives=("$dist/${plugin}"_*_"$platform.tar.gz")
[[ ${#archives[@]} == 1 && -e ${archives[0]} ]] || fail "There has to be one archive for $platform in $dist: run make release."
name=$(basename "${archives[0]}" .tar.gz)
version=${name#"${plugin}"_}
version=${version%_"$platform"}

say "The archive of $version for $platform is downloaded with its checksums, and unpacked."
cp "${archives[0]}" "$dist"/*"_${version}_$platform.cdx.json" "$dist/SHA256SUMS" "$work"
run 'sha256sum --check --ignore-missing SHA256SUMS'
run "tar -xzf $name.tar.gz"
run 'sha256sum --check --ignore-missing SHA256SUMS'
unpacked=$work/$name
want="CHANGELOG.md LICENSE adtokens-audit adtokens-console $plugin"
[[ $(cd "$unpacked" && LC_ALL=C ls -A | xargs) == "$want" ]] || fail "The archive has to hold $want, and nothing else."

say 'The programs run without an environment and say what they are.'
for command in "$plugin" adtokens-audit adtokens-console; do
  [[ $(env -i "$unpacked/$command" -version) == "$version" ]] || fail "$command does not say that it is $version."
  [[ $(env -i "$unpacked/$command" -h) == "Usage: $command "* ]] || fail "$command -h does not say how to use it."
  go version -m "$unpacked/$command" | grep -q 'CGO_ENABLED=0' || fail "$command is not static."
  bom=$work/${command}_${version}_$platform.cdx.json
  in_program=$(go version -m "$unpacked/$command" | awk '$1 == "dep" { print $2 "@" $3 }' | LC_ALL=C sort)
  # The program itself has a #, and the standard library is in every program.
  in_bom=$(sed -n 's|.*"purl": "pkg:golang/\([^?"#]*\)[^#]*$|\1|p' "$bom" | grep -v '^std@' | LC_ALL=C sort -u)
  diff <(printf '%s\n' "$in_program") <(printf '%s\n' "$in_bom") || fail "The SBOM of $command does not list what is in it."
  printf '%s %s: %d modules, all of them in its SBOM.\n' "$command" "$version" "$(wc -l <<<"$in_program")"
done

say 'A Vault server takes the plugin by its checksum from SHA256SUMS, and no other file.'
port=$(free_port 8200)
export VAULT_ADDR=http://127.0.0.1:$port VAULT_TOKEN=root-$RANDOM$RANDOM$RANDOM
printf 'plugin_directory = "%s"\n' "$(cd "$unpacked" && pwd -P)" >"$work/vault.hcl"
VAULT_DEV_ROOT_TOKEN_ID=$VAULT_TOKEN start vault vault server -dev -dev-no-store-token \
  -dev-listen-address="127.0.0.1:$port" -config="$work/vault.hcl"
await vault vault token lookup
sum=$(awk -v file="$name/$plugin" '$2 == file { print $1 }' "$work/SHA256SUMS")
other=$(awk -v file="$name/adtokens-audit" '$2 == file { print $1 }' "$work/SHA256SUMS")
run "vault plugin register -version=$version -sha256=$other secret $plugin"
refused "vault secrets enable -path=adtokens -plugin-version=$version $plugin"
run "vault plugin register -version=$version -sha256=$sum secret $plugin"
run "vault secrets enable -path=adtokens -plugin-version=$version $plugin"
run 'vault read -field=version adtokens/info'
[[ $output == "$version" ]] || fail "The mounted plugin does not say that it is $version."
run 'vault read -field=commit adtokens/info'
[[ $output =~ ^[0-9a-f]{12,}$ ]] || fail 'The mounted plugin does not name its commit.'
run "vault secrets list -detailed -format=json | grep -F '\"running_plugin_version\": \"$version\"'"

builder=
for candidate in docker podman; do
  if [[ -z $builder && $platform == linux_* ]] && "$candidate" info >/dev/null 2>&1; then builder=$candidate; fi
done
# image CONTAINERFILE NAME: looks whether all that it copies is there, and builds it where that can be done.
image() {
  say "What the container image of $2 is made of is in the archive for Linux."
  local words source
  while read -r -a words; do
    for source in "${words[@]:1:${#words[@]}-2}"; do
      [[ -e $unpacked/$source ]] || fail "$1 copies $source, which the archive does not have."
      printf '%s\n' "$source"
    done
  done < <(grep '^COPY ' "$1")
  if [[ $builder ]]; then
    run "$builder build -q -f $1 ${BASE:+--build-arg BASE=$BASE} --build-arg VERSION=$version -t $2:$version $unpacked"
    run "$builder run --rm $2:$version -version"
    [[ $output == "$version" ]] || fail "The image of $2 does not run $version."
  else
    printf 'No image is built: neither docker nor podman answers here, or this is not Linux.\n'
  fi
}
image "$root/scripts/release/Containerfile" "$plugin"
image "$root/scripts/release/Containerfile.console" adtokens-console
say "$version can be installed."
