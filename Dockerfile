# docker build --target cpu --tag feedforward .          (or gpu; or cluster, which compose.yaml uses)
# docker run --rm --init --volume "$PWD:/app" --user "$(id -u):$(id -g)" feedforward run
#
# docs/containers.md has details. The mounted checkout provides parameters, data and stores, and keeps the results. Without
# a mount, the image uses its own copy of the code, and results are lost when the container is removed. Build with BuildKit,
# because other builders also build stages that the target does not need.

ARG PYTHON=3.12-slim-bookworm
# The base of `cluster`: cpu or gpu.
ARG FLAVOR=cpu

FROM python:${PYTHON} AS base
# HOME and everything else that is written outside the checkout are in /tmp, where any --user can write, even with
# --read-only --tmpfs /tmp. LOGNAME is set because DVC asks for the user's name, and an arbitrary UID has none.
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/tmp \
    LOGNAME=feedforward \
    DVC_SITE_CACHE_DIR=/tmp/dvc-site \
    PREFECT_HOME=/app/.prefect \
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY=30 \
    PREFECT_SERVER_UI_STATIC_DIRECTORY=/tmp/prefect-ui \
    PYTHONUNBUFFERED=1 \
    DO_NOT_TRACK=1 \
    GX_ANALYTICS_ENABLED=false \
    MLFLOW_DISABLE_TELEMETRY=true \
    PREFECT_SERVER_ANALYTICS_ENABLED=false
# git is needed to record the commit of a run. Debian keeps one version of it per release, so no version is pinned.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends git \
 && rm -rf /var/lib/apt/lists/* \
 && git config --system --add safe.directory /app
WORKDIR /app

# Packages are installed again only if a locked file changes. TensorFlow's headers are removed: the image has no compiler.
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
RUN uv pip install --no-deps --no-build-isolation --require-hashes -r requirements/cpu.txt \
 && rm -rf /opt/venv/lib/python3*/site-packages/tensorflow/include

# The code. The image contains no git repository, and `.dvc/config.local` says so to DVC; a mounted checkout hides this file.
FROM base AS code
COPY . .
RUN mkdir .prefect \
 && printf '[core]\n    no_scm = true\n' > .dvc/config.local

FROM base AS project
# This comes before REVISION: a build argument is part of the environment, so a new value would rerun this step and copy the
# packages again.
RUN useradd --uid 1000 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin feedforward \
 && chown 1000:1000 /app
ARG REVISION=unknown
LABEL org.opencontainers.image.title="feedforward" \
      org.opencontainers.image.description="An MLOps pipeline with experiment tracking for feedforward networks" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.revision="${REVISION}"
ENTRYPOINT ["feedforward"]
CMD ["--help"]

# In each target, the packages are in a separate layer, which does not change when the code changes. The project is
# installed in editable mode, from /app. The last commands create the template databases that new stores are copied from.
FROM project AS cpu
COPY --from=packages-cpu /opt/venv /opt/venv
COPY --from=code --chown=1000:1000 /app /app
RUN uv pip install --python /opt/venv/bin/python --no-cache --no-deps --no-build-isolation --editable . \
 && python -m feedforward.tracking.database \
 && python -m pipelines.prefect_database \
 && rm -rf /app/.prefect/* /app/mlruns/*.db
USER 1000:1000

FROM packages AS packages-gpu
COPY requirements/gpu.txt requirements/
RUN uv pip install --no-deps --no-build-isolation --require-hashes -r requirements/gpu.txt \
 && rm -rf /opt/venv/lib/python3*/site-packages/tensorflow/include

FROM project AS gpu
COPY --from=packages-gpu /opt/venv /opt/venv
COPY --from=code --chown=1000:1000 /app /app
RUN uv pip install --python /opt/venv/bin/python --no-cache --no-deps --no-build-isolation --editable . \
 && python -m feedforward.tracking.database \
 && python -m pipelines.prefect_database \
 && rm -rf /app/.prefect/* /app/mlruns/*.db
USER 1000:1000

# hadolint ignore=DL3006
FROM packages-${FLAVOR} AS packages-cluster
COPY requirements/cluster.txt /app/requirements/
RUN uv pip install --no-deps --no-build-isolation --require-hashes -r requirements/cluster.txt

FROM project AS cluster
COPY --from=packages-cluster /opt/venv /opt/venv
COPY --from=code --chown=1000:1000 /app /app
RUN uv pip install --python /opt/venv/bin/python --no-cache --no-deps --no-build-isolation --editable . \
 && python -m feedforward.tracking.database \
 && python -m pipelines.prefect_database \
 && rm -rf /app/.prefect/* /app/mlruns/*.db
USER 1000:1000
