"""The append-only log keeps complete lines from concurrent processes and stays within its size limit."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from feedforward.core import append_only_log


def test_entries_are_read_in_the_order_in_which_they_were_appended(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "log.jsonl"
    assert list(append_only_log.read(path)) == []
    for number in range(3):
        assert append_only_log.append(path, {"number": number, "text": "größe\n\u2028"})
    assert [entry["number"] for entry in append_only_log.read(path)] == [0, 1, 2]
    assert path.read_bytes().count(b"\n") == 3


def test_a_torn_line_does_not_affect_other_lines(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    append_only_log.append(path, {"number": 0})
    with path.open("ab") as file:
        file.write(b'{"number": 1, "te')
    append_only_log.append(path, {"number": 2})
    assert [entry["number"] for entry in append_only_log.read(path)] == [0, 2]


def test_lines_that_are_not_objects_or_not_unicode_are_skipped(tmp_path: Path) -> None:
    lines = [b"{", b"[]", b"3", b"\xff", b"", b"[" * 100_000, rb'{"a": "\ud800"}', rb'{"\uDFFF": 1}', b'{"a": 1}']
    (tmp_path / "log.jsonl").write_bytes(b"\n".join(lines))
    assert list(append_only_log.read(tmp_path / "log.jsonl")) == [{"a": 1}]


def test_an_entry_beyond_the_size_limit_is_not_appended(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    assert append_only_log.append(path, {"a": 1}, max_bytes=10)
    assert not append_only_log.append(path, {"a": 2}, max_bytes=10)
    assert len(path.read_bytes()) <= 10


def test_non_finite_numbers_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        append_only_log.append(tmp_path / "log.jsonl", {"a": float("nan")})


@pytest.mark.slow
def test_concurrent_processes_neither_lose_nor_tear_a_line(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    script = (
        "import sys; from pathlib import Path; from feedforward.core import append_only_log as log\n"
        "for k in range(100): log.append(Path(sys.argv[1]), {'who': sys.argv[2], 'k': k, 'fill': 'x' * 5000})"
    )
    workers = [subprocess.Popen([sys.executable, "-c", script, str(path), str(w)]) for w in range(4)]
    assert [worker.wait() for worker in workers] == [0] * 4
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted((line["who"], line["k"]) for line in lines) == sorted(
        (str(w), k) for w in range(4) for k in range(100)
    )
