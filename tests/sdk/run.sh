#!/usr/bin/env bash
# Has the senders' own SDKs sign or accept requests, and sends these to the receiver of the tests.
# To run only some senders, name their presets.
# RECEIVER=path takes a receiver that is already built. PACKAGES=folder keeps the packages there.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
packages=${PACKAGES:-$(mktemp -d)}
[[ -n ${PACKAGES:-} ]] || trap 'rm -rf "$packages"' EXIT
mkdir -p "$packages"

# Installs the packages at once, or each by itself if that fails: one that cannot be installed
# fails its own senders only.
install() {
    local command=$1 package
    shift
    "$command" "$@" || for package in "$@"; do "$command" "$package" || echo "not installed: $package"; done
}
from_pypi() { "$packages/venv/bin/pip" install -q --disable-pip-version-check "$@"; }
from_npm() {
    npm install --prefix "$packages" --save-exact --no-package-lock --ignore-scripts --no-audit \
        --no-fund --loglevel=error "$@"
}

python3 -m venv "$packages/venv"
mapfile -t pinned <"$here/requirements.txt"
install from_pypi "${pinned[@]}" >&2
# npm changes the package.json there, and Node looks for packages in the folders above a script.
mkdir -p "$packages/scripts"
cp -r "$here"/{package.json,request.mjs,sign.mjs,senders} "$packages/scripts"
[[ -e $packages/package.json ]] || echo '{ "private": true }' >"$packages/package.json"
mapfile -t pinned < <(node -p 'Object.entries(require(process.argv[1]).dependencies).map((p) => p.join("@")).join("\n")' "$here/package.json")
install from_npm "${pinned[@]}" >&2

if [[ -z ${RECEIVER:-} ]]; then
    (cd "$root" && cargo build -q --locked -p integration-tests --bin receiver)
    RECEIVER=${CARGO_TARGET_DIR:-$root/target}/debug/receiver
fi

{ "$packages/venv/bin/python" "$here/sign.py" "$@" && node "$packages/scripts/sign.mjs" "$@"; } |
    python3 "$here/deliver.py" "$RECEIVER"
