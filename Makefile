# Everything that is done with this repository, each by one word. `make` alone says which there are.
#
# It needs make, git and a Python of 3.11 or newer with its venv module. The rest is installed below .venv, with every
# package held to a hash, and into the cache that `make sandbox` fills once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Named after what the lock says, so that a changed lock makes a new environment and a touched one does not.
READY := $(VENV)/.made-from-$(shell cksum < requirements-dev.txt | tr ' ' '-')
COMPILED := $(VENV)/.bytecode
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header

# The tests wait more than they work; each process has control planes of its own, of up to a GiB each.
PROCESSES ?= 3
# All of the decisions and of the models is run by the tests, and those of tests/unit suffice.
COVERED = echo "Branch coverage of keyturn/core and keyturn/api:"; \
	$(BIN)/coverage report --include='*/keyturn/core/*,*/keyturn/api/*' --fail-under=100
# How long `make soak` is compared with the same sweeps in `make test`, and which draws it makes.
TIMES ?= 10
SEED := $(or $(SEED),$(shell date +%s))

comma := ,

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help venv demo demo-database run test programs unit test-kind test-matrix soak mutants redteam check bench bench-check sandbox docs chart image release generate format lock clean

help: ## say what there is
	@echo "Keyturn: make <target>"
	@sed -nE 's/^([a-z-]+):.*## (.*)/  \1\t\2/p' Makefile | expand -t 16

venv: $(READY) ## set up .venv from the locks

demo: $(READY) ## show the life of a secret on a real control plane; CLUSTER=kind for a new cluster of kind
	@$(BIN)/python -m demo $(if $(CLUSTER),--cluster "$(CLUSTER)")

demo-database: $(READY) ## then rotate the password of a real PostgreSQL under load, with a failed rollout and an emergency
	@$(BIN)/python -m demo --database

run: $(READY) ## run the operator of this checkout against the current context (YES=1: do not ask; ARGS="--namespace shop")
	@exec $(BIN)/python -m demo.checkout $(if $(YES),--yes) $(ARGS)

test: sandbox ## run every gate and every test; a skipped test fails it
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target check programs
	$(BIN)/python -m pytest --no-header $(if $(ARGS),,-p tests.support.complete) -n $(PROCESSES) --dist loadfile --no-loadscope-reorder --durations=40 --cov --cov-report= $(ARGS)
	$(if $(ARGS),,@$(COVERED))

programs: sandbox ## build the programs that tests need, or fetch them, into the cache
	@$(BIN)/python -m tests.support.programs

unit: $(READY) ## run the tests that need no cluster: minutes; ARGS="-k name" for some of them
	@$(BIN)/python -m tests.support.programs Vault
	$(BIN)/python -m pytest --no-header -q -n $(PROCESSES) --dist loadfile --no-loadscope-reorder --cov --cov-report= tests/unit $(ARGS)
	$(if $(ARGS),,@$(COVERED))

test-kind: sandbox ## run tests/e2e on a new cluster of kind, as root: needs Docker, Podman or nerdctl
	$(BIN)/python -m pytest --no-header --cluster=kind tests/e2e $(ARGS)

test-matrix: sandbox ## run the tests that depend on the API server on each older Kubernetes; RELEASES=1.34 for one
	@$(BIN)/python -m tests.matrix -n $(PROCESSES) $(RELEASES)

soak: sandbox programs ## run the sweeps longer and with other draws than make test does; TIMES=10, SEED=… for the same again
	KEYTURN_SOAK=$(TIMES) KEYTURN_SEED=$(SEED) $(BIN)/python -m pytest --no-header $(if $(ARGS),,-p tests.support.complete) -n $(PROCESSES) --dist loadfile \
		--hypothesis-seed=$(SEED) --timeout=$$((300 * $(TIMES))) tests/simulation tests/unit/offline/convert \
		tests/unit/core tests/unit/api tests/unit/kube/test_state_secret.py tests/unit/controllers/test_workqueue.py \
		tests/faults/test_churn.py tests/faults/test_kill_sweep.py \
		tests/faults/test_answers.py tests/faults/test_database_kills.py tests/faults/test_database_soak.py \
		tests/faults/test_database_lost_answers.py tests/databases \
		tests/e2e/test_size.py tests/e2e/test_weight.py $(ARGS)

mutants: $(READY) ## change 200 places of the code, and record how many of the changes a unit test or simulation notices: 20 to 45 minutes
	$(BIN)/python -m tests.mutants

redteam: sandbox ## attack the operator in a sandbox, and say what was held; ATTACKS=name,name for some of them
	@$(BIN)/python -m tests.redteam $(subst $(comma), ,$(ATTACKS))

check: $(COMPILED) ## run the gates that need no cluster: lint, format, types, layers, sizes, words, CRDs, docs
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo 2>&1
	$(BIN)/python .ci/sizes
	$(BIN)/python .ci/words
	$(BIN)/keyturn crds --check crds
	$(BIN)/python .ci/command-reference --check
	$(BIN)/python .ci/reason-tables --check
	$(BIN)/python .ci/alert-page --check

bench: $(READY) sandbox ## measure, and compare with a bare client in the same run
	$(BIN)/python -m benchmarks $(or $(ARGS),all)

bench-check: $(READY) sandbox ## fail if an object costs a tenth more processor than at the last kept commit
	$(BIN)/python -m benchmarks check $(ARGS)

sandbox: $(READY) ## build the control plane's programs into the cache, once
	@$(BIN)/python -m sandbox build

docs: $(READY) ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "site/index.html"

image: $(READY) ## build the operator's image into an archive; OUTPUT=… for where, else it is in the cache
	@$(BIN)/python -m release image $(if $(OUTPUT),--output "$(OUTPUT)")

chart: $(READY) ## assemble the Helm chart in dist/charts/keyturn
	@$(BIN)/python -m release chart

release: $(READY) ## make every file of a release into dist/, VERSION=…, signed with KEY=FILE or UNSIGNED=1; see docs/releases.md
	@$(BIN)/python -m release all --version "$(VERSION)" $(if $(KEY),--key "$(KEY)") $(if $(UNSIGNED),--unsigned) \
		$(foreach part,$(WITHOUT),--without $(part))

generate: $(READY) ## regenerate the CRDs, the API and command reference, the tables of reasons, and the alerts
	$(BIN)/keyturn crds --output crds
	$(BIN)/python .ci/command-reference
	$(BIN)/python .ci/reason-tables
	$(BIN)/python .ci/alert-page

format: $(READY) ## format the code and apply fixes of ruff
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format
	$(BIN)/ruff check

lock: $(READY) ## recompile the lock files; pins stay where pyproject.toml permits
	$(LOCK) pyproject.toml --output-file requirements-operator.txt
	$(LOCK) pyproject.toml --extra cli --output-file requirements.txt
	$(LOCK) pyproject.toml --extra cli --group dev --output-file requirements-dev.txt
	$(LOCK) --group build --output-file requirements-build.txt

clean: ## remove what was made here; the cache of programs stays
	rm -rf $(VENV) site dist .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

$(READY):
	@.ci/python-suits $(PYTHON)
	@echo "Setting up $(VENV), once"
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@.ci/install-packages $(BIN)/python requirements-dev.txt
	@touch $@

# What is imported in one test process after the other. A demo imports little, and does not wait for all of it.
$(COMPILED): $(READY)
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib
	@touch $@
