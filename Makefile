# Everything starts here: nothing but Python 3.11, make and a package registry is needed.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
DATA ?= ../shared/data
# One thread per process: sums in another order give other bits, and two test processes share the cores.
ONE_THREAD := OMP_NUM_THREADS=1 POLARS_MAX_THREADS=1
PYTEST = $(ONE_THREAD) $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help demo test check format prove prove-sample bench results docs lock clean

help:  ## say what can be made
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*## /\t/' | expand -t 14

demo: $(VENV)/ready  ## set up, then train, evaluate, forecast and trade on the embedded market
	$(BIN)/longshort demo

test: $(VENV)/ready  ## set up, then run all tests and doctests
	TESTS=parts $(PYTEST) $(ARGS)
	TESTS=whole $(PYTEST) tests --no-loadscope-reorder -o addopts=--import-mode=importlib $(ARGS)

check: $(VENV)/ready  ## lint, formatting, types, and who may import whom
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright
	$(BIN)/lint-imports --no-cache

format: $(VENV)/ready  ## put code into its form
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

prove: $(VENV)/ready  ## the slow proofs; resumes; writes docs/proofs.md
	$(ONE_THREAD) $(BIN)/python -m tests.prove

prove-sample: $(VENV)/ready  ## five minutes of the slow proofs
	$(ONE_THREAD) $(BIN)/python -m tests.prove --sample

bench: $(VENV)/ready  ## nine coins, real hourly bars, walk-forward; the holdout stays sealed
	$(BIN)/python benchmarks/nine_coins.py --data $(DATA)

results: $(VENV)/ready  ## nine coins against every opponent, about a quarter of an hour; writes docs/results.md
	$(BIN)/python benchmarks/results.py --data $(DATA)

docs: $(VENV)/ready  ## run the README's commands, write down what they print, draw its picture
	$(BIN)/python -m tests.readme $(DATA)

lock:  ## resolve the lock file again, in a throw-away environment
	PYTHON="$(PYTHON)" .ci/lock

clean:  ## remove what was built
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/locked: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
		|| { echo "longshort needs Python 3.11: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@touch $@

$(VENV)/ready: $(VENV)/locked pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@
