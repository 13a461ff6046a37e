# One way to run things, here and in CI. Needs Python 3.11-3.13 (pip, venv), git and make.
# The interpreter is found by itself; to choose one: rm -rf .venv && make setup PYTHON=python3.12

UV_REQUIREMENT := uv==0.13.8
CANDIDATES := $(if $(PYTHON),$(PYTHON),python3.11 python3.12 python3.13 python3)
SUPPORTED := import sys, venv, ensurepip; assert (3, 11) <= sys.version_info < (3, 14)
BIN := .venv/bin
STAMP := .venv/.synced
# Whatever the caller's shell has activated or set, uv works on ./.venv with its interpreter.
UV := env -u VIRTUAL_ENV UV_PROJECT_ENVIRONMENT=.venv UV_PYTHON_DOWNLOADS=never $(BIN)/uv

.DEFAULT_GOAL := help
.PHONY: help setup demo test check fmt bench lock
.DELETE_ON_ERROR:

help: ## List the commands.
	@echo "Usage: make <command>"
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-7s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

setup: $(STAMP) ## Create .venv with everything at its locked version (instant when up to date).

demo: $(STAMP) ## Run the demo.
	@$(BIN)/python -m examples.demo

test: $(STAMP) ## Run all tests in parallel; narrow them with ARGS="tests/unit -k name".
	@$(BIN)/pytest -n auto -q -ra $(ARGS)

check: $(STAMP) ## Check format, lint, types and the directions of imports; changes nothing.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: $(STAMP) ## Format the code and fix what can be fixed safely.
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

bench: $(STAMP) ## Run the benchmarks.
	@$(BIN)/python -m bench $(ARGS)

lock: $(BIN)/uv ## Resolve pyproject.toml into uv.lock, keeping versions; all newest with ARGS=--upgrade.
	$(UV) lock --default-index https://pypi.org/simple $(ARGS)

$(STAMP): pyproject.toml uv.lock | $(BIN)/uv
	@$(UV) sync --frozen --all-extras --python $(BIN)/python
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
	"$$found" -m venv --clear .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "$(UV_REQUIREMENT)"
