#!/usr/bin/env bash
# Sends requests signed by the senders' own SDKs to the receiver of the tests. To run only some
# schemes, name them.
# RECEIVER=path takes a receiver that is already built.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
temp=$(mktemp -d)
trap 'rm -rf "$temp"' EXIT

python3 -m venv "$temp/venv"
"$temp/venv/bin/pip" install -q --disable-pip-version-check -r "$here/requirements.txt"
# Node looks for packages next to the script.
cp "$here/package.json" "$here/sign.mjs" "$temp"
npm install --prefix "$temp" --no-package-lock --ignore-scripts --no-audit --no-fund --loglevel=error >&2

if [[ -z ${RECEIVER:-} ]]; then
    (cd "$root" && cargo build -q --locked -p integration-tests --bin receiver)
    RECEIVER=${CARGO_TARGET_DIR:-$root/target}/debug/receiver
fi

{ "$temp/venv/bin/python" "$here/sign.py" && node "$temp/sign.mjs"; } |
    python3 "$here/deliver.py" "$RECEIVER" "$@"
