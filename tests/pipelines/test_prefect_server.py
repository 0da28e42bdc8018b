"""Prefect's server, both the temporary one and that of `make server`, rejects requests for other sites."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from foreign_servers import not_http
from live_prefect import Server
from live_servers import free_port

from feedforward.core.errors import FeedforwardError
from pipelines import operations, prefect_database, prefect_server

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FLOWS = "/api/flows/filter"
# Newer browsers ask for permission before a page from the internet may reach this machine; older ones do not.
ALLOW_LOOPBACK = (
    "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests",
    "--no-proxy-server",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server that `make server` starts."""
    with Server(tmp_path_factory.mktemp("server")) as live_server:
        yield live_server


def ask(url: str, **headers: str) -> int:
    return httpx.post(url + FLOWS, json={}, headers=headers, timeout=30).status_code


def assert_rejects_other_sites(url: str) -> None:
    for host in ("evil.example", "evil.example:4200", "127.0.0.1.evil.example"):
        assert ask(url, Host=host) == 403, host
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
        assert ask(url, Origin=origin) == 403, origin


@pytest.mark.proves("A page whose host name is rebound to 127.0.0.1 cannot use Prefect's server")
def test_temporary_server_rejects_other_sites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    with prefect_server.serving() as wait_for_server:
        wait_for_server()
        url = os.environ["PREFECT_API_URL"].removesuffix("/api")
        assert ask(url) == 200
        assert_rejects_other_sites(url)
    assert "PREFECT_API_URL" not in os.environ


def test_a_killed_temporary_server_is_named_instead_of_the_failed_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))

    def servers() -> set[psutil.Process]:  # other tests may have started the shared one
        return {child for child in psutil.Process().children() if prefect_server.__name__ in child.cmdline()}

    def lose_the_server() -> None:
        before = servers()
        with prefect_server.serving() as wait_for_server:
            wait_for_server()
            [server] = servers() - before
            server.kill()
            ask(os.environ["PREFECT_API_URL"])

    with pytest.raises(FeedforwardError, match=r"temporary server ended with exit code -9.*run the command again"):
        lose_the_server()


@pytest.mark.parametrize(("status", "retry_after"), [(200, None), (503, str(prefect_server.RETRY_AFTER))])
def test_a_collision_of_writers_is_answered_with_retry_after(status: int, retry_after: str | None) -> None:
    async def application(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def post() -> httpx.Response:
        transport = httpx.ASGITransport(prefect_server.with_retry_after(application))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.post(FLOWS)

    response = asyncio.run(post())
    assert (response.status_code, response.headers.get("Retry-After")) == (status, retry_after)


def test_permanent_server_rejects_other_sites(server: Server) -> None:
    assert ask(server.url) == 200
    assert ask(server.url, Origin=server.url) == 200
    assert_rejects_other_sites(server.url)


def test_prefect_commands_pass_the_host_check(server: Server) -> None:
    command = [sys.executable, "-m", "prefect", "work-pool", "create", "checked", "--type", "process"]
    done = subprocess.run(command, env=server.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    pools = httpx.post(server.url + "/api/work_pools/filter", json={}, timeout=30).json()
    assert "checked" in [pool["name"] for pool in pools]


def test_a_port_in_use_is_reported(server: Server) -> None:
    command = [sys.executable, "-m", "pipelines.operations", "server", "--port", str(server.port)]
    done = subprocess.run(command, env=server.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"127.0.0.1:{server.port}: Address already in use; choose another --port or --host\n"


def test_an_address_that_other_machines_can_reach_requires_expose(server: Server) -> None:
    command = [sys.executable, "-m", "pipelines.operations", "server", "--port", str(server.port), "--host", "0.0.0.0"]

    def serve(*options: str) -> str:
        done = subprocess.run(
            [*command, *options], env=server.environment, capture_output=True, text=True, timeout=60, check=False
        )
        return done.stderr

    assert serve() == (
        "--host: 0.0.0.0 can be reached from other machines, and Prefect's server has no login; add --expose\n"
    )
    assert "Address already in use" in serve("--expose")


def test_a_server_that_does_not_answer_is_reported_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{free_port()}/api")
    error = pytest.raises(FeedforwardError, match=r"PREFECT_API_URL: .*no server answers \(.*refused\); start .*unset")
    with error, prefect_server.serving():
        pass


def test_a_password_in_the_address_of_a_server_is_not_shown() -> None:
    with not_http() as address, pytest.raises(FeedforwardError) as caught:
        prefect_server.check(f"http://user:password1@{address}/api", "start it")
    problem = "no server answers (the answer is not valid HTTP: BadStatusLine)"
    assert str(caught.value) == f"PREFECT_API_URL: http://***@{address}/api: {problem}; start it"


def test_an_address_without_api_is_named(server: Server) -> None:
    with pytest.raises(FeedforwardError, match=rf"^PREFECT_API_URL: must end in /api, got {server.url}$"):
        prefect_server.check(server.url, "start it")


def test_a_server_is_found_at_an_address_with_a_password(server: Server) -> None:
    prefect_server.check(server.api.replace("://", "://user:password1@"), "start it")


@pytest.mark.parametrize("port", ["70000", "0", "-1", "http"])
def test_an_invalid_port_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        operations.main(["server", "--port", port])
    assert f"must be an integer between 1 and 65535, got {port}" in capsys.readouterr().err


def test_a_server_that_cannot_start_gives_the_reason_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    (tmp_path / "home").write_text("a file where the folder should be, which fails like a full disk")
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))
    error = pytest.raises(FeedforwardError, match=r"temporary server ended with exit code 1: .*home.*; fix this")
    with error, prefect_server.serving() as wait_for_server:
        wait_for_server()


def test_a_database_that_the_server_cannot_use_gives_the_reason_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))

    def start() -> None:
        with prefect_server.serving() as wait_for_server:
            wait_for_server()

    prefect_database.create()
    with closing(sqlite3.connect(tmp_path / "prefect.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'newer'")
    with pytest.raises(
        FeedforwardError, match=r"temporary server ended .*: .*Can't locate revision .*'newer'; fix this"
    ):
        start()
    (tmp_path / "prefect.db").write_bytes(b"garbage" * 1000)
    with pytest.raises(
        FeedforwardError, match=rf"exit code 1: {tmp_path}/prefect.db: Prefect's database cannot be read"
    ):
        start()


@pytest.mark.proves("A page whose host name is rebound to 127.0.0.1 cannot use Prefect's server")
def test_dns_rebinding_cannot_reach_the_server(server: Server) -> None:
    """A browser resolves evil.example to 127.0.0.1, so the attacker's page can send requests to the server."""
    chromium = pytest.importorskip("chromium")
    if chromium.EXECUTABLE is None:
        pytest.skip("no chromium is installed")
    evil = f"http://evil.example:{server.port}"
    with chromium.sync.sync_playwright() as playwright:
        rules = "--host-resolver-rules=MAP evil.example 127.0.0.1"
        browser = playwright.chromium.launch(
            executable_path=chromium.EXECUTABLE, args=["--no-sandbox", rules, *ALLOW_LOOPBACK]
        )
        page = browser.new_page()
        page.route(f"{evil}/page", lambda route: route.fulfill(body="<p>page</p>", content_type="text/html"))
        page.goto(f"{evil}/page")
        assert attack(page, evil) == 403
        assert attack(page, server.url) == "TypeError"  # another origin: rejected, and the response is unreadable
        assert connect(page, server.port) == "refused"
        page.goto(server.url)
        assert attack(page, server.url) == 201  # Prefect's own pages work
        assert connect(page, server.port) == "open"
        browser.close()
    variables = httpx.post(server.url + "/api/variables/filter", json={}, timeout=30).json()
    assert [variable["name"] for variable in variables] == ["mine"]


def attack(page: Any, url: str) -> int | str:
    """Send a request that would create a variable; return the status of the response, or the name of the error."""
    script = """async ([url, name]) => {
      const body = JSON.stringify({name, value: 1});
      try { return (await fetch(url + "/api/variables/", {method: "POST", body,
            headers: {"Content-Type": "application/json"}})).status; }
      catch (error) { return error.name; }
    }"""
    status: int | str = page.evaluate(script, [url, "mine" if page.url.startswith("http://127") else "evil"])
    return status


def connect(page: Any, port: int) -> str:
    """Try to open a WebSocket, and return `open` or `refused`."""
    script = """(port) => new Promise((done) => {
      const socket = new WebSocket(`ws://127.0.0.1:${port}/api/events/in`, "prefect");
      socket.onopen = () => done("open");
      socket.onerror = () => done("refused");
    })"""
    answer: str = page.evaluate(script, port)
    return answer
