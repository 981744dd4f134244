# trackweave: raw camera footage in, a person re-identification model out. `make help` lists what can be set.
# Make knows the order; Python knows what is stale. Values travel through the environment, so that spaces, quotes
# and non-ASCII in paths survive the shell.

SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV ?= .venv
PY := $(VENV)/bin/python
STAGES := ingest detect track crop isolate camera_labels associate train identify ground_truth evaluate export
# What is set on make's command line or in the environment reaches Python by itself; these are also set here.
export RUN VIDEOS TOPOLOGY GROUND_TRUTH DETECTOR BACKBONE WEIGHTS CONFIG
export YOLO_AUTOINSTALL := false

# A published benchmark has a run of its own, unless one is named.
ifneq ($(DATASET),)
RUN := $(if $(RUN),$(RUN),runs/$(DATASET)-$(if $(METHOD),$(METHOD),weave)$(if $(TRIAL),-$(TRIAL)))
else ifneq ($(SOURCE),)
RUN := $(if $(RUN),$(RUN),runs/pretrain-$(SOURCE))
endif

# Without VIDEOS and RUN the embedded demo site is meant.
ifeq ($(VIDEOS)$(RUN),)
RUN := runs/demo
DEMO := yes
endif
ifeq ($(RUN),)
RUN := runs/site
endif
ifeq ($(RUN)|$(VIDEOS),runs/demo|)
DEMO := yes
endif
ifeq ($(DEMO),yes)
SITE := runs/demo-site
VIDEOS := $(SITE)
TOPOLOGY := $(SITE)/site.yaml
GROUND_TRUTH := $(SITE)/gt
DETECTOR := $(if $(DETECTOR),$(DETECTOR),data/synthetic/detector.pt)
BACKBONE := $(if $(BACKBONE),$(BACKBONE),osnet_x0_25)
WEIGHTS := $(if $(WEIGHTS),$(WEIGHTS),data/synthetic/start_osnet_x0_25.pth)
CONFIG := $(if $(CONFIG),$(CONFIG),demo)
NEEDS := $(SITE)/site.yaml
endif

# pipeline/inputs.py lists the variables.
INPUTS := --from-environment

.PHONY: help setup all demo supervised report docs test-all names status plan metrics compare annotate test check bench table benchmark pretrain purge clean $(STAGES)

help: ## this page
	@echo "make all                                        the embedded demo site, from video to report"
	@echo "make all VIDEOS=… [TOPOLOGY=site.yaml] RUN=runs/x   your own footage"
	@echo
	@grep -hE '^[a-z -]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+)[^#]*## /\1|/' | awk -F'|' '{printf "  %-12s %s\n", $$1, $$2}'
	@echo "  one stage    make $(STAGES)"
	@echo
	@echo "what can be set, as in SET=\"train.epochs=3 track.max_gap_s=2\":"
	@$(or $(wildcard $(PY)),python3) -m pipeline.inputs

setup: $(VENV)/.installed ## make .venv with everything the pipeline needs

$(VENV)/.installed: pyproject.toml constraints.txt
	@test -x $(PY) || python3 -m venv $(VENV)
	@echo "installing into $(VENV): about 6 GB, some minutes"
	@$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	@$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	@$(PY) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

runs/demo-site/site.yaml: $(VENV)/.installed
	@test -f $@ || $(PY) -m data.synthetic render runs/demo-site
	@touch $@

all: report ## the whole chain: footage in, model, identities, measures and report out

demo: ## the whole chain on the embedded demo site
	@$(MAKE) --no-print-directory all DEMO=yes RUN=runs/demo

report: setup $(NEEDS) ## like all: the last stage, with what it needs; ZIP=1 packs it, PRIVACY=blur hides faces
	@$(PY) -m pipeline run $(INPUTS)
	@test -z "$$ZIP" || $(PY) -m pipeline zip --run "$$RUN"

$(STAGES): setup $(NEEDS)
	@$(PY) -m pipeline run $(INPUTS) --until $@

supervised: setup $(NEEDS) ## also train the reference with the truth on the same tracklets, and measure it
	@$(PY) -m pipeline run $(INPUTS) --supervised

names: setup $(NEEDS) ## what each file is taken for: camera, start, and what told it
	@$(PY) -m pipeline names $(INPUTS)

plan: setup $(NEEDS) ## what would run, and why
	@$(PY) -m pipeline plan $(INPUTS)

status: setup $(NEEDS) ## each stage as fresh, stale, missing or failed
	@$(PY) -m pipeline status $(INPUTS)

metrics: setup ## print the measures of a finished run
	@$(PY) -m pipeline metrics --run "$$RUN"

compare: setup ## two finished runs side by side: make compare RUNS="runs/a runs/b"
	@test "$$(wc -w <<< "$(RUNS)")" = 2 || { echo "error: RUNS=$(RUNS): name two run folders" >&2; exit 2; }
	@$(PY) -m pipeline compare $(RUNS)

annotate: setup ## a page that asks which pairs are one person: make annotate RUN=runs/x [PORT=8765]
	@$(PY) -m pipeline annotate --run "$$RUN" --port "$${PORT:-8765}"

test: $(VENV)/.installed-test ## the quick tests: no network, about nine minutes on two cores
	@$(PY) -m pytest -m "not slow and not gpu"

test-all: $(VENV)/.installed-test ## the tests and the slow ones, as in CI
	@$(PY) -m pytest -m "not gpu"

docs: $(VENV)/.installed-docs ## build the documentation site into build/site
	@$(PY) -m benchmarks.docs_pages && $(PY) -m mkdocs build --quiet --strict

check: $(VENV)/.installed-test ## lint and types
	@$(PY) -m ruff check . && $(PY) -m ruff format --check . && $(PY) -m mypy

bench: $(VENV)/.installed-test ## a measurement: make bench NAME=…
	@test -f "benchmarks/$(NAME).py" || { echo "error: NAME=$(NAME): choose one of $$(cd benchmarks && ls *.py | sed 's/\.py//' | tr '\n' ' ')" >&2; exit 2; }
	@$(PY) -m benchmarks.$(NAME)

table: $(VENV)/.installed-test runs/demo-site/site.yaml ## every method on the demo site and market-site, over seeds: the table of methods
	@$(PY) -m benchmarks.table

benchmark: setup ## a published experiment: make benchmark DATASET=mars ROOT=… METHOD=tmc [TRIAL=0]
	@test -n "$$DATASET" || { echo "error: DATASET= is not set; choose one of $$($(PY) -c 'from data.datasets.benchmark import DATASETS; print(*DATASETS)')" >&2; exit 2; }
	@$(PY) -m pipeline run $(INPUTS)

pretrain: setup ## a start that saw other, labelled people: make pretrain SOURCE=market1501 ROOT=…
	@test -n "$$SOURCE" || { echo "error: SOURCE= is not set; choose one of $$($(PY) -c 'from data.datasets.benchmark import DATASETS; print(*DATASETS)')" >&2; exit 2; }
	@$(PY) -m pipeline run $(INPUTS)

purge: setup ## remove every picture, feature and clip: make purge RUN=runs/x; of some people for good: IDENTITY="7 12"
	@$(PY) -m pipeline purge --run "$$RUN" --identity "$$IDENTITY"

clean: ## remove one run: make clean RUN=runs/x
	@test -d "$$RUN" || { echo "error: RUN=$$RUN: no such folder" >&2; exit 2; }
	rm -rf -- "$$RUN"
