# Everything works from a fresh clone: each target installs what it needs into .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
SOURCES := src tests bench
SEEDS ?= 500
KILLS ?= 100
SEED ?= 1

.PHONY: help install demo test check fix simulate kills bench generate lock clean

help: ## Show this help
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(STAMP) ## Install into .venv, from the locked requirements

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: install ## Watch a project being set up, deployed and removed, on this machine, in half a minute
	@$(BIN)/reconciler demo

test: install ## Run all tests
	$(BIN)/python -m pytest $(TESTS)

check: install ## Format, lint, types, imports, generated files, promises
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/reconciler crds --check
	$(BIN)/reconciler docs check
	$(BIN)/python -m tests.promises

fix: install ## Format and mend what can be mended by itself
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

simulate: install ## Run SEEDS simulated histories with faults and kills on virtual time
	$(BIN)/python -m tests.simulation --seeds $(SEEDS)

kills: install ## Kill real operators at every point, and KILLS times at random moments drawn from SEED
	$(BIN)/python -m tests.kills --random $(KILLS) --seed $(SEED)

bench: install ## Measure; nothing is asserted
	$(BIN)/python -m bench

generate: install ## Write CRDs and reference pages anew
	$(BIN)/reconciler crds --write
	$(BIN)/reconciler docs write

lock: install ## Pin all dependencies with their hashes (needs uv, from any package manager)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --group dev --output-file requirements.lock pyproject.toml

clean: ## Remove everything that was made here
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
