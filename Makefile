# The GenMix study.  `make` alone prints what there is.
PROFILE ?= cpu
RUN     ?= $(PROFILE)
SET     ?=
REV     ?= HEAD
R       := runs/$(RUN)
CORES   := $(shell nproc 2>/dev/null || getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
PYTHON  ?= python3

# An activated conda environment (not base) is used as it is; otherwise .venv, built from requirements.lock.
ifeq ($(filter-out base,$(CONDA_DEFAULT_ENV)),)
PY  := .venv/bin/python
ENV := .venv/.complete
else
PY  := python
ENV :=
endif
RUNNER = $(PY) -m genmix --run $(RUN) --params params/$(PROFILE).yaml

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

help: ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo; echo "RUN=name         another run folder (default: name of the profile)"
	@echo 'PROFILE=paper    another profile of params/'
	@echo 'SET="key=value"  parameters that differ, e.g.  make all RUN=mine SET="dataset=folder data_dir=/path/to/images"'
	@echo 'make 02_dcgan    one notebook and what it needs'

env: $(ENV) ## build .venv from requirements.lock

all: $(ENV) ## run the whole study into runs/cpu
	@$(RUNNER) --check --set $(SET)
	@$(MAKE) --no-print-directory -j$(CORES) chain

study: $(ENV) ## the long run: 16 classifiers per arm, full statistics (an hour and more; a stopped one goes on); its tables are kept in measured/
	@$(MAKE) --no-print-directory all RUN=study SET="seeds=16 bootstrap_draws=10000 $(SET)"
	$(PY) -m tools.readme --from runs/study

sweep: $(ENV) ## the map: where GenMix helps, on dev phantoms (under 3 hours; a stopped one goes on); writes measured/sweep.csv
	$(PY) -m genmix A3_sweep --run sweep --params params/cpu.yaml
	$(PY) -m tools.readme

publish: $(ENV) ## write the outputs of a finished run into notebooks/, and its numbers into measured/quick.json
	@$(PY) -m tools.publish --run $(RUN)

verify: all ## execute what is missing, and say which numbers have moved from the committed ones (exit code 1 when one has)
	@$(PY) -m tools.verify --run $(RUN)

# nbdime reads nbdime_config.json only when it is called nbdiff (python -m nbdime would pass it over); its exit code says nothing.
nbdiff: $(ENV) ## what changed in the sources of the notebooks since REV=HEAD~1 (or between two: REV="HEAD~2 HEAD")
	@$(PY) -c 'import sys; sys.argv[0] = "nbdiff"; from nbdime.nbdiffapp import main; sys.exit(main())' $(REV) notebooks

test: $(ENV) lint ## check the code, and run the tests
	$(PY) -m pytest

# pyright reads the contracts alone (pyproject.toml lists them).  What the last two find is printed only when they fail.
lint: $(ENV) ## check style, imports between rooms, and the types of the contracts
	@$(PY) -m ruff check --quiet
	@$(PY) -m ruff format --check --quiet
	@out=$$($(PY) -c 'from importlinter.cli import lint_imports_command as lint; lint()' --no-cache 2>&1) || { echo "$$out"; exit 1; }
	@out=$$($(PY) -m basedpyright 2>&1) || { echo "$$out"; exit 1; }
	@echo "▸ ruff, import-linter and pyright find nothing"

book: $(ENV) ## the notebooks of a finished run as pages that open from disk: runs/cpu/book/index.html
	@$(PY) -m tools.book --run $(RUN)

bench: $(ENV) ## measure speed: ratios within one run
	$(PY) -m pytest tests/bench --benchmark-only -n 0

regime: $(ENV) ## choose the training regime again, on dev phantoms (20 minutes); writes measured/regime.csv
	$(PY) -m genmix A2_regime --run regime --params params/cpu.yaml

base: $(ENV) ## make the small base model again, from photographs (hours on one core; a stopped run goes on where it was)
	$(PY) -m tools.base.pretrain
	$(PY) -m genmix A1_base_model --run base --params params/cpu.yaml

lab: $(ENV) ## open the notebooks in JupyterLab, on this machine only
	$(PY) -m jupyterlab --ServerApp.ip=localhost --notebook-dir=notebooks

student: $(ENV) ## write the notebooks without solutions into student/ (what was written into them there is lost)
	@$(PY) -m tools.student

lock: ## pin the dependencies of pyproject.toml again (needs uv)
	uv pip compile --universal --python-version 3.11 --extra test --extra lint --extra ct --extra hub --extra cluster --extra book --no-header --no-annotate pyproject.toml -o requirements.lock

clean: ## remove the run folder of RUN
	rm -rf $(R)

.venv/.complete: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 14) else f"error: Python {v[0]}.{v[1]} found, 3.11 to 3.13 needed: make PYTHON=python3.12 env")'
	@echo "▸ building .venv (once; some minutes and gigabytes, mostly torch)"
	@rm -f $@
	@$(PYTHON) -m venv .venv
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

# The study: one rule per notebook, written by genmix/run/notebooks.py from what the notebooks declare.
RULES := .rules.mk
$(RULES): $(wildcard notebooks/*.ipynb genmix/*.py genmix/*/*.py genmix/*/*/*.py genmix/*/*/*/*.py measured measured/*)
	@$(PYTHON) -m genmix.run.notebooks > $@.part && mv $@.part $@
-include $(RULES)


.PHONY: help env all chain study sweep publish verify nbdiff book test lint bench regime base lab student lock clean FORCE
FORCE:

# Written only when it changes, so that an unchanged run has nothing to do.
$(R)/params.yaml: FORCE | $(ENV)
	@$(RUNNER) --check --set $(SET)

chain: $(FIRST:%=$(R)/notebooks/%.ipynb)
	@echo "▸ $(R) is complete: open $(R)/results/table.md and $(R)/notebooks/"
