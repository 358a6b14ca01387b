#!/bin/sh
# Resolves the dev-stack image's dependencies into its lock files. Needs .venv and npm.
set -eu
cd "$(dirname "$0")"
lock() {
    ../../.venv/bin/uv pip compile --quiet --universal --python-version 3.13 --generate-hashes \
        --no-emit-index-url --no-header --no-annotate "$1" -o "$2"
}
lock backend/requirements.in backend/requirements.lock
lock tools.in tools.lock
# Without the addresses: which registry is used is the builder's affair.
cd azurite
npm install --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts --no-audit --no-fund
