.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

# The first Python that is new enough; give another one with `make PYTHON=...`.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command "make lock"

.PHONY: setup
setup: $(VENV)/.installed-dev ## make the environment with everything for development

.PHONY: up
up: $(VENV)/.installed-runtime ## run everything on this machine: PostgreSQL, index, API on http://127.0.0.1:8000
	$(BIN)/rtrag up $(ARGS)

.PHONY: test
test: setup ## run the tests
	$(BIN)/pytest $(ARGS)

.PHONY: check
check: setup ## lint, formatting, types, direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: stack
stack: setup ## run the distributed system on this machine, without Docker; ZOOKEEPER=1 for Kafka 3.9 with ZooKeeper
	$(BIN)/rtrag stack up $(if $(ZOOKEEPER),--zookeeper) $(ARGS)

.PHONY: stack-down
stack-down: setup ## stop it; ARGS=--wipe removes its data
	$(BIN)/rtrag stack down $(ARGS)

# Edit streams are looked for in DATA: peps, or the sample where that is not there.
DATA ?= $(or $(RTRAG_TEST_DATA),tests/data/streams)
STREAM ?= $(if $(wildcard $(DATA)/peps.events.jsonl*),peps,sample)
.PHONY: stack-test
stack-test: stack ## replay an edit stream through it: DATA=folder STREAM=name
	$(BIN)/python benchmarks/edit_stream.py --stack --data $(DATA) --stream $(STREAM) $(ARGS)

.PHONY: bench-%
bench-%: setup ## run benchmarks/%.py (edit-stream, latency, ...) with ARGS="..."
	$(BIN)/python benchmarks/$(subst -,_,$*).py $(ARGS)

.PHONY: env-example
env-example: setup ## write .env.example from the definitions of the settings
	$(BIN)/python scripts/make_env_example.py

.PHONY: lock
lock: setup ## pin the newest versions that pyproject.toml allows; add ARGS=--upgrade to move on
	$(BIN)/pip install --quiet 'uv>=0.5,<1'
	$(COMPILE) pyproject.toml --output-file requirements/runtime.txt $(ARGS)
	$(COMPILE) --group build --output-file requirements/build.txt $(ARGS)
	$(COMPILE) pyproject.toml --extra distributed --output-file requirements/distributed.txt $(ARGS)
	$(COMPILE) pyproject.toml --extra distributed --group dev --output-file requirements/dev.txt $(ARGS)

.PHONY: build
build: setup ## build the wheel and the source archive in dist/
	$(BIN)/python -m build

.PHONY: clean
clean: ## remove caches and builds; the environment (.venv) and the data (.rtrag) stay
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests benchmarks scripts -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	scripts/make_venv.sh "$(PYTHON)" $(VENV)

# Hashes pin every package, those that build included; our own is only linked. Compiling what is never imported would
# take a third of the time; what a start imports is compiled here, whatever the environment says of bytecode, because
# without it every start takes seconds.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
LINK := $(INSTALL) --no-deps --no-build-isolation -e .
COMPILE_IMPORTED := @env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -c "import rtrag.entrypoints.cli.app, rtrag.entrypoints.cli.server"

$(VENV)/.installed-runtime: requirements/runtime.txt requirements/build.txt pyproject.toml | $(BIN)/python
	$(INSTALL) --require-hashes -r requirements/runtime.txt -r requirements/build.txt
	$(LINK)
	$(COMPILE_IMPORTED)
	@touch $@

$(VENV)/.installed-dev: requirements/dev.txt pyproject.toml | $(BIN)/python
	$(INSTALL) --require-hashes -r requirements/dev.txt
	$(LINK)
	$(COMPILE_IMPORTED)
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -c "import confluent_kafka, qdrant_client, redis.asyncio"
	@touch $@ $(VENV)/.installed-runtime
