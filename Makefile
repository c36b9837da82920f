.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
PY := $(VENV)/bin/python
NPM_QUIET := --no-save --no-audit --no-fund --ignore-scripts --loglevel=error
export PYTHONUNBUFFERED := 1
# What `make check` runs: rooms whose tests take a fraction of a second each, and one payment the whole way.
QUICK := $(addprefix tests/,tidy unit contracts properties connectors journeys/test_first_payment.py \
  $(addprefix integration/,controls keys kit ledger migrations payments records rest))
# Compiled modules are kept: without them a start takes twice as long.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help
help: ## what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.ready: requirements.lock pyproject.toml
	@test -x $(PY) || python3 -m venv $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check "uv>=0.5"
	$(VENV)/bin/uv pip install --quiet --python $(PY) --require-hashes -r requirements.lock
	$(VENV)/bin/uv pip install --quiet --python $(PY) --no-deps -e .
	@touch $@

# Not npm ci: it fails where a registry lacks the chain binaries of other systems, which nobody here needs.
node_modules/.ready: package-lock.json
	@if command -v npm >/dev/null; then npm install --omit=dev $(NPM_QUIET) && touch $@; \
	else echo "npm is not here: no compiler and no anvil; the embedded chain is used instead."; fi

node_modules/.dev: node_modules/.ready
	@if command -v npm >/dev/null; then npm install $(NPM_QUIET) && touch $@; fi

.PHONY: setup
setup: $(VENV)/.ready node_modules/.ready ## install what is needed into .venv and node_modules

.PHONY: setup-dev
setup-dev: setup node_modules/.dev ## that, and what only the tests need from npm

build/slither/.ready: requirements-slither.lock $(VENV)/.ready
	@mkdir -p build && python3 -m venv build/slither
	$(VENV)/bin/uv pip install --quiet --python build/slither/bin/python --require-hashes -r requirements-slither.lock
	@touch $@

.PHONY: slither
slither: setup build/slither/.ready ## look the contracts over with slither
	$(PY) scripts/slither_contracts.py

build/halmos/.ready: requirements-halmos.lock $(VENV)/.ready
	@mkdir -p build && python3 -m venv build/halmos
	$(VENV)/bin/uv pip install --quiet --python build/halmos/bin/python --require-hashes -r requirements-halmos.lock
	@touch $@

.PHONY: proofs
proofs: setup build/halmos/.ready ## prove the hub's accounting, and refute a bug with each proof
	$(PY) scripts/prove_contracts.py --json build/proofs.json

.PHONY: mutants
mutants: setup ## how many small wrong changes of the contracts the tests notice
	$(PY) scripts/mutate_contracts.py

build/mutmut.ready: requirements-mutmut.lock $(VENV)/.ready
	@mkdir -p build
	$(VENV)/bin/uv pip install --quiet --python $(PY) --require-hashes -r requirements-mutmut.lock
	@touch $@

.PHONY: mutants-service
mutants-service: setup-dev build/mutmut.ready ## how many small wrong changes of ledger, money, lanes, orders and keys the tests notice
	$(PY) scripts/mutate_service.py

.PHONY: demo
demo: setup ## 2,000 real cross-border payments through the chain, from an empty folder
	@mkdir -p build
	@$(VENV)/bin/chainwallet demo --json build/demo.json

.PHONY: run
run: setup ## the service with demo data on http://127.0.0.1:8000
	@$(VENV)/bin/chainwallet serve --demo --host 127.0.0.1 --port 8000

.PHONY: contracts
contracts: setup ## compile the contracts into the committed artifacts
	$(PY) scripts/compile_contracts.py

.PHONY: format
format: setup ## rewrite the code in the house's style
	$(VENV)/bin/ruff format src tests scripts
	$(VENV)/bin/ruff check --fix --quiet src tests scripts

.PHONY: lint
lint: setup ## style, types and floors
	$(VENV)/bin/ruff format --check --quiet src tests scripts
	$(VENV)/bin/ruff check --quiet src tests scripts
	$(VENV)/bin/mypy --no-error-summary
	$(VENV)/bin/lint-imports --no-cache --verbose > build/floors.txt || { cat build/floors.txt; exit 1; }

.PHONY: check
check: build-folder setup-dev lint ## lint and the fast tests: two minutes
	$(VENV)/bin/pytest -n 2 --dist loadfile -m "not slow and not soak" $(QUICK)

.PHONY: test
test: build-folder setup-dev build/slither/.ready lint ## everything: what CI runs
	$(VENV)/bin/pytest -n 2 --dist loadfile -m "not soak" tests

.PHONY: test-slow
test-slow: build-folder setup-dev build/halmos/.ready ## the long runs: state machines, markets, proofs, mutants; hours
	$(VENV)/bin/pytest -n 2 --dist loadfile -m soak tests

.PHONY: bench
bench: build-folder setup ## speed beside its ceiling, as JSON and a plot in build/
	$(PY) scripts/bench.py --json build/bench.json --plot build/bench.png
	$(PY) scripts/bench_market.py --json build/bench-market.json
	$(PY) scripts/market_worth.py --json build/market-worth.json

.PHONY: chaos
chaos: build-folder setup ## kill, cut off and lie to the running service; SCALE=0.1 for a tenth of it, SEED to play again
	$(PY) scripts/chaos.py --scale $(or $(SCALE),1) --seed $(or $(SEED),20260101) --json build/chaos.json

.PHONY: gas
gas: setup ## what a payment costs in gas, beside what others charge
	$(PY) scripts/gas.py

.PHONY: build-folder
build-folder: setup
	@mkdir -p build

.PHONY: lock
lock: setup ## renew the hashes of the dependencies' versions
	$(VENV)/bin/uv pip compile --quiet --extra dev --generate-hashes --no-header --no-annotate --no-emit-index-url \
	  --no-emit-find-links pyproject.toml -o requirements.lock
	$(VENV)/bin/uv pip compile --quiet --group pyproject.toml:slither --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links -o requirements-slither.lock
	$(VENV)/bin/uv pip compile --quiet --group pyproject.toml:halmos --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links -o requirements-halmos.lock
	$(VENV)/bin/uv pip compile --quiet --group pyproject.toml:mutmut -c requirements.lock --generate-hashes --no-header \
	  --no-annotate --no-emit-index-url --no-emit-find-links -o requirements-mutmut.lock
