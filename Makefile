# The GenMix study.  `make` alone prints what there is.
PROFILE ?= cpu
RUN     ?= $(PROFILE)
SET     ?=
REV     ?= HEAD
CORES   := $(shell nproc 2>/dev/null || getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
PYTHON  ?= python3

# RUN and PROFILE go into paths that are written and removed: a name is [A-Za-z0-9][A-Za-z0-9._-]* (genmix/run/names.py).
typed = $(if $(filter file,$(origin $(1))),$($(1)),$(value $(1)))
named = $(shell LC_ALL=C; case '$(subst ','\'',$(call typed,$(1)))' in (''|[!A-Za-z0-9]*|*[!A-Za-z0-9._-]*) ;; (*) echo yes;; esac)
$(foreach name,RUN PROFILE,$(if $(call named,$(name)),,$(error $(name) is "$(call typed,$(name))", but a name begins with a \
letter or a digit and has only letters, digits, ".", "_" and "-": choose another one)))
R := runs/$(RUN)

# SET reaches Python in the environment: no shell reads it, so that $$ ' ( ; & in paths stay what they are.
export GENMIX_SET := $(value SET)
export PYTHONUTF8 := 1

# An activated conda environment (not base) is used as it is; otherwise .venv, built from requirements.lock.
ifeq ($(filter-out base,$(CONDA_DEFAULT_ENV)),)
PY  := .venv/bin/python
ENV := .venv/.complete

# TORCH=cpu takes PyTorch from its own index, without CUDA; a .venv keeps its kind until another one is asked for.
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu
BUILT := $(if $(wildcard .venv/.cpu),cpu,default)
KIND  := $(or $(TORCH),$(BUILT))
$(if $(filter cpu default,$(KIND)),,$(error TORCH is "$(TORCH)": choose cpu, or default for what PyPI has))
CUDA  := $(filter Linux-default,$(shell uname -s)-$(KIND))
else
PY  := python
ENV :=
endif
RUNNER = $(PY) -m genmix --run $(RUN) --params params/$(PROFILE).yaml

# A make of its own sees as missing what --check found damaged; rules and parameters need no second look there.
CHECKED_MAKE = $(MAKE) --no-print-directory -j$(CORES) RUN_IS_CHECKED=yes

comma := ,

.DEFAULT_GOAL := help
.SUFFIXES:

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo; echo "RUN=name         another run folder (default: name of the profile)"
	@echo 'PROFILE=paper    another profile of params/'
	@echo 'SET="key=value"  parameters that differ, e.g.  make all RUN=mine SET="dataset=folder data_dir=/path/to/images"'
	@echo 'make 02_dcgan    one notebook and what it needs'

env: $(ENV) ## build .venv from requirements.lock; with TORCH=cpu it is a third as large

all: $(ENV) ## run the whole study into runs/cpu
	@$(RUNNER) --check
	@$(CHECKED_MAKE) chain

# COHORTS=24 are the seeds 100 to 123; COHORTS=100-111 those; dev cohorts have seeds from 9000 on.  SET is for dev cohorts alone.
study:      COHORTS ?= 24
study-real: COHORTS ?= 15
WORKERS ?= 0
DASK    ?=
IMAGES  ?= 250

study: $(ENV) ## the long run of PROTOCOL.md, COHORTS=24 of them, each kept in measured/study/ when it is finished (hours; a stopped one goes on)
	@$(PY) -m tools.study --cohorts '$(COHORTS)' --profile $(PROFILE) --set "$$GENMIX_SET" --workers '$(WORKERS)' --dask '$(DASK)' $(if $(KEEP),--keep)
	@$(PY) -m tools.readme

study-real: $(ENV) ## the same on a large set of real images, RUN=name, divided into COHORTS=15 of IMAGES=250: each kept in measured/real/name/ (hours)
	@$(PY) -m tools.study_real --name $(RUN) --cohorts '$(COHORTS)' --images '$(IMAGES)' --only '$(ONLY)' --profile $(PROFILE) \
	  --set "$$GENMIX_SET" --workers '$(WORKERS)' --dask '$(DASK)' $(if $(KEEP),--keep)
	@$(PY) -m tools.readme

tuning: $(ENV) ## equal tuning of each method, on dev cohorts (hours; a stopped one goes on); writes measured/tuning.csv, for PROTOCOL.md
	$(PY) -m genmix A5_tuning --run dev --params params/cpu.yaml
	$(PY) -m tools.checksums tuning.csv

curves: $(ENV) ## what more training lesions do for each generator, on dev cohorts (hours; shares those of the tuning); writes measured/data_size.csv
	$(PY) -m genmix A6_data_size --run dev --params params/cpu.yaml
	$(PY) -m tools.checksums data_size.csv

subgroups: $(ENV) ## performance by subtype, diameter and slice thickness, and failures, of a finished run (RUN=mine; seconds)
	@$(RUNNER) A7_subgroups

reliability: $(ENV) ## calibration, and how often a single hold-out picks the wrong arm, of a finished run (RUN=mine; seconds)
	@$(RUNNER) A8_reliability

noise: $(ENV) ## the same dev cohorts scanned with twice the noise (10 minutes; a stopped one goes on); writes measured/noise.csv
	@$(PY) -m tools.noise

map: $(ENV) ## when GenMix helps, by scarcity and defects of a generator, on dev phantoms (90 minutes on two cores; a stopped one goes on); writes measured/map.csv
	$(PY) -m genmix A3_map --run map --params params/cpu.yaml
	$(PY) -m tools.checksums map.csv
	$(PY) -m tools.readme

publish: $(ENV) ## write the outputs of a finished run into notebooks/, and its numbers into measured/quick.json
	@$(PY) -m tools.publish --run $(RUN)

verify: all ## execute what is missing, and say which numbers have moved from the committed ones (exit code 1 when one has)
	@$(PY) -m tools.verify --run $(RUN)

# nbdime reads nbdime_config.json only when it is called nbdiff (python -m nbdime would pass it over); its exit code says nothing.
nbdiff: $(ENV) ## what changed in the sources of the notebooks since REV=HEAD~1 (or between two: REV="HEAD~2 HEAD")
	@$(PY) -c 'import sys; sys.argv[0] = "nbdiff"; from nbdime.nbdiffapp import main; sys.exit(main())' $(REV) notebooks

test: $(ENV) lint ## check the code, and run the tests: each notebook once, and all that takes less than a minute
	$(PY) -m pytest -m "not long"

test-long: $(ENV) ## the tests that take minutes: whole chains that are killed, on CT, on folds, on other devices, and the studies of many cohorts
	$(PY) -m pytest -m long

# pyright reads the contracts alone (pyproject.toml lists them).  What the last two find is printed only when they fail.
lint: $(ENV) ## check style, imports between rooms, and the types of the contracts
	@$(PY) -m ruff check --quiet
	@$(PY) -m ruff format --check --quiet
	@out=$$($(PY) -c 'from importlinter.cli import lint_imports_command as lint; lint()' --no-cache 2>&1) || { echo "$$out"; exit 1; }
	@out=$$($(PY) -m basedpyright 2>&1) || { echo "$$out"; exit 1; }
	@echo "▸ ruff, import-linter and pyright find nothing"

book: $(ENV) ## the notebooks of a finished run as pages that open from disk: runs/cpu/book/index.html
	@$(PY) -m tools.book --run $(RUN)

# The benchmarks are no tests: pytest collects them only when they are named.
bench: $(ENV) ## measure speed against peers (GENMIX_PEERS=folder of their checkouts), as ratios within one run; writes measured/speed.csv
	GENMIX_HEADLESS=1 GENMIX_BENCH=measured/speed.csv $(PY) -m pytest -n 0 -s -rs tests/bench/bench_*.py
	$(PY) -m tools.readme

regime: $(ENV) ## choose the training regime again, on dev phantoms (20 minutes); writes measured/regime.csv
	$(PY) -m genmix A2_regime --run regime --params params/cpu.yaml
	$(PY) -m tools.checksums regime.csv

controls: $(ENV) ## train and sample the generators otherwise, on dev phantoms (half an hour and more; a stopped one goes on); writes measured/controls/
	$(PY) -m genmix A4_generator_controls --run controls --params params/cpu.yaml
	$(PY) -m tools.checksums $(addprefix controls/,about.json images.npz scores.csv training.csv)

base: $(ENV) ## make the small base model again, from photographs (hours on one core; a stopped run goes on where it was)
	$(PY) -m tools.base.pretrain
	$(PY) -m genmix A1_base_model --run base --params params/cpu.yaml

lab: $(ENV) ## open copies of the notebooks in JupyterLab, on this machine only (DIR=student, DIR=runs/cpu/notebooks: those)
	@$(PY) -m tools.lab '$(subst ','\'',$(if $(filter command,$(origin DIR)),$(value DIR)))'

# LAB=yes opens it; otherwise it is executed, which takes no finished run: its data are committed.
lesson: $(ENV) ## the lesson for a class, 80 minutes: executed into runs/cpu in 2 minutes; LAB=yes opens it in JupyterLab
	@$(if $(LAB),$(PY) -m tools.lab --first L_lesson,$(RUNNER) L_lesson)

lesson-pack: $(ENV) ## write the data of the lesson, measured/lesson/, from a finished run
	@$(PY) -m tools.lesson_pack --run $(RUN)

student: $(ENV) ## write the notebooks without solutions into student/ (those that were written into stay)
	@$(PY) -m tools.student

lock: ## pin the dependencies of pyproject.toml again (needs uv)
	uv pip compile --universal --python-version 3.11 --extra test --extra lint --extra ct --extra hub --extra cluster --extra book --no-header --no-annotate pyproject.toml -o requirements.lock

# A process that executes a notebook has its number in the lock of that notebook.
clean: ## remove the run folder of RUN
	@for lock in $(R)/notebooks/.*.lock; do \
	  holder=$$(cat "$$lock" 2>/dev/null); \
	  if [ -n "$$holder" ] && kill -0 "$$holder" 2>/dev/null; then \
	    echo "error: process $$holder executes a notebook of $(R): stop it first" >&2; exit 1; fi; done
	@if [ -L $(R) ]; then echo "▸ $(R) is a link: the link goes, what it points to stays"; rm $(R); \
	elif [ -d $(R) ]; then echo "▸ removing $(R), $$(du -sh $(R) | cut -f1): $$(ls $(R) | tr '\n' ' ')"; rm -rf $(R); \
	else echo "▸ there is no $(R)"; fi

# By uv where there is one (UV= takes pip all the same), in parts, each with a line.  requirements.lock alone pins.
UV      = $(shell command -v uv 2>/dev/null)
INSTALL = $(if $(UV),$(UV) pip install --quiet --compile-bytecode --python .venv/bin/python,.venv/bin/python -m pip install --quiet \
  --disable-pip-version-check)
NO_CPU  := ^(nvidia-|cuda-|triton==)
SIZES   = $(if $(CUDA),7 GB$(comma) 3.5 GB to download (TORCH=cpu: 2.5 and 0.8),2.5 GB$(comma) 0.8 GB to download)
torch_pins = $$(sed -nE 's/^(torch(vision)?==[^ ]+).*/\1$(1)/p' requirements.lock)
BRIEFLY := PIP_DEFAULT_TIMEOUT=15 PIP_RETRIES=1 UV_HTTP_TIMEOUT=15 UV_HTTP_RETRIES=1

.venv/.complete: requirements.lock pyproject.toml $(if $(filter $(KIND),$(BUILT)),,FORCE)
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if (3, 11) <= v < (3, 14) else f"error: Python {v[0]}.{v[1]} found, 3.11 to 3.13 needed: make PYTHON=python3.12 env")'
	@echo "▸ building .venv with $(if $(UV),uv,pip), once: $(SIZES), 3 to 15 minutes"
	@rm -f $@
	@$(PYTHON) -m venv $(if $(filter $(KIND),$(BUILT)),,--clear) .venv
	@$(if $(filter cpu,$(KIND)),touch,rm -f) .venv/.cpu
	@cp requirements.lock .venv/pins.txt
	@echo "▸ PyTorch"
ifeq ($(KIND)-$(shell uname -s),cpu-Linux)
	@if $(BRIEFLY) $(INSTALL) --no-deps --index-url $(TORCH_CPU_INDEX) $(call torch_pins,+cpu) 2>/dev/null; \
	then grep -vE '$(NO_CPU)' requirements.lock > .venv/pins.txt; \
	else echo "▸ $(TORCH_CPU_INDEX) is not reached, or lacks this version: PyTorch comes from PyPI, with CUDA, 4 GB more"; fi
endif
	@$(INSTALL) --no-deps $(call torch_pins)
ifneq ($(CUDA),)
	@echo "▸ CUDA, larger still (TORCH=cpu leaves it out)"
	@grep -E '$(NO_CPU)' requirements.lock | $(INSTALL) --no-deps -r /dev/stdin
endif
	@echo "▸ the other packages of requirements.lock"
	@$(INSTALL) -r .venv/pins.txt
	@echo "▸ the study itself"
	@$(INSTALL) --no-deps -e .
	@touch $@
	@echo "▸ .venv is ready: $$(du -sh .venv | cut -f1)"

# The study: one rule per notebook, written by genmix/run/notebooks.py from what the notebooks declare.  It is written anew
# when a file that it comes from has another content: dates may lie in the future.
RULES := .rules.mk
ifneq ($(filter-out help env lab lesson lesson-pack student lock lint clean,$(or $(MAKECMDGOALS),help)),)
ifndef RUN_IS_CHECKED
STAMP := \# $(shell find notebooks genmix measured \( -name '*.ipynb' -o -name '*.py' -o -name '*.csv' -o -name '*.npz' \) -exec cksum {} + | sort | cksum)
ifneq ($(STAMP),$(shell head -n 1 $(RULES) 2>/dev/null))
$(if $(shell { echo '$(STAMP)'; $(or $(wildcard .venv/bin/python),$(PYTHON)) -m genmix.run.notebooks; } > $(RULES).$$$$ \
  && mv $(RULES).$$$$ $(RULES) && echo yes; rm -f $(RULES).$$$$),,$(error the rules of the notebooks could not be written: \
  see the line above; name another Python as in PYTHON=python3.12, or give the study a folder that it may write to))
endif
endif
include $(RULES)
endif

.PHONY: help env all chain study study-real tuning curves subgroups reliability noise map publish verify nbdiff book test test-long lint bench regime controls base lab lesson lesson-pack student lock clean FORCE
FORCE:

# Written only when it changes, so that an unchanged run has nothing to do.
$(R)/params.yaml: $(if $(RUN_IS_CHECKED),,FORCE) | $(ENV)
	@$(RUNNER) --check

$(FIRST): $(R)/params.yaml
	@$(CHECKED_MAKE) $(R)/notebooks/$@.ipynb

.DEFAULT:
	@echo 'error: nothing makes $(subst ','\'',$@): make help lists the goals$(if $(FIRST),$(comma) and the notebooks are $(FIRST))' >&2; exit 1

chain: $(FIRST:%=$(R)/notebooks/%.ipynb)
	@echo "▸ $(R) is complete: open $(R)/results/table.md and $(R)/notebooks/"
