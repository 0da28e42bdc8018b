"""Texts vectorized by two workers, one of which is lost, from shards in a folder or in S3: the bytes of one process.

Needs requirements/cluster.txt.
"""

import hashlib
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

distributed = pytest.importorskip("distributed")
ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "feedforward"))
from live_cluster import environment  # noqa: E402
from small_data import values, write_params  # noqa: E402

from feedforward.core.errors import DataError, FeedforwardError  # noqa: E402
from feedforward.data import archive_members  # noqa: E402
from pipelines import dask_text  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
BUCKET = "team"
TEXTS = {"train/sad": 5000, "train/glad": 4200, "test/sad": 2500, "test/glad": 2500}  # three shards and two


def workspace(folder: Path, **changes: Any) -> Path:
    """Raw texts with ties of frequency, capitals beyond ASCII, empty texts and some that are not UTF-8."""
    changed = values(**changes)
    del changed["datasets"]["tones"]
    changed["datasets"]["notes"]["reader"] |= {"shuffle_seed": 3, "num_words": 60}
    write_params(folder / "params.yaml", changed)
    chance = random.Random(0)
    known = [f"word{k}" for k in range(90)] + ["ÄRGER", "İstanbul", "it's", "ΣΟΦΟΣ", "\u2028", "-"]
    texts = {}
    for place, count in TEXTS.items():
        for number in range(count):
            words = [known[int(len(known) * chance.random() ** 2)] for _ in range(number % 12)]
            texts[f"{place}/{number:05}"] = " ".join(words).encode() + (b" \xff" if number % 500 == 7 else b"")
    (folder / "data" / "raw" / "notes").mkdir(parents=True)
    with (folder / "data" / "raw" / "notes" / "texts.parquet").open("wb") as file:
        archive_members.write(list(texts), [len(text) for text in texts.values()], texts.__getitem__, file)
    return folder


def vectorize(folder: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pipelines.stages", "vectorize", "notes"]
    return subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False)


def left(folder: Path) -> dict[str, str]:
    """Digest of each file that vectorize left, and of nothing else, for there must be none."""
    place = folder / "data" / "vectorized"
    files = [path for path in place.rglob("*") if path.is_file()]
    return {str(path.relative_to(place)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """URL of a folder in an S3 endpoint on loopback."""
    server, boto3 = pytest.importorskip("moto.server"), pytest.importorskip("boto3")
    running = server.ThreadedMotoServer(port=0)
    running.start()
    host, port = running.get_host_and_port()
    settings = {"ENDPOINT_URL": f"http://{host}:{port}", "ACCESS_KEY_ID": "nobody", "SECRET_ACCESS_KEY": "nothing"}
    for name, value in (settings | {"DEFAULT_REGION": "us-east-1"}).items():
        monkeypatch.setenv(f"AWS_{name}", value)
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    yield f"s3://{BUCKET}/shards"
    running.stop()


@pytest.mark.parametrize("store", ["data/shards", "s3"])
def test_two_workers_one_of_them_lost_leave_the_bytes_of_one_process(
    tmp_path: Path, bucket: str, cluster: Any, store: str
) -> None:
    address, start = cluster
    store = bucket if store == "s3" else store
    here = workspace(tmp_path / "here")
    apart = workspace(tmp_path / "apart", engine=address, shards=store)
    done = vectorize(here)
    assert done.returncode == 0, done.stderr
    lost = start(FAULT="shard.encoded")  # dies when it has encoded its first shard
    start()
    with distributed.Client(address, set_as_default=False) as client:
        client.wait_for_workers(2)  # else the first to be there may do it all
    done = vectorize(apart)
    assert done.returncode == 0, done.stderr + "".join(path.read_text()[-2000:] for path in tmp_path.glob("*.log"))
    assert lost.wait(10) == -signal.SIGKILL
    assert len(left(here)) == len(left(apart)) > 10
    assert left(apart) == left(here)


def test_a_store_that_is_not_there_is_one_line(tmp_path: Path, cluster: Any) -> None:
    address, start = cluster
    (tmp_path / "file").write_text("no folder")
    apart = workspace(tmp_path / "apart", engine=address, shards=str(tmp_path / "file"))
    start()
    done = vectorize(apart)
    assert done.returncode != 0
    assert "cannot be used" in done.stderr
    assert "check `shards`" in done.stderr
    assert "Traceback" not in done.stderr
    assert not left(apart)
    assert [path.name for path in (apart / "data").iterdir()] == ["raw"]


def test_a_worker_of_other_code_refuses() -> None:
    with pytest.raises(DataError, match="has different code or versions of numpy, pyarrow"):
        dask_text._checked("made elsewhere", print)


def test_a_cluster_without_workers_is_told_in_one_line(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    address, _ = cluster
    monkeypatch.setattr(dask_text, "WORKER_TIMEOUT", 0.5)
    with pytest.raises(
        FeedforwardError, match=f"engine: {address}: no worker connected .* start one with `dask worker"
    ):
        dask_text.client(address)
