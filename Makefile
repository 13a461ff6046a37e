# One way to run things, here and in CI. Needs Python 3.11-3.13 (pip, venv), git and make.
# The interpreter is found by itself; to choose one: rm -rf .venv && make setup PYTHON=python3.12

UV_REQUIREMENT := uv==0.13.8
CANDIDATES := $(if $(PYTHON),$(PYTHON),python3.11 python3.12 python3.13 python3)
SUPPORTED := import sys, venv, ensurepip; assert (3, 11) <= sys.version_info < (3, 14)
BIN := .venv/bin
# Tests start many processes; what the first one has compiled is there for the others.
unexport PYTHONDONTWRITEBYTECODE
STAMP := .venv/.synced
# Whatever the caller's shell has set, uv works on ./.venv and takes packages from PyPI only. It
# trusts the certificates the system trusts (as pip and git do), so it works behind a TLS proxy.
UV := env -u VIRTUAL_ENV -u UV_INDEX -u UV_EXTRA_INDEX_URL -u UV_FIND_LINKS \
	UV_DEFAULT_INDEX=https://pypi.org/simple UV_PROJECT_ENVIRONMENT=.venv \
	UV_PYTHON_DOWNLOADS=never UV_SYSTEM_CERTS=true $(BIN)/uv

.DEFAULT_GOAL := help
.PHONY: help setup demo test chaos check fmt bench lock
.DELETE_ON_ERROR:

help: ## List the commands.
	@echo "Usage: make <command>"
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-7s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP) ## Create .venv with everything at its locked version (instant when up to date).
	@echo "Ready: .venv ($$($(BIN)/python --version))"

demo: $(STAMP) ## Run the demo.
	@$(BIN)/python -m examples.demo

test: $(STAMP) ## Run all tests in parallel; narrow them with ARGS="tests/unit -k name".
	@$(BIN)/pytest -n $$($(BIN)/python -c 'import os; print(3 * (os.cpu_count() or 1))') -q -ra $(ARGS)

chaos: $(STAMP) ## Kill, freeze and cut off engines, workers and PostgreSQL under load, for minutes; SEED=7 chooses how.
	@$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) $(ARGS)

check: $(STAMP) ## Check format, lint, types, directions of imports and the lock; changes nothing.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	@$(UV) lock --check --offline --quiet 2>/dev/null || { echo "uv.lock lags behind pyproject.toml: run make lock" >&2; exit 1; }

fmt: $(STAMP) ## Format the code and fix what can be fixed safely.
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

bench: $(STAMP) ## Run the benchmarks.
	@$(BIN)/python -m bench $(ARGS)

lock: $(BIN)/uv ## Resolve pyproject.toml into uv.lock, keeping versions; all newest with ARGS=--upgrade.
	@$(UV) lock $(ARGS)

$(STAMP): pyproject.toml uv.lock | $(BIN)/uv
	@$(UV) sync --quiet --frozen --all-extras --python $(BIN)/python
	@touch $@

$(BIN)/uv:
	@set -e; found=; \
	for python in $(CANDIDATES); do \
		if "$$python" -c '$(SUPPORTED)' >/dev/null 2>&1; then found="$$python"; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
		echo "Tenuto needs Python 3.11, 3.12 or 3.13 with venv and pip; none of these is one: $(CANDIDATES)." >&2; \
		echo "Install one (Debian: apt install python3 python3-venv), or name yours: make setup PYTHON=/path/to/python3.12" >&2; \
		exit 1; \
	fi; \
	echo "Creating .venv with $$("$$found" --version) ($$found)"; \
	"$$found" -m venv --clear .venv; \
	echo "Installing the locked packages from PyPI"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$(UV_REQUIREMENT)"
