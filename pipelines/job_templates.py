"""Base job templates of Docker and Kubernetes work pools: Prefect's own defaults, with GPUs and our image added."""

import json
import urllib.request
from typing import Any

from feedforward.core.errors import FeedforwardError

KINDS = ("docker", "kubernetes")
IMAGE = "feedforward:cluster-gpu"
GPUS = {
    "title": "GPUs",
    "description": "Number of GPUs for the training; 0 on machines without.",
    "type": "integer",
    "minimum": 0,
    "default": 1,
}


def template(address: str, kind: str) -> dict[str, Any]:
    """The template for a pool of this kind, from the default that the server at `address` offers (REST API).

    Raises:
        FeedforwardError: the server does not answer, or its default has another structure.
    """
    url = f"{address.rstrip('/')}/collections/views/aggregate-worker-metadata"
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310
            default = json.load(answer)[f"prefect-{kind}"][kind]["default_base_job_configuration"]
        return with_gpus(default, kind)
    except OSError as error:
        raise FeedforwardError(f"{url}: {error}; is the Prefect server running?") from None
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise FeedforwardError(
            f"{url}: unexpected template for {kind} ({error!r}); is Prefect's version ours?"
        ) from None


def with_gpus(default: dict[str, Any], kind: str) -> dict[str, Any]:
    """Add the variable `gpus`, the request for these GPUs and our image to a default template, in place."""
    properties, job = default["variables"]["properties"], default["job_configuration"]
    properties["gpus"] = GPUS
    properties["image"]["default"] = IMAGE
    if kind == "docker":
        devices = [{"driver": "nvidia", "count": "{{ gpus }}", "capabilities": [["gpu"]]}]
        job.setdefault("container_create_kwargs", {})["device_requests"] = devices
    else:
        [container] = job["job_manifest"]["spec"]["template"]["spec"]["containers"]
        container.setdefault("resources", {}).setdefault("limits", {})["nvidia.com/gpu"] = "{{ gpus }}"
    return default
