#!/bin/sh
# Everything that can be checked without a cluster.
set -eu
cd "$(dirname "$0")/.."
step() {
    printf '── %s\n' "$1"
    shift
    "$@"
}
step format .venv/bin/ruff format --check --quiet .
step lint .venv/bin/ruff check --quiet .
step types .venv/bin/mypy contract wire operator chunker-job hack/devstack.py hack/demo.py hack/generate.py
step "types (cluster tools)" .venv/bin/mypy hack/cluster
step "import layers" .venv/bin/lint-imports --no-logo
step "generated files" .venv/bin/python hack/generate.py --check
step "unit tests" .venv/bin/python -m pytest tests/unit -q
