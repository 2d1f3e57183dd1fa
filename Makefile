# Everything a checkout needs, from nothing: Python 3.11 or later and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CORE := $(VENV)/.core
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check
JOBS ?= 2
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help install demo test test-fast browser lint faults bench clean services-up services-down

help: ## list what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

$(CORE): pyproject.toml constraints.txt
	@echo "installing gapcast and what it always needs (numpy, numba, pyarrow, ...) in $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --quiet --no-compile -c constraints.txt -e .
	@touch $@

$(STAMP): $(CORE)
	@echo "installing what tests need in $(VENV), Dask, Spark and clients of the services included"
	@$(PIP) install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

install: $(STAMP) ## a virtual environment in .venv with gapcast and what its tests need

demo: $(CORE) ## the main job on real measurements: seven models forecast a withheld day of each sensor
	$(BIN)/gapcast run configs/quickstart.yaml

lint: $(STAMP) ## ruff and mypy (strict on engine/)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@mkdir -p build/ns/gapcast
	@for f in engine backends plugins; do ln -sfn $(CURDIR)/$$f build/ns/gapcast/$$f; done
	@ln -sfn $(CURDIR)/engine/gapcast/__init__.py build/ns/gapcast/__init__.py
	MYPYPATH=build/ns $(BIN)/mypy --namespace-packages --explicit-package-bases -p gapcast.engine

test: lint browser ## lint, then every test, in two processes (JOBS=2)
	$(PYTEST)

test-fast: lint ## lint, then unit and contract tests that need no cluster
	$(PYTEST) -m 'not cluster' tests/unit tests/contract

browser: ## chromium, in which tests open reports, where apt-get can install it
	@if ! { command -v chromium || command -v google-chrome; } >/dev/null; then \
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	    echo "installing chromium with apt-get: tests open reports in it"; \
	    { apt-get update && timeout 180 apt-get install -y --no-install-recommends chromium \
	      fonts-dejavu-core; } >/dev/null 2>&1 || echo "it cannot be installed: no report is opened"; \
	  else echo "no chromium here, and no right to install it: no report is opened"; fi; fi

faults: $(STAMP) ## kill runs at random moments, ROUNDS=500 times
	ROUNDS=$(or $(ROUNDS),500) $(BIN)/python -m pytest -q tests/faults

bench: $(STAMP) ## some of the tables of bench/README.md, one after the other (takes a while)
	$(PIP) install --quiet -c constraints.txt -e '.[bench]'
	for b in kernels parse job startup backends tsdb; do $(BIN)/python bench/$$b.py || exit 1; done

services-up: $(STAMP) ## Kafka, HDFS, HBase and OpenTSDB on this machine (needs Java 17 and Maven)
	@$(BIN)/python tests/services/up.py up build/services

services-down: ## end them
	@$(PYTHON) tests/services/up.py down build/services

clean: ## remove what was made
	rm -rf $(VENV) build runs .pytest_cache .mypy_cache .ruff_cache *.egg-info
