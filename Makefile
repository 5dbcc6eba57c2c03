# `make help` lists the commands. Everything is installed into .venv; nothing else is touched.

VENV   := .venv
BIN    := $(VENV)/bin
EXTRAS := test
DATA   := $(firstword $(wildcard $(HOME)/.keras/datasets/mnist.npz) mnist.npz)
PYTHON := $(shell for python in python3 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo "$$python" && break; done)
INPUTS := pyproject.toml constraints.txt
# One process more than two cores have: tests wait for servers, deadlines and disks.
PYTEST := $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help train test test-fast lint bench clean

help:  ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

train: $(VENV)/train.stamp  ## install, then train the main job: MNIST, tracked (ARGS="--epochs 5" adds flags)
	$(BIN)/python train.py $(ARGS)
	@echo "From here, activate the environment once in each shell:  . $(BIN)/activate" >&2
	@echo "Then every command works, such as:                       python -m experiment list" >&2

test: lint  ## install what tests need, then lint, check types and run every test
	$(PYTEST) $(ARGS)

test-fast: $(VENV)/test.stamp  ## run all but whole processes and slow tests, for daily work
	$(PYTEST) --ignore tests/whole -m "not slow" $(ARGS)

lint: $(VENV)/test.stamp  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/bench.stamp  ## time this pipeline beside its peers (DATA=mnist.npz, ARGS="--rounds 3")
	$(BIN)/python -m benchmarks $(DATA) $(ARGS)

clean:  ## remove the virtual environment and caches; runs/ stays
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build *.egg-info

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed and none was found on PATH." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/train.stamp: $(VENV)/bin/python $(INPUTS)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/test.stamp: $(VENV)/bin/python $(INPUTS)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[$(EXTRAS)]"
	@touch $@ $(VENV)/train.stamp

$(VENV)/bench.stamp: $(VENV)/bin/python $(INPUTS)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[bench,sweep]"
	@touch $@ $(VENV)/train.stamp
