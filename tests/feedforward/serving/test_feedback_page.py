"""The feedback page: over HTTP, in a real browser, and its refusal of clients on other machines."""

import asyncio
import base64
import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import registered
from live_service import SERVING, LiveService
from registered import NAME
from small_data import PIXELS

from feedforward.config.schema import Params
from feedforward.core import append_only_log, paths
from feedforward.data import feedback_decisions
from feedforward.data.readers.text_encoder import TextEncoder
from feedforward.serving.http import server
from feedforward.serving.http.requests import Request

if TYPE_CHECKING:
    from feedforward.tracking import Store

pytestmark = pytest.mark.slow

XSS = "<img src=x onerror=alert(1)>word1 </script><script>alert(2)</script>"


@pytest.fixture
def service(small: Params, small_store: "Store") -> Iterator[LiveService]:
    """A service, with a profile and a vocabulary, so that corrections can be validated."""
    registered.write_vocabulary()
    for name in ("notes", "tones"):
        pq.write_table(pa.table({"digest": ["0" * 64]}), paths.vectorized(name) / "profile.parquet")
    with LiveService(
        small.model_copy(update={"serving": SERVING.model_copy(update={"max_body_bytes": 200_000})})
    ) as service:
        yield service


def give(text: str, label: str = "glad", **fields: Any) -> str:
    """Store a corrected text as the service does, and return its ID."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    entry = {"time": "2026-11-28T10:00:00+00:00", "label": label, "digest": digest, "text": text, "answer": "sad"}
    append_only_log.append(paths.incoming(NAME), {**entry, "version": 1, **fields})
    return feedback_decisions.sample_id({**entry, **fields})


def list_samples(service: LiveService, **query: Any) -> dict[str, Any]:
    answer = service.client.get(f"/feedback/{NAME}", params=query)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_listing_does_not_encode_the_samples_again(service: LiveService, monkeypatch: pytest.MonkeyPatch) -> None:
    give("word1 word2")
    before = list_samples(service)
    monkeypatch.setattr(TextEncoder, "encode", None)
    assert list_samples(service) == before


def test_samples_are_listed_and_decided(service: LiveService) -> None:
    ids = [give(f"word{k}") for k in range(1, 61)]
    id_of_long_text = give("word1 " * 160)
    give("word1", label="happy")
    listing = list_samples(service)
    assert listing["counts"] == {"waiting": 61, "accepted": 0, "rejected": 0, "invalid": 1}
    assert [sample["id"] for sample in listing["samples"]] == ids[:50]
    assert [sample["id"] for sample in list_samples(service, offset=50)["samples"]] == [*ids[50:], id_of_long_text]
    body = {"accept": ids[:2], "reject": ids[2:3], "reason": "read\nby Ann"}
    answer = service.client.post(f"/feedback/{NAME}", json=body)
    assert answer.json() == {"accepted": 2, "rejected": 1, "waiting": 58}
    [rejected] = list_samples(service, state="rejected")["samples"]
    assert (rejected["id"], rejected["decision"]["reason"]) == (ids[2], "read by Ann")
    line = next(append_only_log.read(paths.reviews(NAME)))
    assert (line["via"], line["by"]) == ("page", feedback_decisions.user())


def test_bad_requests_give_a_one_line_error_and_record_nothing(service: LiveService) -> None:
    sample = give("word1")
    for path, body, field in (
        (NAME, {"accept": ["nothing"]}, "accept"),
        (NAME, {"accept": [sample], "reject": [sample]}, "reject"),
        (NAME, {"accept": sample}, "accept"),
        (NAME, {"accept": [1]}, "accept.0"),
        (NAME, {"accept": ["a"] * 1001}, "accept"),
        (NAME, {"reason": "x" * 501}, "reason"),
        (NAME, {"all": True}, "all"),
        (NAME, [], "body"),
        ("nots", {"accept": [sample]}, None),
    ):
        answer = service.client.post(f"/feedback/{path}", json=body)
        assert answer.status_code in (404, 422), answer.text
        assert answer.json()["field"] == field, answer.text
        assert answer.json()["error"].isprintable()
    for query in ({"state": "new"}, {"offset": "-1"}, {"offset": "9" * 40}):
        answer = service.client.get(f"/feedback/{NAME}", params=query)
        assert (answer.status_code, answer.json()["field"]) == (422, next(iter(query)))
    assert service.client.get("/feedback/nots").status_code == 404
    form = {"content-type": "application/x-www-form-urlencoded"}
    answer = service.client.post(f"/feedback/{NAME}", content=b'{"accept": []}', headers=form)
    assert (answer.status_code, answer.json()["field"]) == (422, "Content-Type")
    assert not paths.reviews(NAME).exists()


def test_a_file_that_cannot_be_read_is_reported_without_a_traceback_or_folders(service: LiveService) -> None:
    paths.incoming(NAME).mkdir(parents=True)
    for answer in (
        service.client.get(f"/feedback/{NAME}"),
        service.client.post(f"/feedback/{NAME}", json={"accept": ["0123456789ab"]}),
    ):
        assert answer.status_code == 503
        assert answer.json()["error"] == f"{NAME}.jsonl: Is a directory; fix it, then run again"


def test_requests_from_other_sites_and_machines_are_rejected(service: LiveService) -> None:
    sample = give("word1")
    for headers in ({"host": "evil.example"}, {"origin": "http://evil.example"}):
        answer = service.client.post(f"/feedback/{NAME}", json={"accept": [sample]}, headers=headers)
        assert answer.status_code == 403, headers

    def status(path: str, host: str, client: tuple[str, int] | None) -> int:
        headers = [(b"host", host.encode()), (b"content-type", b"application/json")]
        request = Request("POST" if path.endswith(NAME) else "GET", path.encode(), "1.1", headers, True, b"{}")
        return asyncio.run(server.respond(service.service.application, request, client))[0]

    object.__setattr__(service.service.application, "hosts", frozenset({"127.0.0.1", "::1", "reviews.example"}))
    local = ("127.0.0.1", 5000)
    assert status("/feedback", "127.0.0.1:8000", local) == 200
    assert status("/feedback", "[::1]:8000", ("::1", 5000)) == 200
    assert status("/feedback", "127.0.0.1:8000", ("::ffff:127.0.0.1", 5000)) == 200  # IPv4, as an IPv6 socket sees it
    for path in ("/feedback", f"/feedback/{NAME}", f"//feedback/{NAME}"):
        assert status(path, "127.0.0.1:8000", ("192.0.2.7", 5000)) == 403  # the service is exposed
        assert status(path, "reviews.example", local) == 403  # a proxy on this machine
        assert status(path, "127.0.0.1:8000", None) == 403
    assert not paths.reviews(NAME).exists()


def test_large_samples_are_shortened(service: LiveService) -> None:
    give("word1 " + "x" * 900)
    [sample] = list_samples(service)["samples"]
    assert "left_out" not in sample
    give("word1 " + "y" * 5000)
    [too_long] = list_samples(service, state="invalid")["samples"]  # violates the dataset's bounds, but is listed
    assert (len(too_long["text"]), too_long["left_out"]) == (2000, 3006)


def give_image(label: str) -> None:
    pixels = np.arange(PIXELS, dtype=np.uint8) * 20
    entry = {"label": label, "digest": hashlib.sha256(pixels.tobytes()).hexdigest(), "height": 3, "width": 4}
    pixels_text = base64.b64encode(pixels.tobytes()).decode()
    append_only_log.append(paths.incoming("tones"), {**entry, "pixels": pixels_text, "version": 1, "answer": "dark"})


def test_samples_are_decided_on_the_page_in_a_browser(service: LiveService, request: pytest.FixtureRequest) -> None:
    chromium = pytest.importorskip("chromium")
    if chromium.EXECUTABLE is None:
        pytest.skip("no browser is installed")
    browser = request.getfixturevalue("browser")
    give(XSS)
    give("word2 word3", label="sad")
    give("word2 word3", label="glad")
    give("word4 " * 20)
    give_image("gray")
    page_errors: list[str] = []
    for width in (1200, 390):
        context = browser.new_context(viewport={"width": width, "height": 844})
        tab = context.new_page()
        tab.set_default_timeout(chromium.TIMEOUT_MS)
        tab.on("pageerror", lambda error: page_errors.append(str(error)))
        tab.on("dialog", lambda dialog: page_errors.append(dialog.message))
        tab.goto(f"http://127.0.0.1:{service.port}/feedback#{NAME}")
        cards = tab.locator("#samples li")
        chromium.sync.expect(cards).to_have_count(4 if width == 1200 else 3)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.evaluate(chromium.CONTRAST)[0] >= 4.5
        if width == 1200:
            assert XSS in cards.first.inner_text()
            tab.locator("#reason").fill("read by Ann")
            cards.nth(0).get_by_role("button", name="Reject").click()
            chromium.sync.expect(tab.locator("#done")).to_have_text("Rejected 1; 3 to review.")
        tab.locator("#states label").nth(2).click()
        chromium.sync.expect(cards).to_have_count(1)
        assert "read by Ann" in cards.first.inner_text()
        tab.get_by_text("Small gray pictures").click()
        tab.locator("#states label").nth(0).click()
        chromium.sync.expect(tab.locator("#samples canvas")).to_have_count(1)
        context.close()
    assert not page_errors
    [line] = append_only_log.read(paths.reviews(NAME))
    assert (line["decision"], line["via"], line["reason"]) == ("rejected", "page", "read by Ann")


def test_the_focus_stays_at_the_decided_sample_for_use_with_the_keyboard(
    service: LiveService, request: pytest.FixtureRequest
) -> None:
    chromium = pytest.importorskip("chromium")
    if chromium.EXECUTABLE is None:
        pytest.skip("no browser is installed")
    for k in range(1, 53):
        give(f"word{k}")
    context = request.getfixturevalue("browser").new_context()
    tab, errors = chromium.watched_page(context, f"http://127.0.0.1:{service.port}/")
    tab.goto(f"http://127.0.0.1:{service.port}/feedback#{NAME}")
    cards = tab.locator("#samples li")

    def expect_focus(index: int, name: str) -> None:
        chromium.sync.expect(cards.nth(index).get_by_role("button", name=name)).to_be_focused()

    cards.nth(6).get_by_role("button", name="Accept").press("Enter")
    expect_focus(6, "Accept")
    assert "word8" in cards.nth(6).inner_text()
    cards.nth(49).get_by_role("button", name="Reject").press("Enter")
    expect_focus(49, "Reject")
    tab.locator("#states label").nth(2).click()
    chromium.sync.expect(cards).to_have_count(1)
    cards.get_by_role("button", name="Accept").press("Enter")
    chromium.sync.expect(tab.locator("#done")).to_be_focused()  # no sample is left
    tab.locator("#states label").nth(0).click()
    give("word1 word2")
    tab.reload()
    tab.locator("#more").press("Enter")
    expect_focus(50, "Accept")
    tab.locator("#all").press("Enter")
    chromium.sync.expect(tab.locator("#done")).to_be_focused()
    context.close()
    assert not errors
