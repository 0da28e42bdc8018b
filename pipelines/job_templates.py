"""Base job templates for Docker and Kubernetes work pools: Prefect's defaults, with GPUs and this project's image."""

import json
import urllib.request
from typing import Any

from feedforward.core.errors import FeedforwardError

KINDS = ("docker", "kubernetes")
IMAGE = "feedforward:cluster-gpu"
GPUS_VARIABLE = {
    "title": "GPUs",
    "description": "Number of GPUs for the training job; 0 on machines that have none.",
    "type": "integer",
    "minimum": 0,
    "default": 1,
}


def template(address: str, kind: str) -> dict[str, Any]:
    """The template for a pool of this kind, from the default that the server at `address` offers (REST API).

    Raises:
        FeedforwardError: the server does not answer, or its default has an unexpected structure.
    """
    url = f"{address.rstrip('/')}/collections/views/aggregate-worker-metadata"
    try:
        with urllib.request.urlopen(url, timeout=30) as response:  # noqa: S310
            default = json.load(response)[f"prefect-{kind}"][kind]["default_base_job_configuration"]
        return with_gpus(default, kind)
    except OSError as error:
        raise FeedforwardError(f"{url}: {error}; is the Prefect server running?") from None
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise FeedforwardError(
            f"{url}: unexpected template for {kind} ({error!r}); check Prefect's version on the server"
        ) from None


def with_gpus(default: dict[str, Any], kind: str) -> dict[str, Any]:
    """Add the variable `gpus`, a request for that many GPUs and the project's image to a default template, in place."""
    properties, job = default["variables"]["properties"], default["job_configuration"]
    properties["gpus"] = GPUS_VARIABLE
    properties["image"]["default"] = IMAGE
    if kind == "docker":
        devices = [{"driver": "nvidia", "count": "{{ gpus }}", "capabilities": [["gpu"]]}]
        job.setdefault("container_create_kwargs", {})["device_requests"] = devices
    else:
        [container] = job["job_manifest"]["spec"]["template"]["spec"]["containers"]
        container.setdefault("resources", {}).setdefault("limits", {})["nvidia.com/gpu"] = "{{ gpus }}"
    return default
