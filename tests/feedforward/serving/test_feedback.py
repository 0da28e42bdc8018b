"""Labeled samples from users: stored once, up to a limit, and refused if they cannot be stored."""

import base64
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import registered
from live_service import SERVING, LiveService
from pictures import encoded, stroke
from registered import NAME
from small_data import params

from feedforward.core import append_only_log, locks, paths
from feedforward.serving import feedback_log
from feedforward.serving.feedback_log import FeedbackLog

pytestmark = pytest.mark.slow


def test_a_correction_is_stored_once_up_to_the_size_limit_of_the_file(served: LiveService) -> None:
    def correct(sample: Any, label: Any, dataset: str = NAME) -> httpx.Response:
        return served.client.post(f"/incoming/{dataset}", json={"sample": sample, "label": label})

    assert correct("word1 größe", "glad").json() == {"stored": True}
    assert correct("word1 größe", "glad").json() == {"stored": False}
    assert correct("word1 größe", "sad").json() == {"stored": True}
    first = next(iter(append_only_log.read(paths.incoming(NAME))))
    assert (first["text"], first["label"], first["version"], first["answer"]) == ("word1 größe", "glad", 1, "sad")

    image = base64.b64encode(encoded(stroke(40, 40))).decode()
    assert correct(image, "gray", "tones").json() == {"stored": True}
    [entry] = append_only_log.read(paths.incoming("tones"))
    assert len(base64.b64decode(entry["pixels"])) == entry["height"] * entry["width"] == 784

    for sample, label, field in (("", "glad", "sample"), ("word1", "happy", "label"), ("word1", 3, "label")):
        answer = correct(sample, label)
        assert (answer.status_code, answer.json()["field"]) == (422, field)
    statuses = [correct(f"word{k} " * 100, "sad").status_code for k in range(20)]
    assert statuses[-1] == 507
    assert paths.incoming(NAME).stat().st_size <= SERVING.max_feedback_bytes


@pytest.mark.proves("A correction may spell a label with decomposed characters; the dataset's spelling is stored")
def test_a_label_may_be_decomposed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEEDFORWARD_ROOT", str(tmp_path))
    (tmp_path / "params.yaml").touch()
    composed, decomposed = (unicodedata.normalize(form, "küche") for form in ("NFC", "NFD"))
    for name, spelling, other in (("a", composed, decomposed), ("b", decomposed, composed)):
        feedback_log = FeedbackLog(name, ["sport", spelling], 1000)
        assert feedback_log.append(registered.ENCODER, "word1", other, 1, "sport")
        assert not feedback_log.append(registered.ENCODER, "word1", spelling, 1, "sport")
        assert [entry["label"] for entry in append_only_log.read(paths.incoming(name))] == [spelling]


def test_samples_stored_before_a_restart_are_not_stored_again(served: LiveService) -> None:
    body = {"sample": "word1", "label": "glad"}
    assert served.client.post(f"/incoming/{NAME}", json=body).json() == {"stored": True}
    with LiveService(params()) as restarted:
        assert restarted.client.post(f"/incoming/{NAME}", json=body).json() == {"stored": False}


@pytest.mark.proves("Corrections are stored even if their file was moved away while the service was running")
def test_a_new_feedback_file_is_started_if_the_old_one_was_moved(served: LiveService, tmp_path: Path) -> None:
    body = {"sample": "word1", "label": "glad"}
    assert served.client.post(f"/incoming/{NAME}", json=body).json() == {"stored": True}
    paths.incoming(NAME).rename(tmp_path / "taken.jsonl")
    assert served.client.post(f"/incoming/{NAME}", json=body).json() == {"stored": True}
    assert served.client.post(f"/incoming/{NAME}", json=body).json() == {"stored": False}
    assert len(list(append_only_log.read(paths.incoming(NAME)))) == 1


def test_samples_written_by_another_process_are_not_stored_again(served: LiveService) -> None:
    body = {"sample": "word1", "label": "glad"}
    assert served.client.post(f"/incoming/{NAME}", json=body).json() == {"stored": True}
    [entry] = append_only_log.read(paths.incoming(NAME))
    append_only_log.append(paths.incoming(NAME), {**entry, "label": "sad"})
    assert served.client.post(f"/incoming/{NAME}", json={**body, "label": "sad"}).json() == {"stored": False}


def test_two_workers_that_get_the_same_samples_store_each_once(served: LiveService) -> None:
    encoder = served.service.handlers.models.champion(NAME).served.encoder
    logs = [FeedbackLog(NAME, ("sad", "glad"), 100_000) for _ in range(2)]

    def append(k: int) -> bool:
        return logs[k % 2].append(encoder, f"word{k // 4}", "glad", 1, "sad")

    with ThreadPoolExecutor(8) as threads:
        stored = list(threads.map(append, range(80)))
    texts = [entry["text"] for entry in append_only_log.read(paths.incoming(NAME))]
    assert sorted(texts) == sorted({f"word{k}" for k in range(20)})
    assert sum(stored) == 20


def test_each_worker_reads_each_stored_line_only_once(served: LiveService, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = served.service.handlers.models.champion(NAME).served.encoder
    logs = [FeedbackLog(NAME, ("sad", "glad"), 100_000) for _ in range(2)]
    lines, parse = [], append_only_log.parse
    monkeypatch.setattr(append_only_log, "parse", lambda line: lines.append(line) or parse(line))
    for k in range(40):
        assert logs[k % 2].append(encoder, f"word{k}", "glad", 1, "sad")
    assert not any(log.append(encoder, f"word{k}", "glad", 1, "sad") for log in logs for k in range(40))
    assert len(lines) == 2 * 40


@pytest.mark.parametrize("content", ["", "one entry of another file\n" * 20], ids=["emptied", "overwritten"])
def test_samples_are_stored_again_after_the_file_was_overwritten_in_place(served: LiveService, content: str) -> None:
    body = {"sample": "word1", "label": "glad"}
    for stored in (True, False):
        assert served.client.post(f"/incoming/{NAME}", json=body).json() == {"stored": stored}
    paths.incoming(NAME).write_text(content)
    for stored in (True, False):
        assert served.client.post(f"/incoming/{NAME}", json=body).json() == {"stored": stored}


@pytest.mark.proves("A correction that cannot be stored is answered with 507")
def test_an_unwritable_folder_gives_status_507(served: LiveService) -> None:
    paths.incoming(NAME).parent.parent.mkdir(parents=True, exist_ok=True)
    paths.incoming(NAME).parent.write_text("a file in place of the folder")
    answer = served.client.post(f"/incoming/{NAME}", json={"sample": "word1", "label": "glad"})
    assert answer.status_code == 507
    assert "cannot be written" in answer.json()["error"]
    assert "the sample was not stored" in answer.json()["error"]
    assert str(paths.root()) not in answer.json()["error"]


@pytest.mark.proves("A process that keeps the lock of a feedback file does not block the service")
@pytest.mark.parametrize("lock", [f".{NAME}.jsonl.lock", f".{NAME}.jsonl.serving.lock"])
def test_a_locked_feedback_file_gives_status_503(
    served: LiveService, monkeypatch: pytest.MonkeyPatch, lock: str
) -> None:
    monkeypatch.setattr(feedback_log, "LOCK_TIMEOUT", 0.2)
    body = {"sample": "word1", "label": "glad"}
    paths.incoming(NAME).parent.mkdir(parents=True, exist_ok=True)
    with locks.private(paths.incoming(NAME).with_name(lock)):
        answer = served.client.post(f"/incoming/{NAME}", json=body)
    assert answer.status_code == 503
    assert "is locked by another process; nothing was stored; try again" in answer.json()["error"]
    assert str(paths.root()) not in answer.json()["error"]
    assert served.client.post(f"/incoming/{NAME}", json=body).json() == {"stored": True}
