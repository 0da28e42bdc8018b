# ruff: noqa: E501
"""Damaged files and malicious archives, each with a part of the error message that it must cause.

Each case has a function that creates its content, so that listing the titles of the cases is cheap.
"""

import gzip
import io
import json
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras_files
import networks
import numpy as np
from raw_files import REVIEWS, idx, npy, tar, tar_entry

Make = Callable[[], bytes]


@dataclass(frozen=True)
class Damaged:
    """A file that must be rejected with a message that contains `message`.

    kind: which reader reads the file. name: the file's name, if the reader reads a folder.
    """

    title: str
    kind: str
    make: Make = field(repr=False)
    message: str
    name: str = ""


# --- data files --------------------------------------------------------------------------------

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 3, 4), np.uint8)
LABELS = np.arange(7, dtype=np.uint8)
_IDX = idx(IMAGES)


def _claiming(rows: int) -> bytes:
    """The header of an array with this number of rows, followed by 90 bytes."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": (rows,)})
    return buffer.getvalue() + bytes(90)


def _npz() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, labels=LABELS)
    return buffer.getvalue()


def parquet(columns: dict[str, Any] | None = None, types: dict[str, str] | None = None) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = columns or {"path": list(REVIEWS), "content": list(REVIEWS.values())}
    arrays = {name: pa.array(values, (types or {}).get(name)) for name, values in columns.items()}
    buffer = io.BytesIO()
    pq.write_table(pa.table(arrays), buffer)
    return buffer.getvalue()


def flipped(content: bytes, at: int) -> bytes:
    broken = bytearray(content)
    broken[at] ^= 0xFF
    return bytes(broken)


MANIFEST = {"data_digest": "d", "samples": {"train": 90, "test": 30}, "features": 12, "train": "a", "test": "b"}


def _manifest(**changes: Any) -> bytes:
    return json.dumps({**MANIFEST, **changes}).encode()


def _model(**changes: Any) -> bytes:
    return keras_files.model([20, 4, 1], ["relu", "sigmoid"], **changes)


def _weights(units: Sequence[int] = (20, 4, 1)) -> bytes:
    return networks.files(units, ["relu"] * (len(units) - 2) + ["sigmoid"])["weights.npz"]


def _zip_with(name: str) -> bytes:
    buffer = io.BytesIO(_model())
    with zipfile.ZipFile(buffer, "a") as file:
        file.writestr(name, b"import os")
    return buffer.getvalue()


FILES = (
    Damaged("nothing", "idx", lambda: b"", "begins with nothing"),
    Damaged("three bytes", "idx", lambda: _IDX[:3], "not an idx file"),
    Damaged("half of the header", "idx", lambda: _IDX[:9], "according to the header"),
    Damaged("one byte missing", "idx", lambda: _IDX[:-1], "expected 100 bytes according to the header, got 99"),
    Damaged("one extra byte", "idx", lambda: _IDX + b"?", "expected 100 bytes according to the header, got 101"),
    Damaged("floats", "idx", lambda: b"\0\0\x0d" + _IDX[3:], "elements of type float32"),
    Damaged("another magic number", "idx", lambda: flipped(_IDX, 0), "not an idx file"),
    Damaged("a flipped byte in a side length", "idx", lambda: flipped(_IDX, 7), "according to the header"),
    Damaged("sides larger than memory", "idx", lambda: b"\0\0\x08\x03" + b"\xff" * 12, "according to the header"),
    Damaged("255 dimensions", "idx", lambda: b"\0\0\x08\xff" + b"\xff" * 1020, "according to the header"),
    Damaged("no dimensions", "idx", lambda: b"\0\0\x08\0", "not an idx file"),
    Damaged("no samples", "idx", lambda: idx(np.zeros((0, 3, 4))), "contains no samples"),
    Damaged("still compressed", "idx", lambda: gzip.compress(_IDX), "begins with 1f8b"),
    Damaged("a web page", "idx", lambda: b"<!DOCTYPE html>", "begins with a web page"),
    Damaged("labels instead of images", "idx", lambda: idx(LABELS), "expected 2 or 3 dimensions, got 1"),
    Damaged("fewer images than labels", "idx", lambda: idx(IMAGES[:6]), "6 images, but 7 labels"),
    Damaged("nothing", "gzip", lambda: b"", "gzip ends early"),
    Damaged("a web page", "gzip", lambda: b"<html>Log in</html>", "expected gzip, received a web page"),
    Damaged("first half only", "gzip", lambda: gzip.compress(_IDX)[:50], "gzip ends early"),
    Damaged("a flipped bit in the middle", "gzip", lambda: flipped(gzip.compress(_IDX, mtime=0), 40), "expected gzip"),
    Damaged("a wrong checksum", "gzip", lambda: flipped(gzip.compress(_IDX), -8), "expected gzip"),
    Damaged("a wrong length", "gzip", lambda: flipped(gzip.compress(_IDX), -1), "expected gzip"),
    Damaged("not compressed", "gzip", lambda: _IDX, "expected gzip"),
    Damaged("zlib without gzip's header", "gzip", lambda: zlib.compress(_IDX), "expected gzip"),
    Damaged("nothing", "parquet", lambda: b"", "cannot be read"),
    Damaged("only the magic bytes", "parquet", lambda: b"PAR1PAR1", "cannot be read"),
    Damaged("end missing", "parquet", lambda: parquet()[:-20], "cannot be read"),
    Damaged("beginning missing", "parquet", lambda: parquet()[100:], "cannot be read"),
    Damaged("an overwritten page", "parquet", lambda: parquet()[:30] + b"\xff" * 60 + parquet()[90:], "cannot be read"),
    Damaged("no column of contents", "parquet", lambda: parquet({"path": ["a"]}), "cannot be read"),
    Damaged("text instead of bytes", "parquet", lambda: parquet({"path": ["a"], "content": ["a"]}), "expected columns"),
    Damaged("numbers instead of paths", "parquet", lambda: parquet({"path": [1], "content": [b"a"]}), "expected columns"),
    Damaged(
        "a null value", "parquet", lambda: parquet({"path": ["a"], "content": [None]}, {"content": "binary"}), "without null values"
    ),
    Damaged("no rows", "parquet", lambda: parquet({"path": [], "content": []}, {"path": "string", "content": "binary"}), "no text below"),
    Damaged("other folders", "parquet", lambda: parquet({"path": ["x/a.txt"], "content": [b"a"]}), "no text below"),
    Damaged("nothing", "npy", lambda: b"", "cannot be read", "labels.npy"),
    Damaged("a pickle", "npy", lambda: pickle.dumps([1]), "cannot be read", "labels.npy"),
    Damaged("an object array", "npy", lambda: npy(np.array([{}], object), allow_pickle=True), "cannot be read", "labels.npy"),
    Damaged("an npz", "npy", _npz, "not an array of numbers", "labels.npy"),
    Damaged("text", "npy", lambda: npy(np.array(["a"] * 90)), "not an array of numbers", "labels.npy"),
    Damaged("one byte missing", "npy", lambda: npy(np.zeros(90, np.uint8))[:-1], "cannot be read", "labels.npy"),
    Damaged("fewer rows", "npy", lambda: npy(np.zeros(89, np.uint8)), "90 rows of features, but 89 labels", "labels.npy"),
    Damaged("an extra dimension", "npy", lambda: npy(np.zeros((90, 3, 4), np.uint8)), "must be two-dimensional", "features.npy"),
    Damaged("a header that claims a terabyte", "npy", lambda: _claiming(2**40), "cannot be read", "labels.npy"),
    Damaged("nothing", "manifest", lambda: b"", "cannot be read"),
    Damaged("not UTF-8", "manifest", lambda: b"\xff\xfe{", "cannot be read"),
    Damaged("first half only", "manifest", lambda: _manifest()[:-9], "cannot be read"),
    Damaged("a list", "manifest", lambda: b"[]", "cannot be read"),
    Damaged("empty", "manifest", lambda: b"{}", "cannot be read"),
    Damaged("nested too deeply", "manifest", lambda: b"[" * 100_000, "cannot be read"),
    Damaged("number of samples missing", "manifest", lambda: _manifest(samples=None), "cannot be read"),
    Damaged("nothing", "profile", lambda: b"", "cannot be read"),
    Damaged("end missing", "profile", lambda: parquet()[:-9], "cannot be read"),
    Damaged("other columns", "profile", parquet, "columns missing: split, digest"),
    Damaged("nothing", "keras", lambda: b"", "refused"),
    Damaged("first half only", "keras", lambda: _model()[:400], "refused"),
    Damaged("end missing", "keras", lambda: _model()[:-22], "refused"),
    Damaged("HDF5 instead of zip", "keras", lambda: b"\x89HDF\r\n\x1a\n", "refused"),
    Damaged("a pickle", "keras", lambda: pickle.dumps({"weights": [1.0]}), "refused"),
    Damaged("an extra member", "keras", lambda: _zip_with("evil.py"), "must hold metadata.json"),
    Damaged("a duplicate member", "keras", lambda: _zip_with("config.json"), "must hold metadata.json"),
    Damaged("a member with a path outside", "keras", lambda: _zip_with("../evil.py"), "must hold metadata.json"),
    Damaged("a config that is not JSON", "keras", lambda: _model(config=b"{"), "refused"),
    Damaged("nothing", "network", lambda: b"", "weights.npz refused"),
    Damaged("first half only", "network", lambda: _weights()[:300], "weights.npz refused"),
    Damaged("end missing", "network", lambda: _weights()[:-22], "weights.npz refused"),
    Damaged("a pickle", "network", lambda: pickle.dumps({"kernel_0": [1.0]}), "weights.npz refused"),
    Damaged("weights of another size", "network", lambda: _weights(units=(20, 5, 1)), "must be float32 of shape"),
    Damaged("an extra layer", "network", lambda: _weights(units=(20, 4, 4, 1)), "must hold kernel_0.npy"),
)  # fmt: skip


# --- malicious archives ---------------------------------------------------------------------

WANTED = "set/train/neg/9_9.txt"


@dataclass(frozen=True)
class Hostile:
    """An archive that must be rejected with `message`, or, if None, of which only the reviews must be read."""

    title: str
    make: Make = field(repr=False)
    message: str | None = None


def _with(*entries: tuple[tarfile.TarInfo, bytes], layout: int = tarfile.GNU_FORMAT) -> Make:
    """The reviews, preceded by other members."""

    def make() -> bytes:
        return gzip.compress(tar([*entries, *(tar_entry(*item) for item in REVIEWS.items())], layout), 1)

    return make


def _pax(**records: str) -> Make:
    entry, content = tar_entry(WANTED, b"pax")
    entry.pax_headers = records
    return _with((entry, content), layout=tarfile.PAX_FORMAT)


def _header(kind: bytes, size: int, payload: bytes = b"") -> Make:
    """The reviews, preceded by a header that claims a size."""

    def make() -> bytes:
        raw = bytearray(tar([tar_entry(WANTED)])[:512])
        raw[124:136] = b"%011o\0" % size if size < 8**11 else b"\x80" + size.to_bytes(11, "big")
        raw[156:157] = kind
        raw[148:156] = b" " * 8
        raw[148:156] = b"%06o\0 " % sum(raw)
        rest = tar([tar_entry(*item) for item in REVIEWS.items()])
        return gzip.compress(bytes(raw) + payload + rest, 1)

    return make


def _reviews() -> bytes:
    return gzip.compress(tar([tar_entry(*item) for item in REVIEWS.items()]), 1)


def _own_length(content: bytes) -> bytes:
    """A pax record, whose length includes itself."""
    return b"%d %s" % (len(content) + 3, content)


ARCHIVES = (
    Hostile("an absolute path", _with(tar_entry("/etc/cron.d/evil.txt", b"x"))),
    Hostile("an absolute path to a folder that is read", _with(tar_entry("/set/train/neg/1.txt", b"x"))),
    Hostile("a path to a parent folder", _with(tar_entry("../../evil.txt", b"x"))),
    Hostile("a path to a parent of a folder that is read", _with(tar_entry("set/train/neg/../../../../evil.txt", b"x"))),
    Hostile("a name that is two dots", _with(tar_entry("set/train/neg/..", b"x"))),
    Hostile("backslashes", _with(tar_entry("set\\train\\neg\\..\\evil.txt", b"x"))),
    Hostile("a link out of the folder", _with(tar_entry(WANTED, kind=tarfile.SYMTYPE, link="/etc/passwd"))),
    Hostile("a link, then a file through it", _with(tar_entry("set/x", kind=tarfile.SYMTYPE, link="/tmp"), tar_entry("set/x/evil.txt", b"x"))),
    Hostile("a hard link", _with(tar_entry(WANTED, kind=tarfile.LNKTYPE, link="../../etc/passwd"))),
    Hostile("a device", _with(tar_entry(WANTED, kind=tarfile.CHRTYPE))),
    Hostile("a block device", _with(tar_entry(WANTED, kind=tarfile.BLKTYPE))),
    Hostile("a pipe", _with(tar_entry(WANTED, kind=tarfile.FIFOTYPE))),
    Hostile("a name with a line break", _with(tar_entry("set/train/neg/a\nb.txt", b"x"))),
    Hostile("a name with a NUL", _pax(path="set/train/neg/a\0b.txt")),
    Hostile("a name that is not UTF-8", _with(tar_entry("set/train/n\udce9g/1.txt", b"x"))),
    Hostile("a name of 100,000 letters", _with(tar_entry("x" * 100_000, b"x"))),
    Hostile("a name of two megabytes", _with(tar_entry("x" * 2**21, b"x")), "more than the 1,000,000 bytes"),
    Hostile("a header that claims eight gigabytes", _header(b"x", 8**11 - 1), "at most 1,048,576 are allowed"),
    Hostile("a member that claims 2**80 bytes", _header(b"0", 2**80), "tar ends early"),
    Hostile("a member with a negative size", _header(b"x", 20, _own_length(b"size=-1\n").ljust(512, b"\0")), "damaged pax header"),
    Hostile("a record with length zero", _header(b"x", 20, b"0 path=evil\n".ljust(512, b"\0")), "damaged header"),
    Hostile("a member that occurs twice", _with(tar_entry("./set/train/neg/0_1.txt", b"another")), "occurs twice"),
    Hostile("an extra member", _with(tar_entry(WANTED, b"one more")), "more than the 5 members expected"),
    Hostile("a sparse file", _with(tar_entry(WANTED, b"", kind=b"S")), "sparse files are not supported"),
    Hostile("a damaged header", lambda: gzip.compress(flipped(gzip.decompress(_reviews()), 0)), "damaged header"),
    Hostile("a bomb in a member", _with(tar_entry(WANTED, bytes(2**24))), "more than the 1,000,000 bytes"),
    Hostile("a bomb after the end", lambda: gzip.compress(gzip.decompress(_reviews()) + bytes(2**24), 9), "more than the 1,000,000 bytes"),
    Hostile("garbage after the end", lambda: _reviews() + b"#!/bin/sh\nrm -rf ~", "expected gzip"),
    Hostile("a truncated gzip", lambda: _reviews()[:-9], "ends early"),
    Hostile("a hundred thousand empty parts", lambda: gzip.compress(b"") * 100_001, "gzip parts"),
    Hostile("a gzip in a gzip", lambda: gzip.compress(_reviews()), "tar ends early"),
    Hostile("a zip", lambda: keras_files.archive({"set/train/neg/0_1.txt": b"x"}), "expected gzip"),
    Hostile("a tar that ends too early", lambda: gzip.compress(struct.pack("<I", 0)), "tar ends early"),
)  # fmt: skip
