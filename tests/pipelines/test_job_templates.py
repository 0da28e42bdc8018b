"""Docker and Kubernetes pools: Prefect's own templates with GPUs added, and the jobs that a worker makes from them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from clean_environment import environment
from docker.types import DeviceRequest
from foreign_servers import not_http
from prefect.utilities.templating import apply_values
from small_data import values, write_params

from feedforward.core.errors import FeedforwardError
from pipelines import job_templates

pytestmark = pytest.mark.slow


def render_job(api: str, kind: str, **variables: Any) -> dict[str, Any]:
    """Return the job configuration of a flow run with these job variables."""
    template = job_templates.template(api, kind)
    properties = template["variables"]["properties"]
    defaults = {name: entry["default"] for name, entry in properties.items() if entry.get("default") is not None}
    job: dict[str, Any] = apply_values(template["job_configuration"], defaults | variables)
    return job


def test_docker_job_requests_gpus_and_keeps_the_memory_limit(prefect_server_address: str) -> None:
    job = render_job(prefect_server_address, "docker", mem_limit="8g", gpus=2, env={"A": "b"})
    assert (job["mem_limit"], job["image"]) == ("8g", job_templates.IMAGE)
    [device_request] = job["container_create_kwargs"]["device_requests"]
    assert DeviceRequest(**device_request) == {
        "Driver": "nvidia", "Count": 2, "DeviceIDs": [], "Capabilities": [["gpu"]], "Options": {},
    }  # fmt: skip


def test_kubernetes_job_requests_one_gpu_by_default(prefect_server_address: str) -> None:
    def resources(**variables: Any) -> dict[str, Any]:
        job = render_job(prefect_server_address, "kubernetes", **variables)
        [container] = job["job_manifest"]["spec"]["template"]["spec"]["containers"]
        requirements: dict[str, Any] = container["resources"]
        return requirements

    assert resources()["limits"] == {"nvidia.com/gpu": 1}


def test_other_template_variables_equal_prefects_defaults(prefect_server_address: str) -> None:
    views = httpx.get(f"{prefect_server_address}/collections/views/aggregate-worker-metadata", timeout=30).json()
    for kind in job_templates.POOL_TYPES:
        default = views[f"prefect-{kind}"][kind]["default_base_job_configuration"]
        template = job_templates.template(prefect_server_address, kind)
        assert template["variables"]["properties"].pop("gpus") == job_templates.GPUS_VARIABLE
        assert template["variables"]["properties"]["image"].pop("default") == job_templates.IMAGE
        default["variables"]["properties"]["image"].pop("default", None)
        assert template["variables"] == default["variables"]


def test_a_server_without_templates_is_reported(prefect_server_address: str) -> None:
    with pytest.raises(FeedforwardError, match="HTTP Error 404"):
        job_templates.template(f"{prefect_server_address}/none", "docker")


def test_a_server_that_does_not_speak_http_is_reported_without_the_password() -> None:
    with (
        not_http() as address,
        pytest.raises(FeedforwardError, match=rf"^http://\*\*\*@{address}/api/.*not valid HTTP"),
    ):
        job_templates.template(f"http://user:password1@{address}/api", "docker")


def test_pool_command_creates_the_pool_once(tmp_path: Path, prefect_server_address: str) -> None:
    write_params(tmp_path / "params.yaml", values())
    variables = {"FEEDFORWARD_ROOT": str(tmp_path), "PREFECT_API_URL": prefect_server_address}
    command = [sys.executable, "-m", "pipelines.operations", "pool", "gpu", "--type", "kubernetes"]
    done = subprocess.run(command, env=environment(**variables), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pool = httpx.get(f"{prefect_server_address}/work_pools/gpu", timeout=30).json()
    assert pool["type"] == "kubernetes"
    assert "nvidia.com/gpu" in json.dumps(pool["base_job_template"])
    repeated = subprocess.run(command, env=environment(**variables), capture_output=True, text=True, check=False)
    assert repeated.returncode == 1
    assert "gpu: the pool already exists" in repeated.stderr
