"""Builds and uses the images, and starts the stack in compose.yaml: `make images`; needs Docker and takes minutes.

Base images come from a registry, or from the local image store, under the names in Dockerfile and compose.yaml.
"""

import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import git_repositories
import pytest
from waiting import until

ROOT = Path(__file__).parents[2]
IMAGE = "feedforward:test"
PROJECT = "feedforward-test"
USER = os.getuid() or 12345  # not root, and usually not the user of the image (1000) either
AS_ANY_USER = ["--user", f"{USER}:{USER}", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--network", "none"]

TIMEOUT = 900  # s that a container may take


def docker(
    *arguments: str, check: bool = True, folder: Path = ROOT, **variables: str
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        ["docker", *arguments], cwd=folder, env=os.environ | variables, capture_output=True, text=True, check=False
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


def build(folder: Path, revision: str) -> list[str]:
    """Build the image, and return the digests of its layers."""
    docker("build", "--tag", IMAGE, "--build-arg", f"REVISION={revision}", ".", folder=folder, DOCKER_BUILDKIT="1")
    return json.loads(docker("inspect", "--format", "{{json .RootFS.Layers}}", IMAGE).stdout)


@pytest.fixture(scope="module")
def image() -> str:
    build(ROOT, "test")
    return IMAGE


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A new repository with the files that git tracks in this one, owned by USER."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, names.split("\0")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tmp_path / name)
    git_repositories.commit(tmp_path, "test")
    if os.getuid() == 0:
        for path in [tmp_path, *tmp_path.rglob("*")]:
            os.chown(path, USER, USER)
    return tmp_path


@contextlib.contextmanager
def started_container(*arguments: str) -> Iterator[str]:
    container = docker("run", "--detach", *arguments).stdout.strip()
    try:
        yield container
    finally:
        docker("rm", "--force", container)


def status(address: str, host: str | None = None) -> int:
    """Return the status of the response, or 0 if there is no server yet."""
    request = urllib.request.Request(address, headers={"Host": host} if host else {})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def exit_code(container: str) -> str:
    return docker("inspect", "--format", "{{.State.ExitCode}}", container).stdout.strip()


@pytest.mark.proves("The image runs as any user and with a read-only root")
def test_any_user_continues_a_killed_demo_on_a_read_only_root_without_a_network(image: str, checkout: Path) -> None:
    options = [*AS_ANY_USER, "--volume", f"{checkout}:/app"]
    with started_container(*options, image, "demo") as container:
        until(lambda: list(checkout.glob("demo/mlruns/artifacts/*/*")), TIMEOUT)
        docker("kill", container)
    done = docker("run", "--rm", *options, image, "demo")
    assert "dropout" in done.stdout
    assert (checkout / "demo/reports/comparison/index.html").is_file()
    assert {path.lstat().st_uid for path in checkout.rglob("*")} == {USER}
    script = (
        "import sqlite3; store = sqlite3.connect('demo/mlruns/mlflow.db');"
        "print(dict(store.execute('SELECT status, count(*) > 0 FROM runs GROUP BY status')))"
    )
    states = docker("run", "--rm", *options, "--entrypoint", "python", image, "-c", script).stdout
    assert states == "{'FINISHED': 1, 'KILLED': 1}\n"


def test_without_a_mount_the_image_works_on_its_own_copy(image: str) -> None:
    script = "id -u && feedforward params && dvc status"
    done = docker("run", "--rm", "--network", "none", "--entrypoint", "sh", image, "-c", script)
    assert done.stdout.startswith("1000\n")


def test_the_templates_of_new_stores_can_be_read_by_any_user(image: str) -> None:
    code = (
        "from feedforward.core import sqlite_template; files = sorted(sqlite_template.folder().glob('*.db'));"
        "print([file.name.split('-')[0] for file in files if file.read_bytes()])"
    )
    done = docker("run", "--rm", *AS_ANY_USER, "--entrypoint", "python", image, "-c", code)
    assert done.stdout == "['mlflow', 'prefect']\n"


@pytest.mark.proves("`docker stop` ends a job as interrupted")
def test_a_stopped_job_exits_as_interrupted_and_another_is_refused_meanwhile(image: str, checkout: Path) -> None:
    arguments = ["--user", f"{USER}:{USER}", "--volume", f"{checkout}:/app", image, "demo"]
    with started_container(*arguments) as container:
        until(lambda: list((checkout / "demo").glob(".locks/*.lock")), TIMEOUT)
        second = docker("run", "--rm", *arguments, check=False)
        assert second.returncode == 75, second.stderr
        docker("stop", "--time", "60", container)
        assert exit_code(container) == "130"
        assert "interrupted" in docker("logs", container).stderr


@pytest.mark.proves("The service and MLflow in a container answer only to allowed names")
def test_the_service_is_healthy_and_answers_only_to_its_names(image: str) -> None:
    [health] = re.findall(r"--health-cmd '(.+)'", (ROOT / "docs/containers.md").read_text())
    options = ["--health-cmd", health, "--health-interval", "1s", "--publish", "127.0.0.1::8000"]
    with started_container(*options, image, "serve", "--host", "0.0.0.0", "--expose") as container:
        until(
            lambda: docker("inspect", "--format", "{{.State.Health.Status}}", container).stdout == "healthy\n", TIMEOUT
        )
        address = f"http://{docker('port', container, '8000').stdout.strip()}"
        assert status(f"{address}/health") == 200
        assert status(f"{address}/health", "evil.example") == 403
        docker("stop", "--time", "60", container)
        assert exit_code(container) == "0"


@pytest.mark.proves("The service and MLflow in a container answer only to allowed names")
def test_mlflow_is_reached_through_a_published_port(image: str) -> None:
    [port] = free_ports(1)
    options = ["--publish", f"127.0.0.1:{port}:{port}"]
    with started_container(*options, image, "ui", "--host", "0.0.0.0", "--expose", "--port", str(port)):
        until(lambda: status(f"http://127.0.0.1:{port}/") == 200, TIMEOUT)
        assert status(f"http://127.0.0.1:{port}/", "evil.example") == 403


def test_image_labels_state_license_and_revision(image: str) -> None:
    labels = json.loads(docker("inspect", "--format", "{{json .Config.Labels}}", image).stdout)
    assert labels["org.opencontainers.image.licenses"] == "MIT"
    assert labels["org.opencontainers.image.revision"] == "test"


@pytest.mark.proves("Changing a source file does not reinstall the packages in the image")
def test_changed_files_and_a_new_revision_do_not_rebuild_the_layers_of_packages(image: str, checkout: Path) -> None:
    before = build(checkout, "one")
    for name in ("README.md", "pyproject.toml", "src/feedforward/__init__.py"):
        with (checkout / name).open("a") as file:
            file.write("\n# changed\n")
    after = build(checkout, "two")
    assert after[:-2] == before[:-2]
    sizes = docker("history", "--human=false", "--format", "{{.Size}}", IMAGE).stdout.split()
    changed = [int(size) for size in sizes if size != "0"][:2]  # newest first: the editable installation, the code
    assert sum(changed) < 100e6
    assert sum(map(int, sizes)) > 1e9, "the packages are in the other layers"


def free_ports(count: int) -> list[str]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in sockets:
            listener.bind(("127.0.0.1", 0))
        return [str(listener.getsockname()[1]) for listener in sockets]


@pytest.fixture
def stack(checkout: Path) -> Iterator[dict[str, str]]:
    values = {name: secrets.token_hex(24) for name in ("POSTGRES_PASSWORD", "S3_SECRET")}
    values |= dict(zip(("MLFLOW_PORT", "PREFECT_PORT", "S3_PORT"), free_ports(3), strict=True))
    values |= {"WORKER_USER": f"{USER}:{USER}", "COMPOSE_PROJECT_NAME": PROJECT}
    docker("compose", "up", "--build", "--detach", "--wait", folder=checkout, **values)
    try:
        yield values
    finally:
        docker("compose", "down", "--volumes", folder=checkout, **values)


@pytest.mark.proves("The compose stack starts, shows Prefect's pages and accepts a deployment")
def test_compose_stack_starts_and_accepts_a_deployment(stack: dict[str, str], checkout: Path) -> None:
    mlflow, prefect = (f"http://127.0.0.1:{stack[name]}" for name in ("MLFLOW_PORT", "PREFECT_PORT"))
    assert [status(f"{address}/") for address in (mlflow, prefect)] == [200, 200]
    assert [status(f"{mlflow}/", "evil.example"), status(f"{prefect}/api/health", "evil.example")] == [403, 403]

    def in_worker(*command: str) -> str:
        return docker("compose", "exec", "--no-TTY", "worker", *command, folder=checkout, **stack).stdout

    assert "deployed: retraining/cpu" in in_worker("python", "-m", "pipelines.operations", "deploy")
