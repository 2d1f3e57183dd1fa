# Everything a checkout needs, from nothing: Python 3.11 or later and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
CORE := $(VENV)/.core
STAMP := $(VENV)/.installed
PIP := $(BIN)/python -m pip --disable-pip-version-check
JOBS ?= 2
PROGRAMS := chromium fonts-dejavu-core influxdb mosquitto postgresql prometheus
POLICY := /usr/sbin/policy-rc.d
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder

# What is installed here is run more than once: its bytecode is worth keeping.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo test test-fast programs lint faults bench suite clean services-up services-down

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

test: lint programs ## lint, then every test, in two processes (JOBS=2)
	$(PYTEST)

test-fast: lint ## lint, then unit and contract tests that need no cluster
	$(PYTEST) -m 'not cluster' tests/unit tests/contract

# No server begins with its installation (policy-rc.d) or with the machine (a unit that is masked).
programs: ## what tests run beside Python, from Debian's packages, where apt-get can install it
	@missing=$$(for p in $(PROGRAMS); do dpkg -s $$p >/dev/null 2>&1 || echo $$p; done); \
	if [ -z "$$missing" ]; then exit 0; \
	elif command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	  echo "installing with apt-get what tests run:" $$missing; \
	  for p in $$missing; do case $$p in influxdb|postgresql|prometheus) mkdir -p /etc/systemd/system; \
	    ln -s /dev/null /etc/systemd/system/$$p.service 2>/dev/null;; esac; done; \
	  if [ ! -e $(POLICY) ]; then trap 'rm -f $(POLICY)' EXIT; \
	    printf '#!/bin/sh\nexit 101\n' >$(POLICY); chmod +x $(POLICY); fi; \
	  apt-get update >/dev/null 2>&1; \
	  for p in $$missing; do DEBIAN_FRONTEND=noninteractive timeout 300 apt-get install -y \
	    --no-install-recommends $$p >/dev/null 2>&1 || echo "$$p cannot be installed: tests of it are skipped"; done; \
	else echo "tests of these are skipped, there is no right to install them:" $$missing; fi

faults: $(STAMP) ## damage records, EXAMPLES=10000 of each kind; kill runs at random moments, ROUNDS=500 times
	EXAMPLES=$(or $(EXAMPLES),10000) $(PYTEST) -q --timeout 0 tests/unit/test_fuzz.py
	ROUNDS=$(or $(ROUNDS),500) $(BIN)/python -m pytest -q tests/faults

bench: $(STAMP) ## some of the tables of bench/README.md, one after the other (takes a while)
	$(PIP) install --quiet -c constraints.txt -e '.[bench]'
	for b in kernels parse job startup backends tsdb; do $(BIN)/python bench/$$b.py || exit 1; done

suite: ## the sets of bench/networks.py in build/suite, in an environment of their own
	@$(PYTHON) -m venv build/suite/.venv
	@build/suite/.venv/bin/python -m pip --disable-pip-version-check install --quiet --no-deps --no-compile \
	  -r bench/suite/requirements.txt
	PYTHONPATH=bench build/suite/.venv/bin/python -m suite.building build/suite

services-up: $(STAMP) ## Kafka, HDFS, HBase and OpenTSDB on this machine (needs Java 17 and Maven)
	@$(BIN)/python tests/services/up.py up build/services

services-down: ## end them
	@$(PYTHON) tests/services/up.py down build/services

clean: ## remove what was made
	rm -rf $(VENV) build runs .pytest_cache .mypy_cache .ruff_cache *.egg-info
