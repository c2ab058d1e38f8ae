# Two commands, each from nothing: `make demo` shows what prunus does, `make test` checks that it does it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint types contracts unit snippets bench reproduce-quick clean
.DEFAULT_GOAL := demo

demo: $(VENV)/installed
	$(BIN)/prunus run demo

test: lint types contracts unit snippets

lint: $(VENV)/developing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/developing
	$(BIN)/mypy

contracts: $(VENV)/developing
	$(BIN)/lint-imports --no-cache

unit: $(VENV)/developing
	$(BIN)/pytest

snippets: $(VENV)/developing
	$(BIN)/python tests/snippets.py README.md docs/extending.md docs/guides/*.md

bench: $(VENV)/developing
	$(BIN)/python benchmarks/holding.py
	$(BIN)/python benchmarks/selection.py
	$(BIN)/python benchmarks/scoring.py
	$(BIN)/python benchmarks/calibration.py
	$(BIN)/python benchmarks/trees.py
	$(BIN)/python benchmarks/tickets.py

# Ends with an error where a claim of a paper does not hold at the small scale.
reproduce-quick: $(VENV)/developing
	$(BIN)/python reproductions/frankle_carbin_2019.py --quick
	$(BIN)/python reproductions/zhou_2019.py --quick
	$(BIN)/python reproductions/paganini_forde_2020.py --quick
	$(BIN)/python reproductions/morcos_2019.py --quick
	$(BIN)/python reproductions/renda_2020.py --quick
	$(BIN)/python reproductions/frankle_2020.py --quick

# torch first and pinned: without the constraint pip takes a build of several gigabytes
$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "prunus needs Python 3.11 or later: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r constraints.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/developing: $(VENV)/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
