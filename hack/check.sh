#!/bin/sh
# Everything that can be checked without a cluster. A step says more than its name only if it fails.
set -eu
cd "$(dirname "$0")/.."
said=$(mktemp)
trap 'rm -f "$said"' EXIT
step() {
    printf '── %s\n' "$1"
    shift
    if ! "$@" >"$said" 2>&1; then
        cat "$said"
        printf 'FAILED: %s\n' "$*"
        exit 1
    fi
}
bin=.venv/bin

# not a step: building helm (only ever once) takes minutes, and says how far it is
python3 hack/cluster tools
step format $bin/ruff format --check .
step lint $bin/ruff check .
step types $bin/mypy contract wire operator chunker-job hack/devstack.py hack/demo.py hack/generate.py \
    hack/bench hack/bench_gateway.py hack/bench_media.py hack/crash/m0_crash.py
step "types (cluster tools)" $bin/mypy hack/cluster
step "types (dev stack)" $bin/mypy hack/dev-stack/backend hack/dev-stack/bin
step "types (tests)" env MYPYPATH=tests:tests/e2e $bin/mypy tests/fakes tests/e2e tests/chaos \
    tests/simulation tests/unit/backend tests/unit/charts tests/unit/contract tests/unit/simulation \
    tests/unit/wire hack/dashboard_picture.py
step "import layers" $bin/lint-imports --no-logo
step "generated files" $bin/python hack/generate.py --check
step "chart m0-operator" .m0/bin/helm lint --strict --quiet charts/m0-operator -f hack/cluster/values-dev.yaml
step "chart m0-operator, everything on" .m0/bin/helm lint --strict --quiet charts/m0-operator \
    -f tests/data/charts/values-everything.yaml
step "chart m0-dev-stack" .m0/bin/helm lint --strict --quiet charts/m0-dev-stack
step "unit tests" $bin/python -m pytest tests/unit -q -n auto --dist worksteal
tail -n 1 "$said"
