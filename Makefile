# make            what there is
# make demo       install into .venv, train on handwritten digits: three notebooks at the same time
#
# PYTHON=/path/to/python reuses that environment instead of .venv and installs only what it lacks.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:

# Test files at a time; a file stays in one process, because its tests may share a run.
WORKERS ?= 2

ifeq ($(strip $(PYTHON)),)
  PY := .venv/bin/python
  REUSE :=
else
  PY := $(PYTHON)
  REUSE := --python "$(PYTHON)"
endif

# Python with which to look at, and make, environments; any version will do to say that it is too old.
BASE := $(shell command -v python3 || command -v python || true)

# Complete the environment for the extras $(1). Quick, and offline, when nothing is missing.
define prepare
@test -n "$(if $(REUSE),$(PY),$(BASE))" || { \
  echo "Python 3.11 or newer is needed, and there is no python3 on the PATH (Debian: apt install python3 python3-venv)."; exit 1; }
@$(if $(BASE),"$(BASE)","$(PY)") .ci/environment.py $(REUSE) $(1)
endef

.PHONY: help
help:
	@echo "make demo      install what is missing and run three notebooks at once: FedAvg on handwritten digits"
	@echo "make test      lint, types, and all tests (about 10 minutes on 2 cores)"
	@echo "make lint      ruff and mypy only"
	@echo "make format    let ruff format the code"
	@echo "make bench     the benchmarks in tests/benchmarks, one table each"
	@echo "make chaos     kills parties at every step; comes with crash recovery, not there yet"
	@echo "make clean     remove caches and build outputs (keeps .venv and runs/)"
	@echo
	@echo "The first call installs into .venv (about 3 GB to download, 5.5 GB on disk, mostly PyTorch)."
	@echo "PYTHON=/path/to/python reuses an environment:  make demo PYTHON=\$$(command -v python3)"

.PHONY: demo
demo:
	$(call prepare,lab)
	@"$(PY)" -m playground_ext.runner run fed_avg
ifeq ($(REUSE),)
	@echo
	@echo "playground and jupyter are in .venv/bin; '. .venv/bin/activate' puts them on your PATH."
endif

.PHONY: test
test: lint
	@"$(PY)" -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(TESTS)

.PHONY: lint
lint:
	$(call prepare,lab dev)
	"$(PY)" -m ruff check .
	"$(PY)" -m ruff format --check .
	"$(PY)" -m mypy

.PHONY: format
format:
	$(call prepare,lab dev)
	"$(PY)" -m ruff check --fix-only .
	"$(PY)" -m ruff format .

.PHONY: bench
bench:
	$(call prepare,lab dev)
	@status=0; for script in tests/benchmarks/bench_*.py; do \
	  echo; echo "== $$script"; "$(PY)" "$$script" || status=1; \
	done; exit $$status

.PHONY: chaos
chaos:
	@echo "The chaos suite (kill every party at every step) comes with crash recovery and is not there yet."

.PHONY: clean
clean:
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis benchmark-results screenshots
	find playground_ext tests templates kernels -type d \( -name __pycache__ -o -name .ipynb_checkpoints \) -exec rm -rf {} +
	@echo "Kept: .venv (rm -rf .venv removes it) and runs/ (what you trained)."
