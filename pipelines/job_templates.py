"""Base job templates for Docker and Kubernetes work pools: Prefect's defaults, with GPUs and this project's image."""

import json
from typing import Any

from feedforward.core import http_requests
from feedforward.core.errors import FeedforwardError
from feedforward.core.redaction import redact

POOL_TYPES = ("docker", "kubernetes")
IMAGE = "feedforward:cluster-gpu"
GPUS_VARIABLE = {
    "title": "GPUs",
    "description": "Number of GPUs for the training job; 0 on machines that have none.",
    "type": "integer",
    "minimum": 0,
    "default": 1,
}


def template(address: str, pool_type: str) -> dict[str, Any]:
    """The template for a pool of this type, made from the server's default. address: of the server's REST API (…/api).

    Raises:
        FeedforwardError: the server answers with an error or not at all, or its default has an unexpected structure.
    """
    url = f"{address.rstrip('/')}/collections/views/aggregate-worker-metadata"
    try:
        views = json.loads(http_requests.get(url, timeout=30))
        return with_gpus(views[f"prefect-{pool_type}"][pool_type]["default_base_job_configuration"], pool_type)
    except OSError as error:
        raise FeedforwardError(f"{redact(url)}: {error}; is the Prefect server running?") from None
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise FeedforwardError(
            f"{redact(url)}: unexpected template for {pool_type} ({error!r}); check the server's Prefect version"
        ) from None


def with_gpus(default: dict[str, Any], pool_type: str) -> dict[str, Any]:
    """Make a default template request `gpus` GPUs and use the project's image by default; changed in place."""
    properties, job = default["variables"]["properties"], default["job_configuration"]
    properties["gpus"] = GPUS_VARIABLE
    properties["image"]["default"] = IMAGE
    if pool_type == "docker":
        devices = [{"driver": "nvidia", "count": "{{ gpus }}", "capabilities": [["gpu"]]}]
        job.setdefault("container_create_kwargs", {})["device_requests"] = devices
    else:
        [container] = job["job_manifest"]["spec"]["template"]["spec"]["containers"]
        container.setdefault("resources", {}).setdefault("limits", {})["nvidia.com/gpu"] = "{{ gpus }}"
    return default
