# The two main commands: `make run` runs everything from fetching the data to the comparison, `make test` runs the tests.
# The work is done in Python (`feedforward --help`); this file installs the requirements and gives the commands short names.
# GPU: `make run REQUIREMENTS=gpu VENV=.venv-gpu`. Another Python: `make run PYTHON=/path/to/python3.12`.

VENV ?= .venv
REQUIREMENTS ?= cpu
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$python && break; done)

POOL ?= cpu
BIN := $(VENV)/bin
# stamp files of the installed requirements
STAMP := $(VENV)/.$(REQUIREMENTS)
DEV_STAMP := $(VENV)/.dev
# An environment contains absolute paths: a moved or copied checkout needs a new one.
ifneq ($(shell head -n 1 $(VENV)/.checkout 2>/dev/null || echo "$(CURDIR)"),$(CURDIR))
$(sort $(STAMP) $(DEV_STAMP)): replace
endif
CORES = $(shell $(BIN)/python -c 'import os; print(os.cpu_count())')

export PATH := $(abspath $(BIN)):$(PATH)
unexport PYTHONDONTWRITEBYTECODE
# Turn off telemetry, and give each checkout its own server state.
export DO_NOT_TRACK := 1
export GX_ANALYTICS_ENABLED := false
export MLFLOW_DISABLE_TELEMETRY := true
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export PREFECT_HOME := $(CURDIR)/.prefect
export DVC_SITE_CACHE_DIR := $(CURDIR)/.dvc-state

.DEFAULT_GOAL := help
.PHONY: help run demo notebook ui serve retrain server deploy worker verify study bench bench-gpu picture test test-unit coverage stack images faults real readme check reference audit sbom fix lock
.NOTPARALLEL:

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

run: $(STAMP) ## run everything from fetching the data to comparing all variants; later calls run only what has changed
	$(BIN)/feedforward run

demo: $(STAMP) ## run everything on small embedded data, without a network, in two minutes
	$(BIN)/feedforward demo

notebook: $(STAMP) $(VENV)/.notebook ## open the lecture and the homework in JupyterLab, which the first call installs
	$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) notebooks --LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate --LabApp.news_url=None

ui: $(STAMP) ## start MLflow on 127.0.0.1: runs, curves, models
	$(BIN)/feedforward ui

serve: $(STAMP) ## serve predictions and a playground on 127.0.0.1; run `feedforward promote` first
	$(BIN)/feedforward serve

retrain: $(STAMP) ## train again if there is a reason (new samples, drift, changes), and promote models that are better
	$(BIN)/python -m pipelines.operations retrain

server: $(STAMP) ## scheduled retraining 1/3: run Prefect's server on 127.0.0.1:4200
	$(BIN)/python -m pipelines.operations server

deploy: $(STAMP) ## scheduled retraining 2/3: create pools, GPU slots and deployments on the running server; rerun after changes
	$(BIN)/python -m pipelines.operations deploy

worker: $(STAMP) ## scheduled retraining 3/3: run a worker until Ctrl-C; on a GPU: make worker POOL=gpu
	$(BIN)/python -m pipelines.operations worker $(POOL)

verify: $(STAMP) ## train again in a temporary store and check that the same seed gives the same bytes
	$(BIN)/feedforward verify

study: $(STAMP) ## repeat the lecture's comparison with 20 seeds and both protocols: docs/study.md (half an hour)
	$(BIN)/feedforward study

bench: $(DEV_STAMP) ## compare with plain Keras, MLflow's server and the machine's limits: docs/performance-measured.md (an hour)
	$(BIN)/python -m bench.bench
	$(BIN)/python -m bench.parts
	$(BIN)/python -m bench.growth
	$(BIN)/python -m bench.table
	$(BIN)/python -m bench.serving
	$(BIN)/python -m bench.interference
	$(BIN)/python -m bench.shadow
	$(BIN)/python -m bench.scale
	$(BIN)/python -m bench.page

bench-gpu: $(STAMP) ## train ten and a hundred seeds of every variant: make bench-gpu REQUIREMENTS=gpu VENV=.venv-gpu
	$(BIN)/python -m bench.gpu
	$(BIN)/python -m bench.page

picture: ## take a screenshot of the finished report: docs/images/report.png; needs chromium
	chromium --headless $(if $(filter 0,$(shell id -u)),--no-sandbox) --disable-gpu --hide-scrollbars --window-size=1200,1500 \
		--screenshot=docs/images/report.png "file://$(CURDIR)/reports/comparison/index.html"

# Each worker of pytest-xdist runs whole test files, so that module fixtures are created once. Tests of complete jobs come
# first. They spend time waiting for servers, so `test` and `coverage` use two more workers than there are cores.
BY_FILE = --dist loadfile
test: $(DEV_STAMP) ## run all tests that need no real data
	$(BIN)/pytest $(BY_FILE) -n $$(($(CORES) + 2)) --no-loadscope-reorder -m "not real and not stack and not images"

coverage: $(DEV_STAMP) ## run the tests of `test`, and report which lines and branches of src they cover
	$(BIN)/pytest $(BY_FILE) -n $$(($(CORES) + 2)) --no-loadscope-reorder -m "not real and not stack and not images" --cov --cov-report=term

test-unit: $(DEV_STAMP) ## run the fast tests, in under a minute
	$(BIN)/pytest $(BY_FILE) -n $(CORES) -m "not slow and not real and not images"

stack: $(DEV_STAMP) ## test three clones with PostgreSQL, S3, MLflow, Prefect and Dask on loopback; needs PostgreSQL (minutes)
	$(BIN)/pytest -m stack tests/pipelines/test_stack.py tests/pipelines/test_after_promotion.py

images: $(DEV_STAMP) ## build and test the container images and compose.yaml; skipped without a container engine (minutes)
	$(BIN)/pytest -m images tests/pipelines/test_images.py

faults: $(DEV_STAMP) ## inject every fault listed in docs/reliability.md into the real components
	$(BIN)/python -m faults

real: $(DEV_STAMP) ## test on the real data, after `make run`: compare its results with the lecture, and single steps with Keras
	$(BIN)/pytest -m real

readme: $(DEV_STAMP) ## run every command in the README, after `make run` (a few minutes)
	$(BIN)/pytest tests/readme_commands.py

check: $(DEV_STAMP) ## check format, lint, types, import layers, Dockerfile, locked requirements
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(BIN)/uv pip check --quiet --python $(BIN)/python
	$(BIN)/pytest -q -m "not slow" tests/test_project.py

reference: $(DEV_STAMP) ## regenerate the tables of docs/reference.md, docs/api.md and docs/tests.md
	$(BIN)/python -m feedforward.cli.reference
	$(BIN)/python tests/support/proofs.py

audit: $(DEV_STAMP) ## look up known vulnerabilities in the locked packages; needs a network for pip-audit's advisory service
	@$(BIN)/python requirements/audit.py

sbom: $(DEV_STAMP) ## list the locked packages and the champions in reports/sbom.cdx.json (CycloneDX)
	@$(BIN)/python requirements/sbom.py $(REQUIREMENTS)

fix: $(DEV_STAMP) ## format the code, and fix what the linter can fix
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

lock: $(DEV_STAMP) ## update requirements/*.txt after a change to pyproject.toml; newest versions: make lock UPGRADE=--upgrade
	$(COMPILE) requirements/dev.txt pyproject.toml --extra cpu --extra s3 --extra dev
	$(COMPILE) requirements/cpu.txt pyproject.toml --extra cpu
	$(COMPILE) requirements/gpu.txt pyproject.toml --extra gpu
	$(COMPILE) requirements/setup.txt --group setup -c requirements/dev.txt
	$(COMPILE) requirements/cluster.txt --group cluster -c requirements/dev.txt
	$(COMPILE) requirements/notebook.txt --group notebook -c requirements/dev.txt

COMPILE = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url $(UPGRADE) -o

.PHONY: replace # always out of date, and so is every stamp that depends on it

# install.py writes the stamp file last. If PYTHON is empty, no suitable Python was found.
$(VENV)/.%: requirements/%.txt requirements/setup.txt requirements/install.py pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed; specify one: make PYTHON=/path/to/python3.12"; exit 2; }
	@$(PYTHON) requirements/install.py $* $(VENV)
