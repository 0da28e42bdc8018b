"""Two Dask workers, one of which is lost, vectorize texts: they write the same bytes as one process.

They exchange shards through a folder or S3. Needs requirements/cluster.txt.
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
from live_cluster import environment
from small_data import values, write_params

from feedforward.core.errors import DataError, FeedforwardError
from feedforward.data import collected_files
from pipelines import dask_text

distributed = pytest.importorskip("distributed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
BUCKET = "team"
TEXT_COUNTS = {  # three shards for train, two for test
    "train/sad": 5000,
    "train/glad": 4200,
    "test/sad": 2500,
    "test/glad": 2500,
}


def workspace(folder: Path, **changes: Any) -> Path:
    """Write raw texts: words of different frequency, non-ASCII capitals, empty texts, and texts that are not UTF-8."""
    params = values(**changes)
    del params["datasets"]["tones"]
    params["datasets"]["notes"]["reader"] |= {"shuffle_seed": 3, "num_words": 60}
    write_params(folder / "params.yaml", params)
    rng = random.Random(0)
    vocabulary = [f"word{k}" for k in range(90)] + ["ÄRGER", "İstanbul", "it's", "ΣΟΦΟΣ", "\u2028", "-"]
    texts = {}
    for target_folder, count in TEXT_COUNTS.items():
        for number in range(count):
            words = [vocabulary[int(len(vocabulary) * rng.random() ** 2)] for _ in range(number % 12)]
            texts[f"{target_folder}/{number:05}"] = " ".join(words).encode() + (b" \xff" if number % 500 == 7 else b"")
    (folder / "data" / "raw" / "notes").mkdir(parents=True)
    with (folder / "data" / "raw" / "notes" / "texts.parquet").open("wb") as file:
        collected_files.write(list(texts), [len(text) for text in texts.values()], texts.__getitem__, file)
    return folder


def vectorize(folder: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pipelines.stages", "vectorize", "notes"]
    return subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False)


def vectorized_files(folder: Path) -> dict[str, str]:
    """Return the digest of each file that vectorize wrote, by path."""
    target_folder = folder / "data" / "vectorized"
    files = [path for path in target_folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(target_folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a folder in an S3 store on loopback."""
    server, boto3 = pytest.importorskip("moto.server"), pytest.importorskip("boto3")
    s3_server = server.ThreadedMotoServer(port=0)
    s3_server.start()
    host, port = s3_server.get_host_and_port()
    settings = {"ENDPOINT_URL": f"http://{host}:{port}", "ACCESS_KEY_ID": "nobody", "SECRET_ACCESS_KEY": "nothing"}
    for name, value in (settings | {"DEFAULT_REGION": "us-east-1"}).items():
        monkeypatch.setenv(f"AWS_{name}", value)
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    yield f"s3://{BUCKET}/shards"
    s3_server.stop()


@pytest.fixture(scope="module")
def files_of_one_process(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The digest of each file that one process writes."""
    folder = workspace(tmp_path_factory.mktemp("one_process"))
    done = vectorize(folder)
    assert done.returncode == 0, done.stderr
    return vectorized_files(folder)


@pytest.mark.parametrize("store", ["data/shards", "s3"])
def test_two_workers_one_of_which_is_lost_write_the_same_bytes_as_one_process(
    tmp_path: Path, files_of_one_process: dict[str, str], bucket: str, cluster: Any, store: str
) -> None:
    address, start = cluster
    store = bucket if store == "s3" else store
    cluster_workspace = workspace(tmp_path / "cluster_workspace", engine=address, shards=store)
    lost_worker = start(FAULT="shard.encoded")  # is killed after encoding its first shard
    start()
    with distributed.Client(address, set_as_default=False) as client:
        client.wait_for_workers(2)  # otherwise, the first worker to connect might do all the work
    done = vectorize(cluster_workspace)
    assert done.returncode == 0, done.stderr + "".join(path.read_text()[-2000:] for path in tmp_path.glob("*.log"))
    assert lost_worker.wait(10) == -signal.SIGKILL
    assert len(files_of_one_process) == len(vectorized_files(cluster_workspace)) > 10
    assert vectorized_files(cluster_workspace) == files_of_one_process


def test_a_store_that_is_a_file_is_reported_and_nothing_is_written(tmp_path: Path, cluster: Any) -> None:
    address, start = cluster
    (tmp_path / "file").write_text("a file, not a folder")
    cluster_workspace = workspace(tmp_path / "cluster_workspace", engine=address, shards=str(tmp_path / "file"))
    start()
    done = vectorize(cluster_workspace)
    assert done.returncode != 0
    assert "cannot be used" in done.stderr
    assert "check `shards`" in done.stderr
    assert "Traceback" not in done.stderr
    assert not vectorized_files(cluster_workspace)
    assert [path.name for path in (cluster_workspace / "data").iterdir()] == ["raw"]


def test_a_worker_with_different_code_refuses_the_work(cluster: Any) -> None:
    address, start = cluster
    start()
    expected = r"the worker tcp://127\.0\.0\.1:\d+ has different code, or another version of Python, numpy or pyarrow;"
    with dask_text.client(address) as client, pytest.raises(DataError, match=expected):
        client.submit(dask_text._run_checked, "made elsewhere", print).result()


def test_a_cluster_without_workers_is_reported(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    address, _ = cluster
    monkeypatch.setattr(dask_text, "WORKER_TIMEOUT", 0.5)
    with pytest.raises(
        FeedforwardError, match=f"engine: {address}: no worker connected .* start one with `dask worker"
    ):
        dask_text.client(address)
