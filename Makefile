# Everything runs from one virtual environment in .venv, made from the locked requirements.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python

.PHONY: help init init-runtime demo test check chaos chaos-soak chaos-outage bench bench-check bench-peers bench-learning bench-retry lock lock-jars generate clean

help:  ## Show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# Stamps: a target that is up to date costs nothing. The last line of each recipe makes the stamp,
# so an interrupted installation is done again.
$(VENV)/.created: requirements/bootstrap.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; this is $$($(PYTHON) --version 2>&1). Try: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@echo "Creating $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { echo "The module venv is missing; on Debian: apt install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/bootstrap.txt
	@touch $@

$(VENV)/.runtime: $(VENV)/.created requirements/runtime.txt pyproject.toml
	@echo "Installing what Penstock needs"
	@$(UV) --require-hashes -r requirements/runtime.txt
	@$(UV) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.created requirements/dev.txt requirements/runtime.txt pyproject.toml
	@echo "Installing what development needs"
	@$(UV) --require-hashes -r requirements/dev.txt
	@$(UV) --no-deps --no-build-isolation --editable .
	@touch $(VENV)/.runtime $@

init: $(VENV)/.dev  ## Install everything for development into .venv

init-runtime: $(VENV)/.runtime  ## Install only what is needed to run

demo: init-runtime  ## Run a pipeline and verify it; TRACE=FILE SPEED=N JOBS=N ARGS=--json
	@$(BIN)/penstock demo $(if $(TRACE),--trace '$(TRACE)') $(if $(SPEED),--speed $(SPEED)) $(if $(JOBS),--jobs $(JOBS)) $(ARGS)

# Most tests wait more than they compute, so two files at a time take little more than half as long. In the order
# of the tree the long ones come first.
test: init  ## Run all tests, with a part of the chaos scenarios; WORKERS=N at a time
	$(BIN)/python -m pytest -m "not chaos" -n $(or $(WORKERS),2) --dist loadfile --no-loadscope-reorder tests $(ARGS)

check: init  ## Format, lint, types, imports, sizes, generated files, fast tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.support.sizes
	$(BIN)/python -m schemas.generate --check
	$(BIN)/python -m tests.support.infra_lint
	$(BIN)/python -m pytest -q -n $(or $(WORKERS),2) tests/unit tests/property tests/model/test_walk.py tests/model/test_document.py

chaos: init  ## Run every fault scenario, `make chaos-NAME` one; SEED=N repeats a run
	$(BIN)/python -m tests.chaos run --all $(if $(SEED),--seed $(SEED)) $(ARGS)

chaos-soak: init  ## Strike at random under 200 jobs/s; MINUTES=30 SEED=N
	$(BIN)/python -m tests.chaos soak $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) $(ARGS)

chaos-outage: init  ## What jobs call goes down, with and without circuits side by side; MINUTES=2 RATE=10
	$(BIN)/python -m tests.chaos.outage $(if $(MINUTES),--minutes $(MINUTES)) $(if $(RATE),--rate $(RATE)) $(ARGS)

# One scenario each: make chaos-broker-killed; `python -m tests.chaos list` names them.
chaos-%: init
	$(BIN)/python -m tests.chaos run $* $(if $(SEED),--seed $(SEED)) $(ARGS)

bench: init  ## Measure; ARGS are passed on
	$(BIN)/python -m benchmarks $(ARGS)

bench-check: init  ## Measure, and fail if something became dearer than in benchmarks/baseline.json
	$(BIN)/python -m benchmarks $(ARGS)
	$(BIN)/python -m benchmarks.compare benchmarks/baseline.json build/bench.json

bench-peers: init  ## Measure Penstock beside other job systems; ARGS are passed on
	$(BIN)/python -m benchmarks.peers $(ARGS)

bench-learning: init  ## Judge what is learned on recorded jobs; TRACES=DIR, FINAL=1 reads the held-out days
	$(if $(TRACES),TRACES='$(TRACES)') OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.learning $(if $(FINAL),--final) $(ARGS)

bench-retry: init  ## Judge retry policies on recorded failures; TRACES=DIR, FINAL=1 reads what is held out
	$(if $(TRACES),TRACES='$(TRACES)') OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.retry $(if $(FINAL),--final) $(ARGS)

lock: $(VENV)/.created  ## Renew the locked requirements
	requirements/lock.sh

lock-jars: init  ## Renew the locked jars of Kafka
	$(BIN)/python -m adapters.embedded.lock_jars

generate: init  ## Write the generated schemas
	$(BIN)/python -m schemas.generate

clean:  ## Remove caches and build outputs; keeps .venv and data
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
