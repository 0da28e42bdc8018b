"""Environment variables that DVC, Prefect, MLflow, Great Expectations and Arrow read when they are imported."""

import importlib.util
import os
from pathlib import Path

from feedforward.core import environment as process_environment
from feedforward.core import path_variables, paths
from feedforward.core.redaction import has_credentials
from pipelines import running_code


def apply() -> None:
    """Turn off telemetry, quiet the logs, and keep state inside the workspace. Variables that are already set are kept.

    Raises:
        ParamsError: there is no workspace, or the running code belongs to another checkout.
    """
    process_environment.prepare()
    path_variables.resolve()
    root = paths.root()
    running_code.check(root)
    for name, value in {
        "ACERO_ALIGNMENT_HANDLING": "reallocate",  # Arrow: copy unaligned buffers, without a warning
        "DO_NOT_TRACK": "1",
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(root / ".dvc-state"),  # as in .dvc/config, but even for commands outside the checkout
        "GX_ANALYTICS_ENABLED": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_HOME": str(root / ".prefect"),
        "PREFECT_LOGGING_LEVEL": "WARNING",
        "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
        "PREFECT_CLI_PROMPT": "false",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",  # s; see zombie_flow_runs
    }.items():
        os.environ.setdefault(name, value)
    address = os.environ.get("PREFECT_API_URL", "")
    if has_credentials(address):  # Prefect logs the addresses of its pages, which it derives from this address
        scheme, _, rest = address.partition("://")
        ui_address = rest.rpartition("@")[2].rstrip("/").removesuffix("/api")
        os.environ.setdefault("PREFECT_UI_URL", f"{scheme}://{ui_address}")
    if (root / ".dvc").is_dir():
        # created here, because DVC would create a folder that everyone can write to
        Path(os.environ["DVC_SITE_CACHE_DIR"]).mkdir(mode=0o700, parents=True, exist_ok=True)


def drop_unusable_proxies() -> None:
    """Unset SOCKS proxies if `socksio` is not installed, because Prefect's HTTP client, httpx, would fail."""
    if importlib.util.find_spec("socksio"):
        return
    for name in list(os.environ):
        if name.lower() in ("all_proxy", "http_proxy", "https_proxy") and os.environ[name].startswith("socks"):
            del os.environ[name]
