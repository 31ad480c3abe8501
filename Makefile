# Needs Python >= 3.11 and make, nothing else. `make help` lists what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest -n auto --durations 10
CLOCK ?= night
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input install
export ORT_DISABLE_TELEMETRY := 1
ifeq ($(NATS),off)
export DRIVEWAY_NATS := off
endif

.DEFAULT_GOAL := help
.PHONY: help demo run test test-long test-busy test-clock test-commands ci lint types layers migrations format lock clean

help: ## This list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/demo.stamp ## Run the main job end to end on real input (NATS=off: over HTTPS polling only)
	@$(BIN)/python -m marketplace.local.demo

run: $(VENV)/demo.stamp ## Keep the whole site up, with people, cars, jobs and a made-up month in it, until Ctrl-C
	@$(BIN)/python -m marketplace.local

test: $(VENV)/dev.stamp ## Set up and run the test suite, against real servers, on all cores
	@$(PYTEST)

test-long: $(VENV)/dev.stamp ## The long forms of tests: more random runs, every page in both themes
	@DRIVEWAY_LONG=1 $(PYTEST)

test-busy: $(VENV)/dev.stamp ## The slowest third of the tests, as `make test` timed them, beside one busy loop a processor
	@$(BIN)/python -m tests.busy -- $(PYTEST) --slowest-third

test-clock: $(VENV)/dev.stamp ## All tests on another clock: CLOCK=night, sunday, leap, year or an ISO time (needs Debian's faketime)
	@$(BIN)/python -m tests.clock $(CLOCK) -- $(PYTEST)

test-commands: $(VENV)/dev.stamp ## Every command that the papers name, in a short form
	@$(BIN)/python -m pytest -n auto --dist loadfile --durations 10 tests/commands

ci: test lint types layers migrations test-long test-commands test-busy ## All that CI checks

lint: $(VENV)/dev.stamp ## Style (ruff)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/dev.stamp ## Types (mypy, strict)
	@$(BIN)/mypy marketplace accounts compute billing core

layers: $(VENV)/dev.stamp ## Who may import whom (import-linter)
	@$(BIN)/lint-imports

migrations: $(VENV)/dev.stamp ## No model change without its migration
	@$(BIN)/python manage.py makemigrations --check --dry-run

format: $(VENV)/dev.stamp ## Put the code in shape
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

lock: $(VENV)/dev.stamp ## Compile requirements/*.txt from pyproject.toml, with hashes
	@BIN=$(BIN) requirements/lock

clean: ## Forget the local servers' data (nothing may be running)
	rm -rf .driveway

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Driveway needs Python 3.11 or newer; set PYTHON=...")'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/demo.stamp: requirements/demo.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing what the demo needs, from hashes ..."
	@$(PIP) --require-hashes -r requirements/demo.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/dev.stamp: requirements/dev.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing what tests and checks need, from hashes ..."
	@$(PIP) --require-hashes -r requirements/dev.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/demo.stamp
