# docker build --tag feedforward .
# docker run --rm --init --volume "$PWD:/app" --user "$(id -u):$(id -g)" feedforward run
#
# docs/containers.md has details. The mounted checkout provides parameters, data and stores, and keeps the results. Without
# a mount, the container uses the image's copy of the code, and results are lost when the container is removed.

ARG PYTHON=3.12-slim-bookworm
# cpu or gpu
ARG FLAVOR=cpu
# single: for one machine; cluster: for machines that share the servers in compose.yaml
ARG PACKAGES=single

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
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    UV_COMPILE_BYTECODE=1 \
    UV_LINK_MODE=copy \
    UV_NO_CACHE=1 \
    UV_PYTHON=/opt/venv/bin/python
WORKDIR /app
# git is needed to record the commit of a run. No version is pinned, because a Debian release offers only its newest one.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends git \
 && rm -rf /var/lib/apt/lists/* \
 && git config --system --add safe.directory /app \
 && useradd --uid 1000 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin feedforward \
 && chown 1000:1000 /app

# The packages are in layers below the code: they are installed again only if a lock file in requirements/ changes, and
# images with the same FLAVOR share them. TensorFlow's headers are removed: the image has no compiler.
FROM base AS packages-single
ARG FLAVOR
COPY requirements/setup.txt requirements/${FLAVOR}.txt /opt/requirements/
RUN python -m venv /opt/venv \
 && pip install --no-cache-dir --no-deps --require-hashes -r /opt/requirements/setup.txt \
 && uv pip install --no-deps --no-build-isolation --require-hashes -r "/opt/requirements/${FLAVOR}.txt" \
 && rm -rf /opt/venv/lib/python3*/site-packages/tensorflow/include

FROM packages-single AS packages-cluster
COPY requirements/cluster.txt /opt/requirements/
RUN uv pip install --no-deps --no-build-isolation --require-hashes -r /opt/requirements/cluster.txt

# The project is installed in editable mode, from /app. The two commands after that create the templates from which
# new databases of MLflow and Prefect are copied. `.dvc/config.local` tells DVC that the image contains no git repository; a
# mounted checkout hides this file.
# hadolint ignore=DL3006
FROM packages-${PACKAGES} AS image
COPY --chown=1000:1000 . /app
RUN uv pip install --no-deps --no-build-isolation --editable . \
 && python -m feedforward.tracking.database \
 && python -m pipelines.prefect_database \
 && mkdir .prefect \
 && printf '[core]\n    no_scm = true\n' > .dvc/config.local \
 && chown 1000:1000 .prefect .dvc/config.local
USER 1000:1000
ENTRYPOINT ["feedforward"]
CMD ["--help"]
# These are last, because all steps after a build argument are repeated when its value changes.
ARG REVISION=unknown
LABEL org.opencontainers.image.title="feedforward" \
      org.opencontainers.image.description="An MLOps pipeline with experiment tracking for feedforward networks" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.revision="${REVISION}"
