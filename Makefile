.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
export DAGSTER_DISABLE_TELEMETRY := 1

.PHONY: help setup demo dev test test-slow test-chaos lint types architecture check lock clean

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk 'BEGIN {FS = ":.*## "} {printf "  make %-14s %s\n", $$1, $$2}'

setup: $(STAMP) ## Install everything into .venv (with uv where there is one, else venv and pip)

$(STAMP): pyproject.toml requirements.lock
	@echo "Installing into .venv; this takes a minute or two."
	@if command -v uv >/dev/null; then \
		{ [ -x $(BIN)/python ] || uv venv --quiet --python $(PYTHON) .venv; } && \
		VIRTUAL_ENV=.venv uv pip install --quiet --no-deps --requirement requirements.lock && \
		VIRTUAL_ENV=.venv uv pip install --quiet --no-deps --editable . ; \
	else \
		$(PYTHON) -m venv .venv && \
		$(BIN)/python -m pip install --quiet --no-deps --requirement requirements.lock && \
		$(BIN)/python -m pip install --quiet --no-deps --editable . ; \
	fi
	@touch $(STAMP)

demo: setup ## From a dataset file to a promoted prompt, without key or server
	@$(BIN)/promptory demo

dev: setup ## Start Dagster (UI on http://127.0.0.1:3000, sensors and schedules on)
	@$(BIN)/promptory db upgrade
	@$(BIN)/dg dev --host 127.0.0.1 --port 3000

test: setup ## Run the test suite (starts its own PostgreSQL)
	@$(BIN)/python -m pytest -n 3 --dist worksteal -m "not live and not slow and not chaos"

test-slow: setup ## Run the long harnesses, at a small part of their full scale
	@$(BIN)/python -m pytest -n 2 --dist loadfile -m slow --timeout 900 --durations 10

test-chaos: setup ## Run the execution core under kills and outages, many processes at once
	@$(BIN)/python -m pytest -m chaos --durations 20 tests/chaos

lint: setup ## Check style and formatting
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: setup ## Check types
	@$(BIN)/pyright

architecture: setup ## Check that imports point one way
	@$(BIN)/lint-imports

check: lint types architecture ## All static checks

lock: ## Resolve the dependencies anew (needs uv)
	@uv pip compile --quiet pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-annotate --custom-compile-command "make lock" --upgrade -o requirements.lock

clean: ## Remove what can be made again (keeps .promptory, your data)
	@rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
