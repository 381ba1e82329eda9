# make            what there is
# make demo       install into .venv, train on handwritten digits: three notebooks at the same time
#
# PYTHON=/path/to/python reuses that environment instead of .venv and installs only what it lacks.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:
unexport PYTHONDONTWRITEBYTECODE # hundreds of processes import the package in `make test`: one of them compiles it

# Test files at a time, more than there are cores, because tests wait for each other; a file stays in one process,
# because its tests may share a run.
WORKERS ?= 4

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
	@echo "make lab       install what is missing and open JupyterLab here (ARGS=… for JupyterLab: make lab ARGS=--no-browser)"
	@echo "make test      lint, types, and all tests (about 9 minutes on 2 cores)"
	@echo "make lint      ruff and mypy only"
	@echo "make lab-build build the JupyterLab extension again, after a change in playground_ext/lab"
	@echo "make lab-check its types, unit tests, and that the built one is up to date"
	@echo "make format    let ruff format the code"
	@echo "make bench     the benchmarks in tests/benchmarks, one table each"
	@echo "make chaos     kills every party and the server at every step, and worse (an hour or more on 2 cores)"
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

.PHONY: lab
lab:
	$(call prepare,lab)
	@"$(PY)" -m playground_ext.runner lab $(ARGS)

.PHONY: test
test: lint lab-check
	@"$(PY)" -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(TESTS)

.PHONY: lint
lint:
	$(call prepare,lab dev)
	"$(PY)" -m ruff check .
	"$(PY)" -m ruff format --check .
	"$(PY)" -m mypy

.PHONY: lab-build
lab-build:
	$(call prepare,lab dev)
	@PYTHON="$(PY)" .ci/lab build
	$(call prepare,lab)

.PHONY: lab-check
lab-check:
	$(call prepare,lab dev)
	@PYTHON="$(PY)" .ci/lab

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
	$(call prepare,lab dev)
	@status=0; \
	"$(PY)" tests/chaos/sweep.py $(ARGS) || status=1; \
	CHAOS=1 "$(PY)" -m pytest tests/chaos --junitxml=chaos-results/tests.xml || status=1; \
	"$(PY)" tests/chaos/survival.py || status=1; exit $$status

.PHONY: clean
clean:
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis benchmark-results chaos-results screenshots
	find playground_ext tests templates kernels -type d \( -name __pycache__ -o -name .ipynb_checkpoints \) -exec rm -rf {} +
	rm -rf playground_ext/lab/lib playground_ext/lab/build
	@echo "Kept: .venv (rm -rf .venv removes it) and runs/ (what you trained)."
