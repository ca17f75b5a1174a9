# One command per wish; `make help` lists them. Every line can also be typed by hand (docs/operate.md).
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup loop serve up down status replay test check bench clean

# Nothing reports to anybody unless you say so.
export DO_NOT_TRACK ?= 1
export PREFECT_SERVER_ANALYTICS_ENABLED ?= false
export DVC_NO_ANALYTICS ?= 1
export GX_ANALYTICS_ENABLED ?= false
export BENTOML_DO_NOT_TRACK ?= True
export RAY_USAGE_STATS_ENABLED ?= 0

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
BIN := $(CURDIR)/.venv/bin
STAMP := .venv/installed
RUN := PATH="$(BIN):$$PATH"

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "  make %-8s %s\n", $$1, $$2}'
	@echo "  APPS=\"recommendation\"   only these applications      PROFILE=quick|full   a block of profiles in params.yaml"
	@echo "  HOST=127.0.0.1 PORT=3000   where make serve and make up listen"

$(STAMP): requirements.lock pyproject.toml
	@"$(PYTHON)" -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"expected Python 3.11 or newer, got {v.major}.{v.minor}; make PYTHON=/path/to/python3.11")'
	@test -x "$(BIN)/python" || "$(PYTHON)" -m venv .venv
	@echo "installing the pinned set (about 3 minutes the first time)"
	@"$(BIN)/python" -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	@"$(BIN)/python" -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $(STAMP)

setup: $(STAMP) ## create .venv with the pinned set, initialise Git and DVC where they are missing
	@test -e .git || git init --quiet
	@git rev-parse --verify --quiet HEAD >/dev/null || { git add --all; \
	  git -c user.name=shop -c user.email=shop@localhost commit --quiet --message "Start from the release"; }
	@test -d .dvc || "$(BIN)/dvc" init --quiet

loop: setup ## bring data, models and the release up to date, from what is stale (the whole loop)
	@$(RUN) python -m flows.pipeline $(if $(APPS),--applications $(APPS)) $(if $(PROFILE),--profile $(PROFILE))

serve: setup ## answer requests with the live release, on loopback
	@$(RUN) bentoml serve serving.service:Shop --host $(or $(HOST),127.0.0.1) --port $(or $(PORT),3000)

up: setup ## start all that a small shop runs: Prefect's server, a worker, the watch, the service
	@$(RUN) python -m flows.processes up $(if $(HOST),--host $(HOST)) $(if $(PORT),--port $(PORT))

down: setup ## stop what `make up` started, cleanly
	@$(RUN) python -m flows.processes down

status: setup ## releases, last decisions, feedback since, next run
	@$(RUN) python -m flows.status

replay: setup ## recorded weeks through the whole loop, in four arms (WEEKS=3 fewer; about an hour)
	@$(RUN) python -m benchmarks.replay $(if $(WEEKS),--weeks $(WEEKS)) --keep data/replay

test: setup ## run every test (TESTS=tests/core only some, JOBS=2 at once)
	@$(RUN) OMP_NUM_THREADS=1 python -m pytest -n $(or $(JOBS),2) --dist loadfile $(TESTS)

check: setup ## lint, format, types, and who may import whom
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) mypy
	@$(RUN) lint-imports

bench: setup ## the published last-basket protocol on the default data (see benchmarks/ for more)
	@$(RUN) python -m benchmarks.next_basket complete_journey

clean: ## remove what the loop produced; the releases and feedback in shop/ stay
	@rm -rf data .dvc/cache .dvc/tmp
