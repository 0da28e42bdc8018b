"""The `serve` command: addresses, readiness, workers and shutdown."""

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psutil
import pytest
import registered
from live_servers import free_port
from live_service import GLAD
from registered import NAME
from small_data import values, write_params
from waiting import PATIENCE, until

from feedforward.config.schema import Params, Serving
from feedforward.core.errors import FeedforwardError, ParamsError
from feedforward.serving import server, workers
from feedforward.tracking import model_versions, names, registry

if TYPE_CHECKING:
    from feedforward.tracking import Store

pytestmark = pytest.mark.slow


def test_allowed_hosts_are_compared_without_case_port_and_brackets() -> None:
    hosts = ["Example.com:8231", "EXAMPLE.ORG", "[FD00::1]:80", "fd00::2", "my_host"]
    assert server.host_names(hosts) == {"example.com", "example.org", "fd00::1", "fd00::2", "my_host"}
    for host in ("*", "*.example", "https://ex.org", "ex.org/", "", "ex.org:", "a b", "a,b"):
        with pytest.raises(ParamsError, match="--allow-host: must be a host name"):
            server.host_names([host])


def test_a_port_in_use_is_reported() -> None:
    with server.bind("127.0.0.1", 0) as used_port:
        for shared in (False, True):
            with pytest.raises(FeedforwardError, match=r"127.0.0.1:\d+: is in use by another process; choose another"):
                server.bind("127.0.0.1", used_port.getsockname()[1], shared)


@contextlib.contextmanager
def running(*options: str, before: str = ":", **environment: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """Run `feedforward serve`; yield the process and the address that it prints; finally stop it with SIGTERM.

    before: a shell command that runs first.
    """
    serve = [sys.executable, "-m", "feedforward.cli", "serve", "--port", "0", *options]
    command = ["bash", "-c", f'{before}; exec "$@"', "bash", *serve]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environment
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        yield process, process.stdout.readline().split()[0]
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE) == 0
        assert "Traceback" not in process.stderr.read()


def ask(address: str, **headers: str) -> httpx.Response:
    return httpx.post(f"{address}/predict/{NAME}", json={"samples": [GLAD]}, headers=headers, timeout=PATIENCE)


def test_serve_is_ready_when_it_prints_its_address_and_stops_on_sigterm(
    small: Params, small_store: "Store", tmp_path: Path
) -> None:
    registered.champion(small_store, small)
    write_params(tmp_path / "params.yaml", values(serving={"port": 1, "refresh": 0.2}))  # --port replaces this port
    with running() as (process, address):
        assert ask(address).status_code == 200
        libraries = Path(f"/proc/{process.pid}/maps")  # TensorFlow is not loaded
        assert not libraries.exists() or "tensorflow" not in libraries.read_text()


@pytest.mark.proves("A service keeps serving its project's champions if `project` is edited in params.yaml")
def test_an_edited_project_takes_effect_only_after_a_restart(
    small: Params, small_store: "Store", tmp_path: Path
) -> None:
    registered.champion(small_store, small)
    write_params(tmp_path / "params.yaml", values(serving={"refresh": 0.2}))
    with running() as (_, address):
        write_params(tmp_path / "params.yaml", values(serving={"refresh": 0.2}, project="other"))
        assert model_versions.find(NAME) is None
        with names.fixed(""):
            registered.champion(small_store, small, 2.0)
        until(lambda: httpx.get(f"{address}/ready", timeout=PATIENCE).json()["champions"] == {NAME: 2})
        assert ask(address).json()["version"] == 2
    with running() as (_, address):
        assert httpx.get(f"{address}/ready", timeout=PATIENCE).json()["champions"] == {}


def test_other_host_names_are_accepted_only_if_allowed(small: Params, small_store: "Store") -> None:
    registered.champion(small_store, small)
    with running("--host", "0.0.0.0", "--expose", "--allow-host", "Models.example:8231") as (_, address):
        local = address.replace("0.0.0.0", "127.0.0.1")
        for host, status in (
            ("localhost", 200),
            ("models.example:80", 200),
            ("evil.example", 403),
            ("models.example.evil", 403),
        ):
            assert ask(local, host=host).status_code == status, host
        assert ask(local, host="models.example", origin="http://evil.example").status_code == 403


@pytest.mark.proves("Idle connections and unfinished requests do not keep the service busy")
def test_unfinished_requests_do_not_exhaust_the_open_files(small: Params, small_store: "Store") -> None:
    registered.champion(small_store, small)
    with running(before="ulimit -n 256") as (process, address), contextlib.ExitStack() as stack:
        endpoint = ("127.0.0.1", int(address.rpartition(":")[2]))
        process.send_signal(signal.SIGSTOP)  # so that it finds all of them at once
        for _ in range(300):
            client = stack.enter_context(socket.create_connection(endpoint, timeout=PATIENCE))
            client.sendall(b"GET /health HTTP/1.1\r\nHost: ")
        process.send_signal(signal.SIGCONT)
        assert ask(address).status_code == 200
        assert len(psutil.Process(process.pid).net_connections()) <= 128 + 1  # and the listening socket
        assert "at most 128 connections instead of 800" in process.stderr.readline()


def test_workers_share_the_port_and_counters_and_are_replaced_when_they_die(
    small: Params, small_store: "Store"
) -> None:
    registered.champion(small_store, small)
    with running("--workers", "2") as (process, address):
        children = psutil.Process(process.pid).children()
        assert len(children) == 2
        assert [ask(address).status_code for _ in range(12)] == [200] * 12  # each over a new connection
        counter_line = f'feedforward_samples_total{{dataset="{NAME}"}} 12.0'
        assert all(counter_line in httpx.get(f"{address}/metrics").text for _ in range(6))
        port = address.rpartition(":")[2]
        second_service = subprocess.run(
            [sys.executable, "-m", "feedforward.cli", "serve", "--port", port, "--workers", "2"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert "is in use by another process" in second_service.stderr
        children[0].kill()
        until(lambda: len(set(psutil.Process(process.pid).children()) - set(children)) == 1)
        assert [ask(address).status_code for _ in range(12)] == [200] * 12
        assert 'feedforward_champion_version{dataset="notes"} 1.0' in httpx.get(f"{address}/metrics").text


@pytest.mark.proves("Of several services that start at the same time on one port, only one runs")
@pytest.mark.parametrize("workers", [("1", "1"), ("2", "2"), ("1", "2")])
def test_of_services_that_start_at_the_same_time_only_one_runs(
    small: Params, small_store: "Store", workers: tuple[str, str]
) -> None:
    registered.champion(small_store, small)
    port = free_port()
    with contextlib.ExitStack() as stack:
        services = []
        for count in workers:
            command = [sys.executable, "-m", "feedforward.cli", "serve", "--port", str(port), "--workers", count]
            service = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            stack.callback(service.wait, PATIENCE)
            stack.callback(service.terminate)
            services.append(service)
        until(lambda: any(service.poll() is not None for service in services))
        [refused] = [service for service in services if service.poll() is not None]
        services.remove(refused)
        _, errors = refused.communicate(timeout=PATIENCE)
        assert refused.returncode == 1
        assert f"127.0.0.1:{port}: is in use by another process; choose another --port" in errors
        assert services[0].stdout is not None
        assert services[0].stdout.readline().startswith(f"http://127.0.0.1:{port} ")


def test_workers_exit_with_their_parent_process(
    small: Params, small_store: "Store", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # where the killed process leaves its folder with counters behind
    registered.champion(small_store, small)
    command = [sys.executable, "-m", "feedforward.cli", "serve", "--port", "0", "--workers", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("http")
        children = psutil.Process(process.pid).children()
        process.kill()
        until(lambda: not any(child.is_running() for child in children))


def test_a_worker_that_fails_to_start_stops_the_service_with_its_message() -> None:
    script = """if True:
        import socket, sys
        from feedforward.core.errors import DataError, run_reporting_errors
        from feedforward.serving import workers

        def fail(*_):
            raise DataError("the registry: is damaged")

        sockets = [socket.socket() for _ in range(2)]
        sys.exit(run_reporting_errors(lambda: workers.run(sockets, fail, lambda: None)))
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "the registry: is damaged" in done.stderr
    assert "ended with exit code 1 before it was ready; its message is above" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.proves("A service of several workers stops on a signal, even after a worker was replaced")
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_workers_stop_on_a_signal_even_after_one_was_replaced(stop: signal.Signals) -> None:
    script = """if True:
        import os, socket, sys, time
        from feedforward.core.errors import run_reporting_errors
        from feedforward.serving import workers

        def work(listening, ready, parent_end):  # has no signal handler yet, like a worker that is still starting
            ready()
            os.write(1, b"%d\\n" % os.getpid())
            time.sleep(600)

        with workers.shared_counters(2):
            sockets = [socket.socket() for _ in range(2)]
            announce = lambda: os.write(1, b"ready\\n")
            sys.exit(run_reporting_errors(lambda: workers.run(sockets, work, announce)))
    """
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline().strip() for _ in range(3)]
            pids = [int(line) for line in lines if line != "ready"]
            assert len(pids) == 2
            os.kill(pids[0], signal.SIGKILL)
            replacement = psutil.Process(int(process.stdout.readline()))
            process.send_signal(stop)
            assert process.wait(timeout=PATIENCE) == 0
            assert not replacement.is_running()
        finally:
            for child in psutil.Process(process.pid).children() if process.poll() is None else ():
                child.kill()


def test_counters_of_another_program_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(workers.METRICS_FOLDER_VARIABLE, "/nonexistent")
    with workers.shared_counters(1):
        assert workers.METRICS_FOLDER_VARIABLE not in os.environ
    with workers.shared_counters(2):
        assert Path(os.environ[workers.METRICS_FOLDER_VARIABLE]).is_dir()
    assert workers.METRICS_FOLDER_VARIABLE not in os.environ


def test_several_workers_are_rejected_if_a_setting_requires_one_process() -> None:
    for serving in (Serving(shadow="challenger"), Serving(reservoir=1000)):
        workers.check(1, serving)
        with pytest.raises(ParamsError, match="--workers: must be 1 while serving"):
            workers.check(2, serving)
    workers.check(2, Serving())


@pytest.mark.proves("While the tracking server is down, predictions come from the last verified copy of the champion")
@pytest.mark.parametrize("accepts_connections", [False, True])
def test_last_known_champion_is_served_while_the_tracking_server_is_down(
    small: Params, small_store: "Store", accepts_connections: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = registered.champion(small_store, small)
    location = version.location.removeprefix("file://")
    last_known = dataclasses.replace(version, location="mlflow-artifacts:/1/models/m-1/artifacts")
    with socket.socket() as unused_port:
        unused_port.bind(("127.0.0.1", 0))
        if accepts_connections:  # but never answers
            unused_port.listen()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{unused_port.getsockname()[1]}")
        monkeypatch.setattr(registry.Registry, "find", lambda *_: last_known)
        monkeypatch.setattr(registry, "download", lambda uri, _: uri.replace(last_known.location, location))
        assert model_versions.find(NAME) == last_known
        for name in ("served", *(f"variants/{name}" for name in version.variants())):
            model_versions.folder(last_known, name)
        with running(MLFLOW_HTTP_REQUEST_TIMEOUT="1") as (_, address):
            until(lambda: ask(address).status_code == 200)
            state = httpx.get(f"{address}/ready", timeout=PATIENCE).json()
            assert state["champions"] == {NAME: 1}
            assert NAME in state["problems"]


def test_service_imports_no_heavy_library() -> None:
    heavy = {"scipy", "mlflow", "pandas", "pyarrow", "keras"}
    script = f"import sys, feedforward.serving.server; print(*{heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not done.stdout.strip()
