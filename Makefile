# Needs git, make and Python 3.11 or newer. Everything else goes into .venv, at the versions and
# hashes of requirements/; a second call installs nothing.
#
# `demo` builds the dashboard where its sources changed, and shows how far that is; pip would do the
# same in silence.
#
# The locks are whole, so pip resolves nothing (--no-deps). Where it did, some versions of pip took
# the newest release of a requirement with an extra (coverage[toml]) and then refused it for want
# of a hash.

PYTHON ?= python3
UV     ?= uv
# Passed on by demo, test, exact and bench: make test ARGS="tests/core -x"
ARGS   ?=

BIN := .venv/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet

BENCHMARKS := fanout sending connections ingest calls latency scale compression

.DEFAULT_GOAL := help
.PHONY: help demo test check format types exact mutants bench lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

demo: .venv/.runtime ## Run everything on this machine: Valkey, hub, paper agent; prints a URL and a token
	@$(BIN)/python -m dashboard.shipping
	@exec $(BIN)/tapecast demo $(ARGS)

# pytest comes last and its summary line closes the output; it fails below complete branch
# coverage of protocol and core.
test: check ## Every check, then every test
	@$(BIN)/pytest -n 2 --cov --cov-report=term $(ARGS)

check: .venv/.dev ## Lint, format, types and the direction of imports
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: .venv/.dev ## Rewrite the code as `check` wants it
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

types: .venv/.dev ## Write the dashboard's types of protocol and payloads anew
	@$(BIN)/python -m tests.dashboard.generate

exact: .venv/.dev ## The tests of exact delivery at full size: minutes, with Valkey killed and frozen
	@$(BIN)/pytest -m exact --full-size --timeout 900 $(ARGS)

mutants: .venv/.dev ## Break the core in every known way, and show which check notices
	@$(BIN)/python -m tests.mutants

bench: .venv/.dev ## Run each benchmark shortly, one JSON line each: within five minutes
	@set -e; for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$name --short $(ARGS); done

# The lower locks are constrained by the whole one, so that a package has one version everywhere.
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

lock: ## Lock the dependencies anew (needs uv); ARGS=--upgrade takes the newest in range
	@$(COMPILE) $(ARGS) --group build --group dev pyproject.toml -o requirements/dev.txt
	@$(COMPILE) -c requirements/dev.txt pyproject.toml -o requirements/runtime.txt
	@$(COMPILE) -c requirements/dev.txt --group build -o requirements/build.txt
	@$(COMPILE) --group node -o requirements/node.txt
	@$(COMPILE) --extra ccxt pyproject.toml -o requirements/ccxt.txt
	@$(COMPILE) --group parquet -o requirements/parquet.txt

clean: ## Remove what was installed, built or cached
	@rm -rf .venv build dist dashboard/dist dashboard/dist-app dashboard/node_modules \
		hub/server/dashboard .coverage .coverage.* .hypothesis .*_cache
	@find hub producers tests benchmarks dashboard -type d -name __pycache__ -prune -exec rm -rf {} +

.venv/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Tapecast needs Python 3.11 or newer, $(PYTHON) is " + sys.version.split()[0] + ": name another with make PYTHON=...")'
	@$(PYTHON) -m venv .venv

.venv/.runtime: .venv/pyvenv.cfg pyproject.toml hub/__init__.py requirements/build.txt requirements/runtime.txt
	@echo "Installing Tapecast into .venv ..."
	@$(PIP) install --require-hashes --no-deps -r requirements/build.txt -r requirements/runtime.txt
	@TAPECAST_DASHBOARD=skip $(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.dev: .venv/.runtime requirements/dev.txt
	@echo "Installing what the checks and tests need ..."
	@$(PIP) install --require-hashes --no-deps -r requirements/dev.txt
	@touch $@
