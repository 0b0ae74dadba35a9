# Every target works on a bare clone: what it needs, it prepares.
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
BIN := .venv/bin
UV_VERSION := 0.13.8
export NO_ALBUMENTATIONS_UPDATE := 1
export RAY_USAGE_STATS_ENABLED := 0

.DEFAULT_GOAL := help
.PHONY: help setup system demo test test-slow kills lint format bench lock clean

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

test: setup ## the tests that every change must pass, under 12 minutes on two cores
	$(BIN)/pytest -m "not slow and not bench"

test-slow: setup ## the long tests, under 60 minutes
	$(BIN)/pytest -m "slow and not bench" --timeout 1800 --durations 20

kills: setup ## 30 random kills of workers, and 30 of anything: half an hour or more
	ECHOLENS_KILLS=30 ECHOLENS_KILL_ROWS=5000 $(BIN)/pytest -s --timeout 3600 \
		tests/jobs/test_many_kills.py tests/jobs/test_random_kills.py

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
