# Every target does the set-up it needs: git, make and Python 3.11 are enough. PYTHON=python3.12 takes another one.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# The theme's authors announce another product on every build.
export NO_MKDOCS_2_WARNING := 1

.PHONY: setup demo test lint docs format bench crosscheck faults fuzz clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@echo "Setting up $(VENV): the program, torch to train with, and the tools of tests and documentation."
	@echo "Minutes of downloading, 1.9 GB on disk with torch's build for CPUs, several more with that for CUDA."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --constraint constraints.txt --editable '.[dev]'
	touch $@

test: $(STAMP)
	$(BIN)/pytest

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy docs/hooks/generated_pages.py
	$(BIN)/mkdocs build --strict --quiet

docs: $(STAMP)
	$(BIN)/mkdocs build --strict

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

demo: $(STAMP)
	$(BIN)/robot-mbrl demo

bench: $(STAMP)
	$(BIN)/robot-mbrl bench bus
	$(BIN)/robot-mbrl bench host
	$(BIN)/robot-mbrl bench sim
	$(BIN)/robot-mbrl bench monitor

crosscheck: $(STAMP)
	$(BIN)/python -m robot_mbrl.benchmarks.crosscheck

faults: $(STAMP)
	$(BIN)/python -m robot_mbrl.benchmarks.stop_proof

fuzz: $(STAMP)
	$(BIN)/python -m robot_mbrl.benchmarks.fuzz_codecs

clean:
	rm -rf $(VENV) .crosscheck build dist
