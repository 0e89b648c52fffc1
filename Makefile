# The environment and the everyday commands. `make` alone lists them.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help install search findings findings-quick test test-long test-pages test-cluster lint format docs notebooks clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile

install: $(INSTALLED) ## make .venv with the pinned versions (the other targets do this by themselves)

# The stamp comes last and goes first: a .venv without one was interrupted, and is made anew.
# PyTorch is its own step, so that the build of it that pip chose here is what the second step finds.
$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "deepPP needs Python 3.11 or newer, but $(PYTHON) is $$($(PYTHON) -V 2>/dev/null || echo missing): try make PYTHON=python3.12." >&2; \
	  exit 1; }
	@if [ -e $@ ]; then rm $@; else $(PYTHON) -m venv --clear .venv; fi
	@echo "Installing PyTorch into .venv"
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt torch==2.13.0
	@echo "Installing the other dependencies into .venv"
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-build-isolation --editable '.[dev,benchmarks]'
	@touch $@

search: $(INSTALLED) ## run the study studies/quick.yaml; its results go to runs/
	$(BIN)/deeppp search studies/quick.yaml

findings: $(INSTALLED) ## run every study in studies/ and rebuild studies/FINDINGS.md; an hour and a half on two cores
	$(BIN)/python -m studies.findings

findings-quick: $(INSTALLED) ## the same with few seeds and trials, in minutes; its page goes to runs/findings_quick/
	$(BIN)/python -m studies.findings --quick

# A search of a test has one worker: each costs seconds of imports, and the tests beside it need a core too.
ONE_WORKER := RAY_OVERRIDE_RESOURCES='{"CPU": 1}'

test: $(INSTALLED) ## run the tests, two at a time, but for those of test-long, test-pages and test-cluster
	$(ONE_WORKER) $(BIN)/python -m pytest -m 'not long and not browser and not cluster' -n 2 --dist loadfile --no-loadscope-reorder --durations 25

test-long: $(INSTALLED) ## run the tests that take minutes each: notebooks, hundreds of trials, searches after searches
	$(ONE_WORKER) $(BIN)/python -m pytest -m long -n 2 --dist loadfile --durations 0

test-pages: $(INSTALLED) ## run the tests that open the report and the MLflow UI in Chromium
	$(BIN)/python -m pytest -m browser

test-cluster: $(INSTALLED) ## run the tests on clusters and faults, two files at a time (hosts as network namespaces: needs root)
	$(BIN)/python -m pytest -m cluster -n 2 --dist loadfile --durations 15

lint: $(INSTALLED) ## check style, formatting, types and which room imports which
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED) ## sort imports and format the code
	$(BIN)/ruff check --select I --fix
	$(BIN)/ruff format

docs: $(INSTALLED) ## build the pages about the public names in Python, from their docstrings, into docs/api/
	$(BIN)/python docs/build.py

notebooks: $(INSTALLED) ## run the notebooks in docs/notebooks/ and store them with their outputs
	$(BIN)/python docs/execute.py

clean: ## remove .venv and everything that tools left behind; runs/ stays
	rm -rf .venv build dist docs/api *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './runs/*' -prune -exec rm -rf {} +
