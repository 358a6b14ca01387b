#!/bin/sh
# Resolves pyproject.toml into hash-pinned lock files: one for a developer, one for each image.
set -eu
cd "$(dirname "$0")/.."
lock() {
    out=$1
    shift
    .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-header --no-annotate "$@" pyproject.toml -o "$out"
}
lock requirements.lock --all-extras
lock operator/requirements.lock --extra operator --extra gateway
lock chunker-job/requirements.lock --extra chunker
.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-header --no-annotate hack/bench/requirements.in -o hack/bench/requirements.lock
