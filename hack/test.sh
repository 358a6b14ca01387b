#!/usr/bin/env bash
# `make test`: everything that must hold, on a bare machine as well as a warm one.
#
# What it finds running it leaves running; what it starts it stops, caches excepted.
set -euo pipefail
cd "$(dirname "$0")/.."

hack/venv.sh
hack/check.sh
if ! python3 hack/cluster running; then
    trap 'python3 hack/cluster down' EXIT
fi
python3 hack/cluster up
.venv/bin/python -m pytest tests/integration tests/e2e
