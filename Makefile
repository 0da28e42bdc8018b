# Two commands: `make run` takes the real data from fetch to the comparison, `make test` runs the tests.
# The commands are in Python (`feedforward --help`); this file installs what they need and names them.
# GPU: `make run REQUIREMENTS=gpu VENV=.venv-gpu`. Another Python: `make run PYTHON=/path/to/python3.12`.

VENV ?= .venv
REQUIREMENTS ?= cpu
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$python && break; done)

POOL ?= cpu
BIN := $(VENV)/bin
READY := $(VENV)/.$(REQUIREMENTS)
DEV := $(VENV)/.dev
CORES = $(shell $(BIN)/python -c 'import os; print(os.cpu_count())')

export PATH := $(abspath $(BIN)):$(PATH)
unexport PYTHONDONTWRITEBYTECODE
# No telemetry, and checkouts do not share the state of a server.
export DO_NOT_TRACK := 1
export GX_ANALYTICS_ENABLED := false
export MLFLOW_DISABLE_TELEMETRY := true
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export PREFECT_HOME := $(CURDIR)/.prefect
export DVC_SITE_CACHE_DIR := $(CURDIR)/.dvc-state

.PHONY: help run demo ui serve retrain server deploy worker verify study bench bench-gpu picture test test-unit coverage stack images faults real readme check reference audit sbom fix lock
.NOTPARALLEL:

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

run: $(READY) ## everything from the real data to the comparison of all variants; a second time only what changed
	$(BIN)/feedforward run

demo: $(READY) ## the same on small embedded data: no network, two minutes
	$(BIN)/feedforward demo

ui: $(READY) ## MLflow on 127.0.0.1: runs, curves, models
	$(BIN)/feedforward ui

serve: $(READY) ## the service on 127.0.0.1: playground and predictions; after `feedforward promote`
	$(BIN)/feedforward serve

retrain: $(READY) ## train again if there is a reason (new samples, drift, changes), and promote what is better
	$(BIN)/python -m pipelines.operations retrain

server: $(READY) ## scheduled retraining 1/3: Prefect's server on 127.0.0.1:4200
	$(BIN)/python -m pipelines.operations server

deploy: $(READY) ## scheduled retraining 2/3, while the server runs: pools, GPU slots, deployments; again after changes
	$(BIN)/python -m pipelines.operations deploy

worker: $(READY) ## scheduled retraining 3/3: a worker, until Ctrl-C; on a GPU: make worker POOL=gpu
	$(BIN)/python -m pipelines.operations worker $(POOL)

verify: $(READY) ## train again in a temporary store and compare: same seed, same machine, same bytes
	$(BIN)/feedforward verify

study: $(READY) ## the lecture's comparison with 20 seeds and both protocols: docs/study.md (half an hour)
	$(BIN)/feedforward study

bench: $(DEV) ## compare with a plain Keras script and the machine's limits: docs/performance-measured.md (an hour)
	$(BIN)/python -m bench.bench
	$(BIN)/python -m bench.parts
	$(BIN)/python -m bench.growth
	$(BIN)/python -m bench.serving
	$(BIN)/python -m bench.interference
	$(BIN)/python -m bench.shadow
	$(BIN)/python -m bench.scale
	$(BIN)/python -m bench.page

bench-gpu: $(READY) ## ten and a hundred seeds of every variant: make bench-gpu REQUIREMENTS=gpu VENV=.venv-gpu
	$(BIN)/python -m bench.gpu
	$(BIN)/python -m bench.page

picture: ## docs/images/report.png from the finished report; needs chromium
	chromium --headless $(if $(filter 0,$(shell id -u)),--no-sandbox) --disable-gpu --hide-scrollbars --window-size=1200,1500 \
		--screenshot=docs/images/report.png "file://$(CURDIR)/reports/comparison/index.html"

# One file of tests per worker at a time, so fixtures are made once. Whole jobs come first; they wait for servers, so two workers more than cores.
APART = --dist loadfile
test: $(DEV) ## all tests that need no real data
	$(BIN)/pytest $(APART) -n $$(($(CORES) + 2)) --no-loadscope-reorder -m "not real and not stack and not images"

coverage: $(DEV) ## all tests, and the share of the lines and branches of src that they reach
	$(BIN)/pytest $(APART) -n $$(($(CORES) + 2)) --no-loadscope-reorder -m "not real and not stack and not images" --cov --cov-report=term

test-unit: $(DEV) ## fast tests, under a minute in total
	$(BIN)/pytest $(APART) -n $(CORES) -m "not slow and not real and not images"

stack: $(DEV) ## three machines over PostgreSQL, S3, MLflow, Prefect and Dask on loopback; needs PostgreSQL (minutes)
	$(BIN)/pytest -m stack tests/pipelines/test_stack.py tests/pipelines/test_after_promotion.py

images: $(DEV) ## build and try the container images and compose.yaml; skipped without a container engine (minutes)
	$(BIN)/pytest -m images tests/pipelines/test_images.py

faults: $(DEV) ## inject every fault of docs/reliability.md into the real parts
	$(BIN)/python -m faults

real: $(DEV) ## tests on the real data: results of the finished `make run` against the lecture, steps against Keras
	$(BIN)/pytest -m real

readme: $(DEV) ## every command of the README, after `make run` (some minutes)
	$(BIN)/pytest tests/readme_commands.py

check: $(DEV) ## format, lint, types, import layers, Dockerfile, locked requirements
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(BIN)/uv pip check --quiet --python $(BIN)/python
	$(BIN)/pytest -q -m "not slow" tests/test_project.py

reference: $(DEV) ## regenerate the tables of docs/reference.md, and docs/tests.md
	$(BIN)/python -m feedforward.cli.reference
	$(BIN)/python tests/support/proofs.py

audit: $(DEV) ## known vulnerabilities of the locked packages; needs the network for pip-audit's advisory service
	@$(BIN)/python requirements/audit.py

sbom: $(DEV) ## reports/sbom.cdx.json: the locked packages and the champions, as CycloneDX
	@$(BIN)/python requirements/sbom.py $(REQUIREMENTS)

fix: $(DEV) ## format, and fix what the linter can fix
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

lock: $(DEV) ## requirements/*.txt after a change of pyproject.toml; newest versions: make lock UPGRADE=--upgrade
	$(COMPILE) requirements/dev.txt pyproject.toml --extra cpu --extra s3 --extra dev
	$(COMPILE) requirements/cpu.txt pyproject.toml --extra cpu
	$(COMPILE) requirements/gpu.txt pyproject.toml --extra gpu
	$(COMPILE) requirements/setup.txt --group setup -c requirements/dev.txt
	$(COMPILE) requirements/cluster.txt --group cluster -c requirements/dev.txt

COMPILE = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url $(UPGRADE) -o

# The stamp is written last. An empty PYTHON means that none was found.
$(VENV)/.%: requirements/%.txt requirements/setup.txt requirements/install.py pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is needed; name one: make PYTHON=/path/to/python3.12"; exit 2; }
	@$(PYTHON) requirements/install.py $* $(VENV)
