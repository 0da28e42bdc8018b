"""Sources, mirrors and the DVC remote in S3: real clients, and moto in place of Amazon's service."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dvc_projects
import pyarrow.parquet as pq
import pytest
import workspaces

from feedforward.config.schema import SourceFile
from feedforward.core.errors import SourceError
from feedforward.data.sources import download
from feedforward.data.sources.locations import RetryPolicy

pytestmark = pytest.mark.slow
ONE_RETRY = RetryPolicy(stall_s=5.0, retries=1, pause_s=0.01)
BUCKET = "team"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """The address of an endpoint with a bucket, set in the environment of S3 clients."""
    server, boto3 = pytest.importorskip("moto.server"), pytest.importorskip("boto3")
    moto_server = server.ThreadedMotoServer(port=0)
    moto_server.start()
    host, port = moto_server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "nobody",
            "AWS_SECRET_ACCESS_KEY": "nothing-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            patch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield os.environ["AWS_ENDPOINT_URL"]
    moto_server.stop()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str) -> Path:
    return workspaces.enter(tmp_path, monkeypatch)


def put(key: str, content: bytes) -> None:
    import boto3

    boto3.client("s3").put_object(Bucket=BUCKET, Key=key, Body=content)


def test_a_table_and_class_folders_are_read_from_s3(root: Path) -> None:
    put("prices.csv", b"size,price\n1,2\n")
    for name in ("rose/1.txt", "rose/2.txt", "tulip/1.txt"):
        put(f"flowers/{name}", name.encode())
    files = {
        "prices.csv": SourceFile(urls=(f"s3://{BUCKET}/prices.csv",)),
        "flowers": SourceFile(urls=(f"s3://{BUCKET}/flowers",), archive="folder", folders=("rose", "tulip")),
    }
    download.fetch(files, root / "raw", (), ONE_RETRY)
    assert (root / "raw" / "prices.csv").read_bytes() == b"size,price\n1,2\n"
    assert pq.read_table(root / "raw" / "flowers.parquet").num_rows == 3


def test_a_mirror_may_be_a_bucket_and_a_missing_file_is_reported_in_one_line(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("mirror/numbers", b"123")
    monkeypatch.setenv("FEEDFORWARD_MIRROR", f"s3://{BUCKET}/mirror")
    download.fetch({"numbers": SourceFile(urls=(f"s3://{BUCKET}/nowhere",))}, root / "raw", (), ONE_RETRY)
    assert (root / "raw" / "numbers").read_bytes() == b"123"
    with pytest.raises(SourceError) as caught:
        download.fetch({"letters": SourceFile(urls=(f"s3://{BUCKET}/letters",))}, root / "raw", (), ONE_RETRY)
    assert "\n" not in str(caught.value)
    assert f"s3://{BUCKET}/letters: no such file" in str(caught.value)


def test_dvc_moves_data_between_checkouts_through_s3(root: Path) -> None:
    def dvc(folder: Path, *arguments: str) -> None:
        process = subprocess.run(
            [sys.executable, "-m", "dvc", *arguments], cwd=folder, capture_output=True, text=True, check=False
        )
        assert process.returncode == 0, process.stdout + process.stderr

    source, target = root / "source", root / "target"
    address = os.environ["AWS_ENDPOINT_URL"]
    remote = f"['remote \"store\"']\n    url = s3://{BUCKET}/dvc\n    endpointurl = {address}\n"
    settings = f"[core]\n    remote = store\n{remote}"
    for folder in (source, target):
        folder.mkdir()
        dvc_projects.init(folder, settings)
    (source / "data").mkdir()
    (source / "data" / "numbers.npy").write_bytes(bytes(range(256)))
    dvc(source, "add", "-q", "data")
    dvc(source, "push", "-q")
    (target / "data.dvc").write_bytes((source / "data.dvc").read_bytes())
    dvc(target, "pull", "-q")
    assert (target / "data" / "numbers.npy").read_bytes() == bytes(range(256))
