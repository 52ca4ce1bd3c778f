# make run     set up and start Reactor with its demo (nothing but Python 3.11 or later is needed)
# make test    everything: lint, types, tests on real servers, coverage, the wheel, crash and timing tests
# make check   lint, format and types only
# make format  let ruff rewrite what it can
# make pages   write the generated pages of docs/ anew (rules and requirements with their tests)
# make proto   generate the stubs of proto/ anew
# make bench | bench-peers | soak | lock | clean
# Use another interpreter with `make run PYTHON=python3.12`.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python -P
# `make test` wants more than so many percent of statements and branches together, of the whole and of each core part
# (engine, router, store): relax it here, and only here.
COVERAGE_FLOOR ?= 90
SERVERS := $(or $(REACTOR_TEST_CACHE),$(HOME)/.cache/reactor-tests)
PYTEST := $(PY) -m pytest -q
# The covered tests run in so many processes at once, each with servers of its own (2 GB a process are enough).
SIDES ?= 2
BESIDE := $(PY) tests/side_by_side.py $(SIDES)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Tests start Python hundreds of times: where this is set, each would compile all of Reactor anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test check lint types format pages proto bench bench-peers soak lock clean \
	setup-run setup-test setup-servers same-python test-covered test-uncovered

help:
	@sed -n 's/^# \{0,1\}//p; /^$$/q' Makefile

run: setup-run
	@$(VENV)/bin/reactor demo

test: setup-test setup-servers check test-covered test-uncovered
	@echo "make test: all green"

check: setup-test lint types

lint:
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .

types:
	$(PY) -m pyright --warnings

format: setup-test
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

test-covered: setup-test
	$(PY) -m coverage erase
	$(BESIDE) $(PY) -m coverage run --parallel-mode -m pytest -q -p reactor.tests.tidy.contexts -m "not uncovered"
	$(PY) -m coverage combine -q
	$(PY) -m coverage html -q
	$(PY) tests/coverage_summary.py $(COVERAGE_FLOOR)
	$(PY) tests/responsibilities.py

test-uncovered: setup-test
	$(BESIDE) $(PYTEST) -m "uncovered and not alone"
	$(PYTEST) -m alone

pages: setup-test
	$(PY) docs/generate.py

proto: setup-test
	$(PY) -m grpc_tools.protoc -Ireactor/proto=proto --python_out=.types --pyi_out=.types --grpc_python_out=.types \
		reactor/proto/v1/plugin.proto reactor/proto/v1/trigger.proto reactor/proto/v1/action.proto

bench: setup-test setup-servers
	$(PY) -m reactor.bench

bench-peers: setup-test setup-servers
	$(PY) -m reactor.bench.peers

soak: setup-test setup-servers
	REACTOR_SOAK=1 $(PYTEST) -o faulthandler_timeout=0 -m uncovered
	$(PY) -m reactor.bench.soak

# --- setting up: a second call does nothing ---

setup-run: same-python $(VENV)/.ready-run
setup-test: same-python $(VENV)/.ready-test
setup-servers: setup-test
	@$(PY) tests/servers/install.py "$(SERVERS)"

# An environment that is there already has its own interpreter: another one that is asked for would not be taken.
same-python:
ifeq ($(origin PYTHON),command line)
	@is=$$($(VENV)/bin/python -V 2>/dev/null) && asked=$$($(PYTHON) -V) && [ "$$is" != "$$asked" ] || exit 0; \
		echo "$(VENV) has $$is, not $$asked: run \`make clean\` first." >&2; exit 1
endif

$(VENV)/bin/python:
	@PYTHON="$(PYTHON)" sh deploy/make-venv.sh $(VENV)

$(VENV)/.ready-run: requirements.run.lock pyproject.toml setup.py | $(VENV)/bin/python
	@echo "Installing what Reactor needs into $(VENV) ..."
	@$(VENV)/bin/python -m pip install -q --require-hashes -r requirements.run.lock
	@$(VENV)/bin/python -m pip install -q --no-build-isolation --no-deps -e . 2>$(VENV)/install.log \
		|| { cat $(VENV)/install.log; exit 1; }
	@touch $@

$(VENV)/.ready-test: requirements.lock $(VENV)/.ready-run | $(VENV)/bin/python
	@echo "Installing what the tests need into $(VENV) ..."
	@$(VENV)/bin/python -m pip install -q --require-hashes -r requirements.lock
	@touch $@

# Needs `uv`. The second file is the part of the first that `make run` and the image install.
lock:
	uv pip compile pyproject.toml --all-extras $(LOCK_FLAGS) -o requirements.lock
	uv pip compile pyproject.toml deploy/build.in --extra kafka --extra nats --extra postgres \
		-c requirements.lock $(LOCK_FLAGS) -o requirements.run.lock
LOCK_FLAGS := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header -q

clean:
	rm -rf $(VENV) .coverage .coverage.* htmlcov dist build *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.types/*' -prune -exec rm -rf {} +
