# Two commands matter: `make run` and `make test`. Both work on a fresh checkout.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
WORKERS ?= 2
PARTS  := PATH="$(PATH):/usr/sbin:/sbin" sh tests/system-parts.sh

.PHONY: run test check bench chaos pins clean
.DEFAULT_GOAL := run

run: $(VENV)/.run
	@exec $(BIN)/flask demo

test: $(VENV)/.test check
	@$(PARTS) postgresql chromium curl
	$(BIN)/pytest -n $(WORKERS) $(PYTEST_ARGS)

# Lint, types and import contracts: the first half of `make test`.
check: $(VENV)/.test
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The peers of `deliver.peer` live in an environment of their own; two of them want a redis-server.
bench: $(VENV)/.test $(VENV)-peers/.done
	@$(PARTS) postgresql
	-@$(PARTS) redis
	@$(BIN)/python -m tests.bench $(BENCHES)

$(VENV)-peers/.done: tests/bench/peers/requirements.txt
	@test -x $(VENV)-peers/bin/python || $(PYTHON) -m venv $(VENV)-peers
	@$(VENV)-peers/bin/pip install --quiet --disable-pip-version-check -r tests/bench/peers/requirements.txt
	@touch $@

# Deliverers killed hundreds of times on both databases; prints what that did. Some minutes.
chaos: $(VENV)/.test
	@$(PARTS) postgresql
	@$(BIN)/python -m tests.chaos

# The pinned requirements carry hashes and no index address.
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
	@echo "Installing what the tests need ..." >&2
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

clean:
	rm -rf $(VENV) $(VENV)-peers .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
