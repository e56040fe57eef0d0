# `make run` and `make test` work on a fresh checkout.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# One more than two cores, because tests of delivery mostly wait.
WORKERS ?= 3
SYSTEM_PACKAGES := PATH="$(PATH):/usr/sbin:/sbin" sh tests/system-packages.sh

# Compiled modules save half a second at the start of each command.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: run test check bench chaos mutants pins clean
.DEFAULT_GOAL := run

run: $(VENV)/.run
	@exec $(BIN)/flask demo

test: $(VENV)/.test check
	@$(SYSTEM_PACKAGES) postgresql chromium curl libatomic
	$(BIN)/pytest -n $(WORKERS) $(PYTEST_ARGS)

# Lint, formatting, types and import contracts: the first part of `make test`.
check: $(VENV)/.test
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.ui.formatting
	$(BIN)/djlint templates --lint --quiet

# The queues that `deliver.peer` compares with have their own environment; two of them need Redis.
bench: $(VENV)/.test $(VENV)-peers/.done
	@$(SYSTEM_PACKAGES) postgresql
	-@$(SYSTEM_PACKAGES) redis
	@$(BIN)/python -m tests.bench $(BENCHES)

$(VENV)-peers/.done: tests/bench/peers/requirements.txt
	@test -x $(VENV)-peers/bin/python || $(PYTHON) -m venv $(VENV)-peers
	@$(VENV)-peers/bin/pip install --quiet --disable-pip-version-check -r tests/bench/peers/requirements.txt
	@touch $@

# Kill delivery workers hundreds of times on both databases and print the outcome. Takes minutes.
chaos: $(VENV)/.test
	@$(SYSTEM_PACKAGES) postgresql
	@$(BIN)/python -m tests.chaos

# Mutate the modules that differ from BASE, or MODULES=app/delivery/retry_policy.py, and list what no test noticed.
# TESTS= chooses the tests, SAMPLE=50 at most 50 mutants of each module. Takes minutes for a module.
BASE ?= main
mutants: $(VENV)/.test
	@$(BIN)/python -m tests.mutants $(MODULES) --base $(BASE) --workers $(WORKERS) $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(TESTS),--tests $(TESTS))

# Pin the dependencies of pyproject.toml with hashes and without an index address.
pins: $(VENV)/.test
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet -o requirements.txt
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --quiet -c requirements.txt -o requirements-dev.txt

$(VENV)/.run: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit("PO Confirm needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" if sys.version_info < (3, 11) else 0)'
	@echo "Setting up $(VENV) (a minute, the first time only) ..." >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

$(VENV)/.test: requirements-dev.txt $(VENV)/.run
	@echo "Installing test dependencies ..." >&2
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

clean:
	rm -rf .mutants $(VENV) $(VENV)-peers .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
