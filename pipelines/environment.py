"""Environment variables that DVC, Prefect, MLflow and Great Expectations read when they are imported."""

import importlib.util
import os
from pathlib import Path

from feedforward.core import environment as process
from feedforward.core import paths


def apply() -> None:
    """No telemetry, quiet logs, state inside this checkout. What the user has set stays."""
    process.prepare()
    root = paths.root()
    for name, value in {
        "ACERO_ALIGNMENT_HANDLING": "reallocate",  # Arrow: buffers that were received may lie anywhere in memory
        "DO_NOT_TRACK": "1",
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(root / ".dvc-state"),  # as in .dvc/config, also from other folders
        "GX_ANALYTICS_ENABLED": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_HOME": str(root / ".prefect"),
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
        "PREFECT_CLI_PROMPT": "false",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",  # s; see zombie_runs
    }.items():
        os.environ.setdefault(name, value)
    if (root / ".dvc").is_dir():  # DVC would make it writable by everyone
        Path(os.environ["DVC_SITE_CACHE_DIR"]).mkdir(mode=0o700, parents=True, exist_ok=True)


def drop_unusable_proxies() -> None:
    """Remove SOCKS proxies that httpx, Prefect's client, cannot use; it refuses to start even for loopback."""
    if importlib.util.find_spec("socksio"):
        return
    for name in list(os.environ):
        if name.lower() in ("all_proxy", "http_proxy", "https_proxy") and os.environ[name].startswith("socks"):
            del os.environ[name]
