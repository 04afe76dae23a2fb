# Every target makes .venv and installs what it needs on first use, and is silent when nothing is to do.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
SEED   ?= 1
JOBS   ?= 4
PACKAGING := .venv-package

.PHONY: help demo test check bench sim prove package lock clean
.DEFAULT_GOAL := help

help:            ## what can be made
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## ?/\t/' | expand -t 12

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Kafra needs Python 3.11 or later: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@echo "Setting up .venv (once) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(READY)   ## the main job on this machine: 200 simulated hosts, 1,000 players, hosts dying; about a minute
	@$(BIN)/kafra demo $(ARGS)

test: $(READY)   ## every test, with a real nats-server
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal --durations 20 --durations-min 5 $(ARGS)

check: $(READY)  ## lint, format, types, import contracts, generated docs
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo "make format"; exit 1; }
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo > $(VENV)/lint-imports.txt || { cat $(VENV)/lint-imports.txt; exit 1; }
	@$(BIN)/python -m libs.events.docs --check

format: $(READY) ## put every file in the house style
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .
	@$(BIN)/python -m libs.events.docs

bench: $(READY)  ## speed, each figure beside the bare NATS pipeline of the same run; JSON
	@$(BIN)/python -m bench $(ARGS)

sim: $(READY)    ## one seeded simulation: make sim SEED=7
	@$(BIN)/python -m tests.sim --seed $(SEED) $(ARGS)

prove: $(READY)  ## the full counts and the milliseconds, as one table (long)
	@$(BIN)/python -m bench.prove $(ARGS)

package: $(PACKAGING)/.ready  ## dist/kafra-agent: the agent alone, as one file for this system
	@PYTHONPATH=$(CURDIR) $(PACKAGING)/bin/pyinstaller --noconfirm --log-level ERROR --distpath dist --workpath build/package deploy/package/kafra-agent.spec
	@ls -l dist

$(PACKAGING)/.ready: pyproject.toml constraints.txt
	@echo "Setting up $(PACKAGING) (once) ..."
	@$(PYTHON) -m venv $(PACKAGING)
	@$(PACKAGING)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[package]'
	@touch $@

lock: $(READY)   ## write constraints.txt anew from what .venv holds
	@{ echo "# The versions Kafra is tested with. Renew: make lock. No download address belongs here."; $(BIN)/python -m pip freeze --exclude-editable | sort -f; } > constraints.txt

clean:           ## remove what the targets made
	@rm -rf $(VENV) $(PACKAGING) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info
