# Needs Python >= 3.11 and make, nothing else. `make help` lists the targets.
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

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/demo.stamp ## Run the main job end to end on real input (NATS=off: by HTTPS polling only)
	@$(BIN)/python -m marketplace.local.demo

run: $(VENV)/demo.stamp ## Run the whole site until Ctrl-C, with made-up people, working cars, and jobs
	@$(BIN)/python -m marketplace.local

test: $(VENV)/dev.stamp ## Run the test suite against real servers, on all cores
	@$(PYTEST)

test-long: $(VENV)/dev.stamp ## Run the long forms of tests: random runs, races, faults, pages in both themes
	@DRIVEWAY_LONG=1 $(PYTEST)

test-busy: $(VENV)/dev.stamp ## Run the slowest third of the tests again on a busy machine
	@$(BIN)/python -m tests.busy -- $(PYTEST) --slowest-third

test-clock: $(VENV)/dev.stamp ## Run all tests at another time: CLOCK=night, sunday, leap, year, or ISO (faketime)
	@$(BIN)/python -m tests.clock $(CLOCK) -- $(PYTEST)

test-commands: $(VENV)/dev.stamp ## Run every command that the documents name, in a short form
	@$(BIN)/python -m pytest -n auto --dist loadfile --durations 10 tests/commands

ci: test lint types layers migrations test-long test-commands test-busy ## Run all that CI checks

lint: $(VENV)/dev.stamp ## Check the style (ruff)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(VENV)/dev.stamp ## Check the types (mypy, strict)
	@$(BIN)/mypy marketplace accounts compute billing core

layers: $(VENV)/dev.stamp ## Check who imports whom (import-linter)
	@$(BIN)/lint-imports

migrations: $(VENV)/dev.stamp ## Check that no model changed without its migration
	@$(BIN)/python manage.py makemigrations --check --dry-run

format: $(VENV)/dev.stamp ## Format the code (ruff)
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

lock: $(VENV)/dev.stamp ## Compile requirements/*.txt from pyproject.toml, with hashes
	@BIN=$(BIN) requirements/lock

clean: ## Delete the local servers' data (nothing may be running)
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
