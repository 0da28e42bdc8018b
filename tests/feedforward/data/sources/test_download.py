"""Files are fetched from mirrors and URLs, verified by digest, and retried after temporary failures."""

import gzip
import json
import logging

import pytest
from raw_files import (
    REVIEWS,
    complete,
    cut_off,
    failing,
    members_digest,
    reviews_file,
    serving,
    sha256,
    stalled,
    tar_gz,
)

from feedforward.config.schema import SourceFile
from feedforward.core.errors import SourceError
from feedforward.data import collected_files
from feedforward.data.sources import download
from feedforward.data.sources.locations import RetryPolicy

CONTENT = bytes(range(256)) * 300
PACKED = gzip.compress(CONTENT, mtime=0)
KEY = "numbers.gz"
PATIENT_S = 30.0  # a time limit that a busy machine does not reach: such an attempt might never count as a request
PAGE = b"<!DOCTYPE html><title>Log in to the network</title>"


def numbers_file(*urls: str, **changes: object) -> dict[str, SourceFile]:
    values = {"archive": "gzip", "sha256": sha256(CONTENT), "max_bytes": len(CONTENT), "urls": urls, **changes}
    return {KEY: SourceFile(**values)}


def fetch(files, root, mirrors=(), stall_s=PATIENT_S):
    download.fetch(files, root / "raw", mirrors, RetryPolicy(stall_s, retries=3, pause_s=0.01))
    return root / "raw"


def failure(files, root, mirrors=(), stall_s=PATIENT_S) -> str:
    """Return the message of a fetch that must fail, after a check that it wrote no file of the dataset."""
    with pytest.raises(SourceError) as caught:
        fetch(files, root, mirrors, stall_s)
    assert [path.name for path in (root / "raw").glob("*") if path.name != "digests.json"] == []
    message = str(caught.value)
    assert "\n" not in message
    assert "FEEDFORWARD_MIRROR=" in message
    return message


def put_numbers(folder, content=PACKED):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / KEY).write_bytes(content)
    return folder


def recorded_digests(raw):
    return {key: record["sha256"] for key, record in json.loads((raw / "digests.json").read_text()).items()}


def test_a_file_is_unpacked_verified_and_its_digest_recorded(root):
    put_numbers(root / "mirror")
    raw = fetch(numbers_file(), root, ["mirror"])
    assert (raw / "numbers").read_bytes() == CONTENT
    assert recorded_digests(raw) == {KEY: sha256(CONTENT)}
    assert sorted(path.name for path in raw.iterdir()) == ["digests.json", "numbers"]


@pytest.mark.proves("A file that is no longer listed in `files` leaves data/raw at the next fetch; other files stay")
def test_files_of_former_entries_are_removed(root):
    put_numbers(root / "mirror")
    plain = {"plain.txt": SourceFile(archive="none", max_bytes=len(CONTENT), urls=())}
    (root / "mirror" / "plain.txt").write_text("text")
    raw = fetch(numbers_file() | plain, root, ["mirror"])
    (raw / "mine.txt").write_text("put here by hand")
    fetch(plain, root, ["mirror"])
    assert sorted(path.name for path in raw.iterdir()) == ["digests.json", "mine.txt", "plain.txt"]
    assert list(recorded_digests(raw)) == ["plain.txt"]


def test_correct_files_are_not_fetched_again(root):
    with serving({f"/{KEY}": [complete(PACKED)]}) as server:
        for _ in range(2):
            raw = fetch(numbers_file(f"{server.url}/{KEY}"), root)
        assert server.requested == [f"/{KEY}"]
        (raw / "numbers").write_bytes(CONTENT[:-1] + b"?")
        fetch(numbers_file(f"{server.url}/{KEY}"), root)
    assert len(server.requested) == 2
    assert (raw / "numbers").read_bytes() == CONTENT


def test_a_loop_of_symbolic_links_is_reported(root):
    (root / "loop.gz").symlink_to("loop.gz")
    assert "loop.gz" in failure(numbers_file("loop.gz"), root)


def test_sources_are_tried_in_order(root, monkeypatch):
    put_numbers(root / "named", b"no gzip")
    put_numbers(root.parent / "listed", b"no gzip either")
    with serving({f"/{KEY}": [complete(PACKED)]}) as server:
        monkeypatch.setenv("FEEDFORWARD_MIRROR", str(root / "named"))
        files = numbers_file(f"{server.url}/nowhere", "../own.gz")
        message = failure(files, root, ["../listed"])
        places = [root.parent / "own.gz", root / "named" / KEY, root.parent / "listed" / KEY, f"{server.url}/nowhere"]
        assert sorted(map(str, places), key=message.index) == list(map(str, places))
        files = numbers_file(f"{server.url}/{KEY}", "../own.gz")
        assert (fetch(files, root, ["../listed"]) / "numbers").read_bytes() == CONTENT
        assert server.requested == ["/nowhere", f"/{KEY}"]


@pytest.mark.parametrize("is_local", [True, False], ids=["path", "URL"])
def test_a_mirror_provides_a_file_of_unknown_digest_only_if_its_source_is_gone(root, monkeypatch, caplog, is_local):
    other = gzip.compress(b"another file of the same name")
    monkeypatch.setenv("FEEDFORWARD_MIRROR", str(put_numbers(root / "named", other)))
    put_numbers(root / "listed", other)
    put_numbers(root / "own")
    with serving({f"/{KEY}": [complete(PACKED)]}) as server:
        files = numbers_file(f"own/{KEY}" if is_local else f"{server.url}/{KEY}", sha256=None)
        for _ in range(2):
            raw = fetch(files, root, ["listed"])
            assert (raw / "numbers").read_bytes() == CONTENT
            (raw / "numbers").write_bytes(b"damaged")  # now the recorded digest is known, so any source may provide it
            put_numbers(root / "listed")
        assert len(server.requested) == (0 if is_local else 1)
    assert is_local or "refused" in caplog.text  # the other file in the mirror, when the digest was known
    (raw / "digests.json").unlink()
    caplog.clear()
    (root / "own" / KEY).unlink()
    download.fetch(files, raw, ["named"], RetryPolicy(PATIENT_S, retries=0))
    assert (raw / "numbers").read_bytes() == b"another file of the same name"
    assert f"{KEY}: taken from {root}/named/{KEY}, because " in caplog.text


@pytest.mark.parametrize("base", ["{url}/some/folder", "{url}/some/folder/", "{url}/some/folder?token=hidden"])
def test_a_mirror_may_be_a_url(root, monkeypatch, base):
    with serving({f"/some/folder/{KEY}": [complete(PACKED)]}) as server:
        monkeypatch.setenv("FEEDFORWARD_MIRROR", base.format(url=server.url))
        raw = fetch(numbers_file(), root)
    assert (raw / "numbers").read_bytes() == CONTENT
    assert server.requested[0].endswith("?token=hidden") == ("?" in base)


def test_a_folder_with_colons_may_be_a_mirror(root, monkeypatch):
    monkeypatch.setenv("FEEDFORWARD_MIRROR", str(put_numbers(root / "a::b")))
    assert (fetch(numbers_file(), root) / "numbers").read_bytes() == CONTENT


def test_any_fsspec_file_system_may_be_a_mirror(root, monkeypatch):
    import fsspec

    fsspec.filesystem("memory").pipe(f"/bucket/{KEY}", PACKED)
    monkeypatch.setenv("FEEDFORWARD_MIRROR", "memory://bucket")
    assert (fetch(numbers_file(), root) / "numbers").read_bytes() == CONTENT


def test_gzip_declared_as_an_encoding_is_not_decompressed_by_the_client(root):
    with serving({f"/{KEY}": [complete(PACKED, Content_Encoding="gzip")]}) as server:
        assert (fetch(numbers_file(f"{server.url}/{KEY}"), root) / "numbers").read_bytes() == CONTENT


def test_a_plain_file_keeps_its_name(root):
    (root / "own.csv").write_text("a,b\n")
    files = {"own.csv": SourceFile(urls=("own.csv",))}
    assert (fetch(files, root) / "own.csv").read_text() == "a,b\n"


def test_a_tar_becomes_one_table_in_canonical_order(root):
    reversed_reviews = dict(reversed(REVIEWS.items()))
    (root / "mirror" / "set.tar.gz").write_bytes(tar_gz({"set/README": b"hello", **reversed_reviews}))
    raw = fetch({"set.tar.gz": reviews_file()}, root, ["mirror"])
    ((names, contents),) = collected_files.read(raw / "set.tar.gz.parquet")
    assert dict(zip(names, contents, strict=True)) == REVIEWS
    assert names == list(REVIEWS)
    before = (raw / "set.tar.gz.parquet").read_bytes()
    # a damaged file is fetched again, here from an archive whose members are in a different order
    (raw / "set.tar.gz.parquet").write_bytes(before[:-9])
    (root / "mirror" / "set.tar.gz").write_bytes(tar_gz(REVIEWS))
    fetch({"set.tar.gz": reviews_file()}, root, ["mirror"])
    assert (raw / "set.tar.gz.parquet").read_bytes() == before
    (root / "mirror" / "set.tar.gz").unlink()
    fetch({"set.tar.gz": reviews_file()}, root, ["mirror"])  # the file is correct, so it is not fetched


def test_a_web_page_with_status_200_is_rejected_and_the_next_source_is_tried(root, caplog):
    caplog.set_level(logging.WARNING)
    with serving({"/page": [complete(PAGE)], "/good": [complete(PACKED)]}) as server:
        raw = fetch(numbers_file(f"{server.url}/page", f"{server.url}/good"), root)
        assert (raw / "numbers").read_bytes() == CONTENT
        assert server.requested == ["/page", "/good"]  # a source with a wrong file is not retried
    assert f"refused {server.url}/page: expected gzip, received a web page" in caplog.text


def test_wrong_content_is_reported_with_its_source_and_both_digests(root):
    wrong = b"something else"
    with serving({"/wrong": [complete(gzip.compress(wrong))]}) as server:
        message = failure(numbers_file(f"{server.url}/wrong"), root)
    assert f"{server.url}/wrong: expected content with SHA-256 {sha256(CONTENT)}, received {sha256(wrong)}" in message


def test_a_web_page_instead_of_a_plain_file_is_rejected(root):
    with serving({"/page": [complete(PAGE)]}) as server:
        files = {"plain": SourceFile(urls=(f"{server.url}/page",), sha256=sha256(CONTENT))}
        assert f"received {sha256(PAGE)}" in failure(files, root)


@pytest.mark.parametrize(
    ("response", "stall_s"),
    [
        (cut_off(PACKED, 40), PATIENT_S),
        (cut_off(PACKED, 0), PATIENT_S),
        (failing(503), PATIENT_S),
        (failing(429), PATIENT_S),
        pytest.param(stalled(PACKED, 40, 3.0), 1.0, marks=pytest.mark.slow),
        (complete(PACKED[:90]), PATIENT_S),
    ],
    ids=["cut off", "cut off immediately", "503", "429", "stall", "ends early"],
)
def test_temporary_failures_are_retried(root, response, stall_s):
    with serving({"/here": [response, response, response, complete(PACKED)]}) as server:
        raw = fetch(numbers_file(f"{server.url}/here"), root, stall_s=stall_s)
    assert (raw / "numbers").read_bytes() == CONTENT
    assert len(server.requested) == 4


@pytest.mark.parametrize(
    ("response", "stall_s", "reason", "requests"),
    [
        pytest.param(stalled(PACKED, 40, 3.0), 1.0, "stalled for 1 s", 4, marks=pytest.mark.slow),
        (cut_off(PACKED, 40), PATIENT_S, "Payload", 4),
        (failing(500), PATIENT_S, "HTTP status 500", 4),
        (failing(404), PATIENT_S, "no such file", 1),
        (failing(403), PATIENT_S, "HTTP status 403", 1),
    ],
    ids=["stall", "cut off", "500", "404", "403"],
)
def test_lasting_failures_are_reported_after_at_most_three_retries(root, response, stall_s, reason, requests):
    with serving({"/here": [response]}) as server:
        message = failure(numbers_file(f"{server.url}/here"), root, stall_s=stall_s)
    assert f"{server.url}/here: " in message
    assert reason in message
    assert len(server.requested) == requests


def test_a_refused_connection_is_reported(root):
    with serving({}) as server:
        pass
    assert "Connect" in failure(numbers_file(f"{server.url}/here"), root, ["../nowhere"])


def test_the_home_folder_of_an_unknown_user_is_reported_as_missing(root):
    assert "~nobody-of-that-name/numbers.gz: no such file" in failure(numbers_file(), root, ["~nobody-of-that-name"])


def test_message_names_every_source_that_was_tried(root, monkeypatch):
    monkeypatch.setenv("FEEDFORWARD_MIRROR", str(root / "named"))
    message = failure(numbers_file("unknownscheme://host/file"), root, ["../listed"])
    assert f"{root}/named/{KEY}: no such file" in message
    assert f"{root.parent}/listed/{KEY}: no such file" in message
    assert "unknownscheme://host/file: " in message


def test_secrets_in_urls_are_not_printed(root, monkeypatch, caplog):
    with serving({f"/folder/{KEY}": [failing(403)], "/page": [complete(PAGE)]}) as server:
        host = server.url.removeprefix("http://")
        monkeypatch.setenv("FEEDFORWARD_MIRROR", f"http://someone:c4nary@{host}/folder?X-Amz-Signature=c4nary")
        message = failure(numbers_file(f"http://someone:c4nary@{host}/page?token=c4nary", "http://u:c4nary@[bad"), root)
    assert "c4nary" not in message + caplog.text
    assert host in message


def test_files_without_a_digest_must_match_their_first_fetch(root):
    (root / "own.csv").write_text("first")
    files = {"own.csv": SourceFile(urls=("own.csv",))}
    raw = fetch(files, root)
    (root / "own.csv").write_text("second")
    fetch(files, root)
    assert (raw / "own.csv").read_text() == "first"
    (raw / "own.csv").unlink()
    message = failure(files, root)
    assert sha256(b"first") in message
    assert sha256(b"second") in message
    assert "feedforward fetch" in message
    (raw / "digests.json").unlink()
    assert (fetch(files, root) / "own.csv").read_text() == "second"


def test_a_changed_url_of_a_file_without_a_digest_is_not_ignored(root):
    with serving({"/v1.csv": [complete(b"first")], "/copy.csv": [complete(b"first")]}) as server:
        raw = fetch({"own.csv": SourceFile(urls=(f"{server.url}/v1.csv",))}, root)
        fetch({"own.csv": SourceFile(urls=(f"{server.url}/copy.csv",))}, root)
        assert server.requested == ["/v1.csv", "/copy.csv"]
        before = (raw / "digests.json").read_text()
    (root / "mirror" / "own.csv").write_text("first")
    with serving({"/v2.csv": [complete(b"second")]}) as server:
        changed = {"own.csv": SourceFile(urls=(f"{server.url}/v2.csv",))}
        with pytest.raises(SourceError, match=r"^own\.csv: its entry .* `feedforward fetch raw` accepts changed data$"):
            fetch(changed, root, ["mirror"])
        assert ((raw / "own.csv").read_text(), (raw / "digests.json").read_text()) == ("first", before)
        download.fetch(changed, raw, ["mirror"], accept_changes=True)
        assert (raw / "own.csv").read_text() == "second"
        fetch(changed, root)
        assert server.requested == ["/v2.csv"] * 2


@pytest.mark.parametrize("was_pinned", [True, False])
def test_a_changed_number_of_files_is_checked(root, was_pinned):
    for number in range(3):
        (root / "own" / "yes").mkdir(parents=True, exist_ok=True)
        (root / "own" / "yes" / f"{number}.txt").write_text(str(number))
    values = {"urls": ("own",), "archive": "folder", "folders": ("yes",)}
    raw = fetch({"own": SourceFile(**values)}, root)
    if was_pinned:
        fetch({"own": SourceFile(**values, sha256=recorded_digests(raw)["own"])}, root)
    with pytest.raises(SourceError, match="expected 500 members"):
        fetch({"own": SourceFile(**values, file_count=500)}, root)
    fetch({"own": SourceFile(**values, file_count=3)}, root)


def test_digests_recorded_by_earlier_releases_remain_valid(root):
    (root / "own.csv").write_text("first")
    files = {"own.csv": SourceFile(urls=("own.csv",))}
    raw = fetch(files, root)
    (raw / "digests.json").write_text(json.dumps(recorded_digests(raw)))
    (root / "own.csv").write_text("second")
    assert (fetch(files, root) / "own.csv").read_text() == "first"
    assert recorded_digests(raw) == {"own.csv": sha256(b"first")}


@pytest.mark.parametrize("content", [b"\xff{", b"[]", b'{"numbers.gz": {"sha": "0"}}', b'{"numbers.gz": 1}'])
def test_a_damaged_file_of_digests_is_ignored(root, content):
    put_numbers(root / "mirror")
    (root / "raw").mkdir()
    (root / "raw" / "digests.json").write_bytes(content)
    fetch(numbers_file(), root, ["mirror"])
    assert recorded_digests(root / "raw") == {KEY: sha256(CONTENT)}


def test_digest_of_an_archive_is_computed_from_its_members(root):
    changed_reviews = REVIEWS | {"set/test/pos/1_8.txt": b"heard of"}
    (root / "mirror" / "set.tar.gz").write_bytes(tar_gz(changed_reviews))
    assert members_digest(changed_reviews) in failure({"set.tar.gz": reviews_file()}, root, ["mirror"])
