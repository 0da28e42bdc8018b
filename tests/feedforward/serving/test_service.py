"""The service as a client sees it: a real server on loopback, asked well and badly."""

import base64
import contextlib
import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest
import registered
from bad_requests import FIELDS, REQUESTS
from fuzzing import examples
from hypothesis import given
from hypothesis import strategies as st
from live_service import BOUNDS, GLAD, PATIENCE, Running
from pictures import encoded, stroke
from registered import NAME
from small_data import values, write_params

from feedforward.config.schema import Params
from feedforward.core import append_only_log, paths
from feedforward.core.errors import FeedforwardError, ParamsError
from feedforward.models import network_files
from feedforward.serving import prediction, server
from feedforward.tracking import model_versions
from feedforward.tracking.registry import Registry

if TYPE_CHECKING:
    from feedforward.tracking import Store

pytestmark = pytest.mark.slow


def until(what: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end, f"not so after {PATIENCE} s"
        time.sleep(0.05)


# --- answers ---------------------------------------------------------------------------------


def test_answers_are_those_of_the_command(served: Running) -> None:
    champion = prediction.champion(NAME)
    [expected] = prediction.answers(champion.served, [GLAD])
    told = served.ask(GLAD, "word1").json()
    assert (told["dataset"], told["version"]) == (NAME, 1)
    assert told["predictions"][0] == {key: pytest.approx(value) for key, value in expected.items()}
    assert [answer["label"] for answer in told["predictions"]] == ["glad", "sad"]

    [answer] = served.ask(GLAD, variants=True, explain=True).json()["predictions"]
    assert answer["variants"]["dropout"]["label"] == "sad"
    assert answer["variants"]["original"]["probability"] > answer["probability"]
    towards, words = prediction.explained(champion.served, GLAD)
    assert answer["words"]["towards"] == towards
    assert [word["effect"] for word in answer["words"]["effects"]] == pytest.approx([word.effect for word in words])


def test_a_picture_may_come_in_any_form(served: Running) -> None:
    content = encoded(255 - stroke(90, 60))
    text = base64.b64encode(content).decode()
    shares = [
        served.ask(sample, dataset="tones").json()["predictions"][0]["probabilities"]
        for sample in (text, f"data:image/png;base64,{text}", (255 - stroke(90, 60)).tolist())
    ]
    raw = served.client.post("/predict/tones", content=content, headers={"content-type": "image/png"})
    shares.append(raw.json()["predictions"][0]["probabilities"])
    assert all(share == shares[0] for share in shares)
    [seen] = served.ask(text, dataset="tones", explain=True).json()["predictions"]
    levels = np.array(seen["seen"]["levels"]).reshape(28, 28)
    assert levels.max() == 255
    assert levels.shape == (seen["seen"]["height"], seen["seen"]["width"])


def test_a_text_may_be_the_body_itself(served: Running) -> None:
    raw = served.client.post(f"/predict/{NAME}", content=GLAD.encode(), headers={"content-type": "text/plain"})
    assert raw.json() == served.ask(GLAD).json()


# --- what is not taken -----------------------------------------------------------------------


def test_a_bad_request_is_one_line_that_names_the_field(served: Running) -> None:
    assert len(REQUESTS) >= 60
    wrong = []
    for bad in REQUESTS:
        found = served.client.request(bad.method, bad.path, content=bad.body, headers=dict(bad.headers))
        told = found.json()
        as_told = (found.status_code, told["field"]) == (bad.status, bad.named) and bad.said in told["error"]
        if not as_told or not told["error"].isprintable():
            wrong.append((bad, bad.body[:60], found.status_code, told))
    assert not wrong
    assert served.ask(GLAD).status_code == 200
    assert not paths.incoming(NAME).exists()


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from([GLAD, "glad"]),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(st.sampled_from(FIELDS) | st.text(), below, max_size=4),
    max_leaves=12,
)


def test_whatever_is_asked_is_answered_or_refused(served: Running) -> None:
    @examples(300)
    @given(
        st.sampled_from(["/predict/notes", "/predict/tones", "/incoming/notes", "/incoming/tones"]),
        st.builds(lambda value: json.dumps(value).encode(), st.dictionaries(st.sampled_from(FIELDS), _json) | _json)
        | st.binary(max_size=99),
        st.sampled_from(["application/json", "text/plain", "image/png", "application/octet-stream", "\xe9", "a;b"]),
    )
    def ask(path: str, body: bytes, kind: str) -> None:
        found = served.client.post(path, content=body, headers={b"content-type": kind.encode("latin-1")})
        assert found.status_code in (200, 413, 422, 507), (path, body, found.text)
        assert found.status_code == 200 or found.json()["error"].isprintable(), found.text

    ask()


def test_other_kinds_of_bodies_are_refused(served: Running) -> None:
    for kind in ("application/x-www-form-urlencoded", "image/png", "", "multipart/form-data; boundary=x"):
        found = served.client.post(f"/predict/{NAME}", content=b"word1", headers={"content-type": kind})
        assert (found.status_code, found.json()["field"]) == (422, "Content-Type")
    found = served.client.post("/predict/tones", content=b"no picture", headers={"content-type": "image/png"})
    assert (found.status_code, found.json()["field"]) == (422, "samples.0")


def test_other_hosts_and_pages_of_other_sites_are_refused(served: Running) -> None:
    for headers in (
        {"host": "evil.example"},
        {"host": f"127.0.0.1.evil.example:{served.port}"},
        {"host": ""},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": f"http://127.0.0.1:{served.port + 1}"},
    ):
        found = served.client.post(f"/predict/{NAME}", json={"samples": [GLAD]}, headers=headers)
        assert found.status_code == 403, headers
    own = {"origin": f"http://127.0.0.1:{served.port}"}
    assert served.client.post(f"/predict/{NAME}", json={"samples": [GLAD]}, headers=own).status_code == 200


def raw(port: int, content: bytes) -> bytes:
    """What comes back for these bytes, until the server closes or is silent."""
    with socket.create_connection(("127.0.0.1", port), timeout=0.5) as connection:
        answer = b""
        try:
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                answer += part
        except OSError:
            pass
        return answer


def malformed(random: np.random.Generator) -> bytes:
    """A request that is wrong in one of many ways."""
    body = json.dumps({"samples": [GLAD], "explain": True}).encode()
    head = f"POST /predict/{NAME} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    whole = f"{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body
    kind = random.integers(8)
    if kind == 0:
        return bytes(random.integers(0, 256, random.integers(0, 300), np.uint8))
    if kind == 1:
        return whole[: random.integers(len(whole))]
    if kind == 2:
        broken = bytearray(whole)
        for _ in range(random.integers(1, 30)):
            broken[random.integers(len(broken))] = random.integers(256)
        return bytes(broken)
    if kind == 3:
        return f"{head}Content-Length: {random.integers(10**12)}\r\n\r\n".encode() + body
    if kind == 4:
        return f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + bytes(random.integers(0, 256, 50, np.uint8))
    if kind == 5:
        return f"GET /{'a' * random.integers(100_000)} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()
    if kind == 6:
        return head.encode() + b"X: y\r\n" * random.integers(2000) + b"\r\n"
    odd: list[Any] = [
        [],
        {},
        None,
        -1,
        1e308,
        "\x00",
        "\u202e",
        {"samples": {"$gt": ""}},
        {"samples": [[[]]]},
        {"samples": [[["a"]]]},
    ]
    chosen = json.dumps(odd[random.integers(len(odd))]).encode()
    return f"{head}Content-Length: {len(chosen)}\r\nConnection: close\r\n\r\n".encode() + chosen


def test_it_stays_up_under_a_thousand_malformed_requests(served: Running) -> None:
    random = np.random.default_rng(5)
    statuses: dict[str, int] = {}
    for _ in range(1000):
        answer = raw(served.port, malformed(random))
        status = answer[9:12].decode("latin-1") if answer.startswith(b"HTTP/1.1 ") else "closed"
        statuses[status] = statuses.get(status, 0) + 1
    assert not any(status.startswith("5") for status in statuses), statuses
    assert statuses.get("422", 0) > 50, statuses
    assert served.ask(GLAD).status_code == 200
    assert served.thread.is_alive()


@pytest.mark.parametrize("endless", [b"GET /", f"POST /predict/{NAME} HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ".encode()])
def test_a_head_without_end_is_given_up(served: Running, endless: bytes) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=PATIENCE) as connection:
        connection.sendall(endless)
        with contextlib.suppress(ConnectionError):  # closed while this goes on
            for _ in range(1000):
                connection.sendall(b"a" * 1000)
        with contextlib.suppress(ConnectionError):
            assert connection.recv(100).startswith(b"HTTP/1.1 431")
    assert served.ask(GLAD).status_code == 200


# --- states ----------------------------------------------------------------------------------


def test_health_readiness_metrics_and_description(served: Running) -> None:
    assert served.client.get("/health").json() == {"status": "alive"}
    assert served.client.get("/ready").json()["champions"] == {NAME: 1, "tones": 1}
    served.ask(GLAD, GLAD)
    served.ask("")
    text = served.client.get("/metrics").text
    assert f'feedforward_samples_total{{dataset="{NAME}"}} 2.0' in text
    assert 'feedforward_requests_total{path="predict",status="422"} 1.0' in text
    assert 'feedforward_request_seconds_count{path="predict"} 2.0' in text
    assert f'feedforward_champion_version{{dataset="{NAME}"}} 1.0' in text
    assert "evil" not in text
    api = served.client.get("/openapi.json").json()
    assert {"/predict/{dataset}", "/incoming/{dataset}", "/health", "/ready", "/metrics"} <= set(api["paths"])
    for place in ("/docs", "/"):
        page = served.client.get(place)
        assert page.status_code == 200
        assert not re.search(r"(src|href)=[\"']?(https?:)?//", page.text), place
        assert "default-src 'none'" in page.headers["content-security-policy"]
    told = served.client.get("/datasets").json()["datasets"][NAME]
    assert told["champion"] == {"variant": "original", "seed": 0, "epochs": 2, "samples": 90, "version": 1}
    assert set(told["variants"]) == {"original", "dropout"}


def test_without_a_champion_it_says_so_and_takes_one_up_later(small: Params, small_store: "Store") -> None:
    with Running(small.model_copy(update={"serving": BOUNDS})) as served:
        found = served.ask(GLAD)
        assert found.status_code == 503
        assert "run `feedforward promote notes`" in found.json()["error"]
        assert served.client.get("/ready").status_code == 503
        assert served.client.get("/health").status_code == 200
        registered.champion(small_store, small)
        until(lambda: served.ask(GLAD).status_code == 200)
        assert served.client.get("/ready").status_code == 200


def test_a_new_champion_is_taken_up_under_load_and_a_touched_one_is_not(served: Running) -> None:
    registry = Registry()
    [run] = registry.find_runs(NAME, role="final")
    answered: list[tuple[int, int]] = []
    stop = threading.Event()

    def load() -> None:
        with httpx.Client(base_url=f"http://127.0.0.1:{served.port}") as client:
            while not stop.is_set():
                found = client.post(f"/predict/{NAME}", json={"samples": [GLAD]})
                answered.append((found.status_code, found.json()["version"]))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    second = registered.version(registry, run, 2.0, evaluated=False)
    registry.set_alias(second, "champion")
    until(lambda: served.ask(GLAD).json()["version"] == 2)
    third = registered.version(registry, run, 3.0, evaluated=False)
    (model_versions.folder(third, "served") / network_files.WEIGHTS).write_bytes(registered.weights(4.0))
    registry.set_alias(third, "champion")
    until(lambda: NAME in served.client.get("/ready").json()["problems"])
    assert served.ask(GLAD).json()["version"] == 2
    stop.set()
    for thread in threads:
        thread.join()
    assert {status for status, _ in answered} == {200}
    assert {version for _, version in answered} == {1, 2}


def test_a_touched_variant_is_told_and_the_champion_answers(small: Params, small_store: "Store") -> None:
    version = registered.champion(small_store, small, 1.0, original=2.0)
    (model_versions.folder(version, "variants/original") / network_files.WEIGHTS).write_bytes(registered.weights(4.0))
    with Running(small.model_copy(update={"serving": BOUNDS})) as served:
        told = served.client.get("/datasets").json()["datasets"][NAME]
        assert told["champion"]["version"] == 1
        assert not told["variants"]
        assert "was changed since it was registered" in told["problem"]
        assert served.ask(GLAD).status_code == 200
        assert served.ask(GLAD, variants=True).status_code == 503


# --- corrections -----------------------------------------------------------------------------


def test_a_correction_is_kept_once_and_the_file_is_bounded(served: Running) -> None:
    def correct(sample: Any, label: Any, dataset: str = NAME) -> httpx.Response:
        return served.client.post(f"/incoming/{dataset}", json={"sample": sample, "label": label})

    assert correct("word1 größe", "glad").json() == {"stored": True}
    assert correct("word1 größe", "glad").json() == {"stored": False}
    assert correct("word1 größe", "sad").json() == {"stored": True}
    first = next(iter(append_only_log.read(paths.incoming(NAME))))
    assert (first["text"], first["label"], first["version"], first["answer"]) == ("word1 größe", "glad", 1, "sad")

    image = base64.b64encode(encoded(stroke(40, 40))).decode()
    assert correct(image, "grey", "tones").json() == {"stored": True}
    [kept] = append_only_log.read(paths.incoming("tones"))
    assert len(base64.b64decode(kept["pixels"])) == kept["height"] * kept["width"] == 784

    for sample, label, field in (("", "glad", "sample"), ("word1", "happy", "label"), ("word1", 3, "label")):
        found = correct(sample, label)
        assert (found.status_code, found.json()["field"]) == (422, field)
    statuses = [correct(f"word{k} " * 100, "sad").status_code for k in range(20)]
    assert statuses[-1] == 507
    assert paths.incoming(NAME).stat().st_size <= BOUNDS.max_feedback_bytes


def test_what_was_kept_before_a_restart_is_known(served: Running) -> None:
    body = {"sample": "word1", "label": "glad"}
    assert served.client.post(f"/incoming/{NAME}", json=body).json() == {"stored": True}
    with Running(Params.model_validate(served_params().model_dump())) as again:
        assert again.client.post(f"/incoming/{NAME}", json=body).json() == {"stored": False}


def served_params() -> Params:
    from small_data import params

    return params()


# --- the process -----------------------------------------------------------------------------


def test_other_addresses_need_a_flag() -> None:
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.org"):
        with pytest.raises(ParamsError, match="add --expose"):
            server.check_host(host, expose=False)
        server.check_host(host, expose=True)
    for host in ("127.0.0.1", "127.0.0.9", "localhost", "::1"):
        server.check_host(host, expose=False)


def test_a_taken_port_is_named() -> None:
    with server.bind("127.0.0.1", 0) as taken:
        taken.listen()
        with pytest.raises(FeedforwardError, match="is in use by another process; choose another --port"):
            server.bind("127.0.0.1", taken.getsockname()[1])


def test_the_command_serves_and_stops_gracefully(small: Params, small_store: "Store", tmp_path: Path) -> None:
    registered.champion(small_store, small)
    write_params(tmp_path / "params.yaml", values(serving={"port": 1, "refresh": 0.2}))
    command = [sys.executable, "-m", "feedforward.cli", "serve", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)
    assert process.stdout is not None
    assert process.stderr is not None
    address = process.stdout.readline().split()[0]
    assert httpx.post(f"{address}/predict/{NAME}", json={"samples": [GLAD]}, timeout=PATIENCE).status_code == 200
    libraries = Path(f"/proc/{process.pid}/maps")
    assert not libraries.exists() or "tensorflow" not in libraries.read_text()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=PATIENCE) in (0, -signal.SIGTERM)
    assert "Traceback" not in process.stderr.read()


def test_nothing_that_is_not_finite_is_answered(served: Running) -> None:
    for answer in served.ask(GLAD, "word1", "x").json()["predictions"]:
        assert all(math.isfinite(share) and 0 <= share <= 1 for share in answer["probabilities"].values())
