# docker build --target cpu --tag feedforward .          (or gpu; or cluster, which compose.yaml uses)
# docker run --rm --volume "$PWD:/app" --user "$(id -u):$(id -g)" feedforward run
#
# The mounted checkout brings parameters, data and stores, and keeps what is made. Without a mount the image works on its
# own copy of the code, and what is made goes with the container. GPU: add `--gpus all`; CUDA comes with TensorFlow's wheels.

ARG PYTHON=3.12-slim-bookworm
# What `cluster` is built on: cpu or gpu.
ARG FLAVOUR=cpu

FROM python:${PYTHON} AS base
# HOME: a place for caches that any --user can write to, and not the mounted checkout.
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/tmp \
    PREFECT_HOME=/app/.prefect \
    PYTHONUNBUFFERED=1 \
    DO_NOT_TRACK=1 \
    GX_ANALYTICS_ENABLED=false \
    MLFLOW_DISABLE_TELEMETRY=true \
    PREFECT_SERVER_ANALYTICS_ENABLED=false
# git names the commit of a run. Debian keeps one version of it a release, so there is none to pin.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends git \
 && rm -rf /var/lib/apt/lists/* \
 && git config --system --add safe.directory /app
WORKDIR /app

# Packages: made anew only when a locked file changes. The project is installed as a pointer to /app.
FROM base AS packages
ENV UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PYTHON=/opt/venv/bin/python
COPY requirements/setup.txt requirements/
RUN python -m venv /opt/venv \
 && pip install --no-cache-dir --no-deps --require-hashes -r requirements/setup.txt

FROM packages AS packages-cpu
COPY requirements/cpu.txt requirements/
RUN uv pip install --no-deps --no-build-isolation --require-hashes -r requirements/cpu.txt
COPY pyproject.toml README.md LICENSE ./
RUN uv pip install --no-deps --no-build-isolation --editable .

FROM packages AS packages-gpu
COPY requirements/gpu.txt requirements/
RUN uv pip install --no-deps --no-build-isolation --require-hashes -r requirements/gpu.txt
COPY pyproject.toml README.md LICENSE ./
RUN uv pip install --no-deps --no-build-isolation --editable .

# hadolint ignore=DL3006
FROM packages-${FLAVOUR} AS packages-cluster
COPY requirements/cluster.txt /app/requirements/
RUN uv pip install --no-deps --no-build-isolation --require-hashes -r requirements/cluster.txt

# The code. The image holds no git repository; `.dvc/config.local` tells DVC so, and a mounted checkout does not see it.
FROM base AS code
COPY . .
RUN mkdir .prefect \
 && printf '[core]\n    no_scm = true\n' > .dvc/config.local

FROM base AS project
RUN useradd --uid 1000 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin feedforward \
 && chown 1000:1000 /app
USER 1000:1000
ENTRYPOINT ["feedforward"]
CMD ["--help"]

FROM project AS gpu
COPY --from=packages-gpu /opt/venv /opt/venv
COPY --from=code --chown=1000:1000 /app /app

FROM project AS cluster
COPY --from=packages-cluster /opt/venv /opt/venv
COPY --from=code --chown=1000:1000 /app /app

FROM project AS cpu
COPY --from=packages-cpu /opt/venv /opt/venv
COPY --from=code --chown=1000:1000 /app /app
