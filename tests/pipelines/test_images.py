"""Builds and uses the images, and starts the stack in compose.yaml: `make images`; needs Docker and takes minutes.

Base images come from a registry, or from the local image store, under the names in Dockerfile and compose.yaml.
"""

import json
import os
import secrets
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMAGE = "feedforward:test"
PROJECT = "feedforward-test"


def docker(*arguments: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        ["docker", *arguments], cwd=ROOT, env=os.environ | variables, capture_output=True, text=True, check=False
    )
    assert not check or done.returncode == 0, (
        f"docker {' '.join(arguments)}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    )
    return done


def has_engine() -> bool:
    return shutil.which("docker") is not None and docker("info", check=False).returncode == 0


pytestmark = [
    pytest.mark.images,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not has_engine(), reason="no container engine answers"),
]


@pytest.fixture(scope="module")
def image() -> str:
    docker("build", "--target", "cpu", "--tag", IMAGE, "--build-arg", "REVISION=test", ".", DOCKER_BUILDKIT="1")
    return IMAGE


@pytest.mark.proves("The image runs as any user and with a read-only root")
def test_image_runs_as_any_user_on_a_read_only_root(image: str) -> None:
    options = ["--user", "12345:12345", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--network", "none"]
    assert "datasets" in docker("run", "--rm", *options, image, "params").stderr
    code = "import getpass, dvc.repo; print(getpass.getuser())"
    done = docker("run", "--rm", *options, "--entrypoint", "python", image, "-c", code)
    assert done.stdout == "feedforward\n"


def test_demo_runs_in_a_container_without_a_network(image: str) -> None:
    done = docker("run", "--rm", "--network", "none", image, "demo")
    assert "dropout" in done.stdout


@pytest.mark.proves("`docker stop` ends a job as interrupted")
def test_a_stopped_container_exits_as_interrupted(image: str) -> None:
    container = docker("run", "--detach", image, "demo").stdout.strip()
    try:
        time.sleep(20)
        docker("stop", "--time", "30", container)
        assert docker("inspect", "--format", "{{.State.ExitCode}}", container).stdout.strip() == "130"
        assert "interrupted" in docker("logs", container).stderr
    finally:
        docker("rm", "--force", container)


def test_image_labels_state_license_and_revision(image: str) -> None:
    labels = json.loads(docker("inspect", "--format", "{{json .Config.Labels}}", image).stdout)
    assert labels["org.opencontainers.image.licenses"] == "MIT"
    assert labels["org.opencontainers.image.revision"] == "test"


@pytest.mark.proves("Changing a source file does not reinstall the packages in the image")
def test_a_changed_source_file_does_not_rebuild_the_layer_of_packages(image: str) -> None:
    """Both builds share the layer with the packages, which makes up nearly all of the image."""
    before = json.loads(docker("inspect", "--format", "{{json .RootFS.Layers}}", image).stdout)
    docker("build", "--target", "cpu", "--tag", IMAGE, "--build-arg", "REVISION=other", ".", DOCKER_BUILDKIT="1")
    after = json.loads(docker("inspect", "--format", "{{json .RootFS.Layers}}", image).stdout)
    sizes = docker("history", "--format", "{{.Size}} {{.CreatedBy}}", image).stdout
    assert "GB" in sizes
    assert len(set(before) & set(after)) >= len(before) - 2


@pytest.fixture
def stack() -> Iterator[dict[str, str]]:
    values = {name: secrets.token_hex(24) for name in ("POSTGRES_PASSWORD", "S3_SECRET")}
    values |= {"WORKER_USER": f"{os.getuid()}:{os.getgid()}", "COMPOSE_PROJECT_NAME": PROJECT}
    docker("compose", "up", "--build", "--detach", "--wait", **values)
    try:
        yield values
    finally:
        docker("compose", "down", "--volumes", **values)


@pytest.mark.proves("The compose stack starts, shows Prefect's pages and accepts a deployment")
def test_compose_stack_starts_and_accepts_a_deployment(stack: dict[str, str]) -> None:
    for address in ("http://127.0.0.1:5000/health", "http://127.0.0.1:4200/api/health", "http://127.0.0.1:4200/"):
        with urllib.request.urlopen(address, timeout=30) as answer:
            assert answer.status == 200, address
    request = urllib.request.Request("http://127.0.0.1:4200/api/health", headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(request, timeout=30)
    deployed = docker("compose", "exec", "worker", "python", "-m", "pipelines.operations", "deploy", **stack)
    assert "deployed: retraining/cpu" in deployed.stdout
