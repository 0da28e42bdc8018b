"""Environment variables that DVC, Prefect, MLflow and Great Expectations read when they are imported."""

import importlib.util
import os
import sys
from pathlib import Path

from feedforward.core import paths

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def apply() -> None:
    """No telemetry, quiet logs, state inside this checkout, no proxy for loopback. What the user has set stays."""
    root = paths.root()
    for name, value in {
        "ACERO_ALIGNMENT_HANDLING": "reallocate",  # Arrow: buffers that were received may lie anywhere in memory
        "DO_NOT_TRACK": "1",
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(root / ".dvc" / "tmp" / "site"),  # its default, in /var/tmp, is writable by everyone
        "GX_ANALYTICS_ENABLED": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_HOME": str(root / ".prefect"),
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
        "PREFECT_CLI_PROMPT": "false",
    }.items():
        os.environ.setdefault(name, value)
    Path(os.environ["DVC_SITE_CACHE_DIR"]).mkdir(mode=0o700, parents=True, exist_ok=True)
    _use_this_python()
    _bypass_proxies()


def _use_this_python() -> None:
    """Put this interpreter's folder first on PATH: the stages of dvc.yaml run `python`."""
    folder, path = str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)
    if path.split(os.pathsep)[0] != folder:
        os.environ["PATH"] = folder + os.pathsep + path


def _bypass_proxies() -> None:
    """Let no request to this machine go through a proxy; every library reads one of the two spellings."""
    for name in ("NO_PROXY", "no_proxy"):
        hosts = [host for host in os.environ.get(name, "").split(",") if host]
        os.environ[name] = ",".join(hosts + [host for host in LOOPBACK if host not in hosts])


def drop_unusable_proxies() -> None:
    """Remove SOCKS proxies that httpx, Prefect's client, cannot use; it refuses to start even for loopback."""
    if importlib.util.find_spec("socksio"):
        return
    for name in list(os.environ):
        if name.lower() in ("all_proxy", "http_proxy", "https_proxy") and os.environ[name].startswith("socks"):
            del os.environ[name]
