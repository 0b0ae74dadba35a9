# Every target works on a bare clone: what it needs, it prepares.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
BIN := .venv/bin
UV_VERSION := 0.13.8
# A worker a core; each loads the libraries once, in 2 GB.
SIDE_BY_SIDE := -n logical --maxprocesses 4 --dist loadscope --no-loadscope-reorder
export NO_ALBUMENTATIONS_UPDATE := 1
export RAY_USAGE_STATS_ENABLED := 0

.DEFAULT_GOAL := help
.PHONY: help setup system demo test test-slow kills fuzz lint format bench lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: .venv/ready ## prepare .venv from requirements.lock

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c "import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))" \
		|| { echo "Python 3.11 or 3.12 is needed and $(PYTHON) is another; run make with PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

system: ## what tests ask of the machine itself: a cron daemon and a browser (Debian, as root)
	@command -v cron >/dev/null && command -v chromium >/dev/null \
		|| { apt-get update -qq && apt-get install -y -qq cron chromium >/dev/null; }

demo: setup ## build, search and report the miniature world in ./demo
	$(BIN)/echolens demo demo

test: setup ## the tests that every change must pass, under 8 minutes on two cores
	$(BIN)/pytest $(SIDE_BY_SIDE) -m "not slow and not bench and not kills" --durations 20

test-slow: setup ## the long tests, about half an hour on two cores
	$(BIN)/pytest $(SIDE_BY_SIDE) -m "slow and not bench" --timeout 1800 --durations 20

kills: setup ## 30 random kills of workers, 30 of anything, and one at every point of a job: an hour or more
	$(BIN)/pytest -s -m kills --timeout 3600

fuzz: setup ## every value of a root replaced by hostile ones: half an hour
	FUZZ=all $(BIN)/pytest -s tests/fuzz --timeout 14400

lint: setup ## ruff and mypy
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup ## let ruff put the files in order
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup ## rates as ratios of two things measured in the same run
	$(BIN)/pytest -m bench -s --timeout 3600

lock: setup ## resolve requirements.lock again from pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header \
		--extra dev --upgrade pyproject.toml --output-file requirements.lock

clean: ## remove what the other targets made
	rm -rf .venv demo build *.egg-info .mypy_cache .pytest_cache .ruff_cache
