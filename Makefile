# make demo      the main job on footage drawn by the project, or on VIDEO=path
# make test      the fast tests           make test-slow   the long ones too
# make check     what CI runs: format, lint, types, tests
# make setup     everything, in .venv     make benchmarks  the tables of the README
# make demo-loop the loop without any person, three rounds (CATS=folder: on cats too)
# make models    train the models that come with the install: DATA=folder, hours
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
CODE := annotator benchmarks cvat_export demo frame_tools recipes tests trainers

.PHONY: help demo demo-loop test test-slow check format lint types setup models benchmarks clean

help:
	@sed -n 's/^# //p' Makefile

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || \
	  { echo "Python 3.11 to 3.13 is needed, found $$($(PYTHON) --version); say make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "cannot make $(VENV): apt-get install python3-venv, then try again"; exit 1; }

# Two stamps: the demo needs the light core only; tests need every extra.
$(VENV)/core.stamp: setup.cfg constraints.txt | $(BIN)/python
	@echo "installing the core (about 300 MB) in $(VENV)"
	@$(PIP) -e .
	@touch $@

$(VENV)/all.stamp: setup.cfg constraints.txt tools/install.sh | $(BIN)/python
	@echo "installing everything (several GB) in $(VENV)"
	@PIP="$(PIP)" PYTHON=$(BIN)/python tools/install.sh
	@touch $(VENV)/core.stamp $@

setup: $(VENV)/all.stamp

demo: $(VENV)/core.stamp
	@$(BIN)/python -m demo run --output .demo $(if $(VIDEO),--video "$(VIDEO)") \
	  $(if $(DETECTION),--detection "$(DETECTION)") $(if $(POSE),--pose "$(POSE)") $(if $(POSE_CARD),--pose-card "$(POSE_CARD)")

demo-loop: $(VENV)/all.stamp
	@rm -rf .demo-loop
	@$(BIN)/python -m demo loop --output .demo-loop $(if $(CATS),--cats "$(CATS)")

test: $(VENV)/all.stamp
	@$(BIN)/python -m pytest -q -n 2 -m "not slow"

test-slow: $(VENV)/all.stamp
	@$(BIN)/python -m pytest -q -m slow

check: $(VENV)/all.stamp format lint types test

format: $(VENV)/all.stamp
	@$(BIN)/ruff format --check $(CODE)

lint: $(VENV)/all.stamp
	@$(BIN)/ruff check $(CODE)

types: $(VENV)/all.stamp
	@$(BIN)/mypy annotator cvat_export demo frame_tools recipes trainers

models: $(VENV)/all.stamp
	@test -n "$(DATA)" || { echo "say make models DATA=folder, the one that holds coco_people, lspet and scenes"; exit 1; }
	@$(BIN)/python -m recipes.make "$(DATA)" "$(or $(WORK),.models)"

benchmarks: $(VENV)/all.stamp
	@for benchmark in choose_frames preannotate "preannotate --files torch" select journal review pages seek; do \
	  $(BIN)/python -m benchmarks.$$benchmark || exit 1; done

clean:
	rm -rf $(VENV) .demo .demo-loop
