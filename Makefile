# M0: one line for each thing people do here. Plain `make` prints this list.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON := .venv/bin/python
CLUSTER := python3 hack/cluster
.PHONY: help demo up down status logs clean test check unit simulate e2e chaos load outage bench-media bench-gateway dashboard-picture format lock generate venv

help: ## Print this list
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##@ Run it
demo: venv ## The whole line on a real cluster: one 300 s film, five chunks, everything shown
	@$(CLUSTER) up
	@$(PYTHON) hack/demo.py

up: ## A kind cluster with M0 and its development stack; repairs what it finds
	@$(CLUSTER) up

down: ## Delete the cluster and stop the Docker engine that `up` started; caches stay
	@$(CLUSTER) down

status: ## What runs, where, and how it is
	@$(CLUSTER) status

logs: ## Logs of operator, gateway and the latest Jobs
	@$(CLUSTER) logs

clean: ## `down`, and delete everything that was ever made here, caches too
	@$(CLUSTER) clean

##@ Check it
test: ## Everything that must hold: check, then integration and end to end on a real cluster
	@hack/test.sh

check: venv ## Format, lint, types, layers, generated files, charts, unit tests: four minutes
	@hack/check.sh

unit: venv ## Only the unit tests
	@$(PYTHON) -m pytest tests/unit -q -n auto --dist worksteal

simulate: venv ## The operator in 10,000 worlds of faults (nightly); ARGS='--seed 7' replays one
	@cd tests && ../$(PYTHON) -m simulation $(or $(ARGS),--seeds 10000)

e2e: venv ## Only the tests that need the cluster; `make up` first
	@$(PYTHON) -m pytest tests/integration tests/e2e

chaos: venv ## The crash matrix: every cell, on the running cluster; docs/chaos.md
	@PYTHONPATH=hack:tests:tests/e2e $(PYTHON) -m chaos $(ARGS)

load: venv ## 500 requests at once with kills at random; docs/load.md
	@PYTHONPATH=hack:tests:tests/e2e $(PYTHON) -m chaos.load $(ARGS)

outage: venv ## The broker away for 10 minutes, the backend for an hour; docs/outages.md
	@PYTHONPATH=hack:tests:tests/e2e $(PYTHON) -m chaos.outage $(ARGS)

bench-media: venv ## What cutting costs, as ratios; ARGS=--quick for a look, ARGS=--big for 10 GB
	@$(PYTHON) hack/bench_media.py $(ARGS)

bench-gateway: venv ## What the REST door costs beside bare FastAPI, as ratios
	@$(PYTHON) hack/bench_gateway.py $(ARGS)

dashboard-picture: venv ## docs/dashboard.svg: the dashboard's queries over a real Prometheus
	@PYTHONPATH=hack:tests:tests/e2e $(PYTHON) hack/dashboard_picture.py

##@ Change it
format: venv ## Format the code
	@.venv/bin/ruff format . && .venv/bin/ruff check --fix .

generate: venv ## Write the files that are made from others (the charts' CRD)
	@$(PYTHON) hack/generate.py

lock: venv ## Resolve the dependencies anew into the lock files
	@hack/lock.sh

venv:
	@hack/venv.sh
