# ruff: noqa: E501
"""Damaged files and malicious archives, each with a part of the error message that it must cause.

Archives without a message must be read, without their hostile members.

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
class DamagedFile:
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


def _npy_claiming(row_count: int) -> bytes:
    """The header of a .npy file with this number of rows, followed by only 90 bytes."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": (row_count,)})
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


def flipped(content: bytes, position: int) -> bytes:
    """Return the content with all bits of one byte flipped."""
    broken = bytearray(content)
    broken[position] ^= 0xFF
    return bytes(broken)


def damaged_gzip(line: bytes, position: int) -> bytes:
    """A gzip of many copies of a line, overwritten from a position on; reading the next block raises zlib.error."""
    blocks = gzip.compress(line * 9999, 0)  # with level 0, the lines are copied, in blocks of at most 2**16 bytes
    return blocks[:position] + b"\xff" * 2**17


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
    DamagedFile("nothing", "idx", lambda: b"", "begins with nothing"),
    DamagedFile("three bytes", "idx", lambda: _IDX[:3], "not an idx file"),
    DamagedFile("part of the header", "idx", lambda: _IDX[:9], "according to the header"),
    DamagedFile("one byte missing", "idx", lambda: _IDX[:-1], "expected 100 bytes according to the header, got 99"),
    DamagedFile("one extra byte", "idx", lambda: _IDX + b"?", "expected 100 bytes according to the header, got 101"),
    DamagedFile("floats", "idx", lambda: b"\0\0\x0d" + _IDX[3:], "elements of type float32"),
    DamagedFile("another magic number", "idx", lambda: flipped(_IDX, 0), "not an idx file"),
    DamagedFile("a flipped byte in the number of images", "idx", lambda: flipped(_IDX, 7), "according to the header"),
    DamagedFile("dimensions larger than memory", "idx", lambda: b"\0\0\x08\x03" + b"\xff" * 12, "according to the header"),
    DamagedFile("255 dimensions", "idx", lambda: b"\0\0\x08\xff" + b"\xff" * 1020, "according to the header"),
    DamagedFile("no dimensions", "idx", lambda: b"\0\0\x08\0", "not an idx file"),
    DamagedFile("no samples", "idx", lambda: idx(np.zeros((0, 3, 4))), "contains no samples"),
    DamagedFile("still compressed", "idx", lambda: gzip.compress(_IDX), "begins with 1f8b"),
    DamagedFile("a web page", "idx", lambda: b"<!DOCTYPE html>", "begins with a web page"),
    DamagedFile("labels instead of images", "idx", lambda: idx(LABELS), "expected 2 or 3 dimensions, got 1"),
    DamagedFile("fewer images than labels", "idx", lambda: idx(IMAGES[:6]), "6 images, but 7 labels"),
    DamagedFile("nothing", "gzip", lambda: b"", "the gzip data ends early"),
    DamagedFile("a web page", "gzip", lambda: b"<html>Log in</html>", "expected gzip, received a web page"),
    DamagedFile("first 50 bytes only", "gzip", lambda: gzip.compress(_IDX)[:50], "the gzip data ends early"),
    DamagedFile("a flipped byte in the middle", "gzip", lambda: flipped(gzip.compress(_IDX, mtime=0), 40), "expected gzip"),
    DamagedFile("a wrong checksum", "gzip", lambda: flipped(gzip.compress(_IDX), -8), "expected gzip"),
    DamagedFile("a wrong length", "gzip", lambda: flipped(gzip.compress(_IDX), -1), "expected gzip"),
    DamagedFile("not compressed", "gzip", lambda: _IDX, "expected gzip"),
    DamagedFile("zlib without gzip's header", "gzip", lambda: zlib.compress(_IDX), "expected gzip"),
    DamagedFile("a gzip damaged at the beginning", "table", lambda: damaged_gzip(b"said,age,mood\n", 10), "cannot be read as a table"),
    DamagedFile("a gzip damaged after many rows", "table", lambda: damaged_gzip(b"said,age,mood\n", 50_000), "cannot be read as a table"),
    DamagedFile("a gzip damaged after many lines", "lines", lambda: damaged_gzip(b'{"said": "a", "mood": "pos"}\n', 50_000), "cannot be read as a table"),
    DamagedFile("a truncated gzip", "lines", lambda: gzip.compress(b'{"said": "a", "mood": "pos"}\n' * 99)[:-9], "cannot be read as a table"),
    DamagedFile("nothing", "parquet", lambda: b"", "cannot be read"),
    DamagedFile("only the magic bytes", "parquet", lambda: b"PAR1PAR1", "cannot be read"),
    DamagedFile("end missing", "parquet", lambda: parquet()[:-20], "cannot be read"),
    DamagedFile("beginning missing", "parquet", lambda: parquet()[100:], "cannot be read"),
    DamagedFile("an overwritten page", "parquet", lambda: parquet()[:30] + b"\xff" * 60 + parquet()[90:], "cannot be read"),
    DamagedFile("no column of contents", "parquet", lambda: parquet({"path": ["a"]}), "cannot be read"),
    DamagedFile("text instead of bytes", "parquet", lambda: parquet({"path": ["a"], "content": ["a"]}), "expected columns"),
    DamagedFile("numbers instead of paths", "parquet", lambda: parquet({"path": [1], "content": [b"a"]}), "expected columns"),
    DamagedFile(
        "a null value", "parquet", lambda: parquet({"path": ["a"], "content": [None]}, {"content": "binary"}), "without null values"
    ),
    DamagedFile("no rows", "parquet", lambda: parquet({"path": [], "content": []}, {"path": "string", "content": "binary"}), "no text in the class folders"),
    DamagedFile("other folders", "parquet", lambda: parquet({"path": ["x/a.txt"], "content": [b"a"]}), "no text in the class folders"),
    DamagedFile("nothing", "npy", lambda: b"", "cannot be read", "labels.npy"),
    DamagedFile("a pickle", "npy", lambda: pickle.dumps([1]), "cannot be read", "labels.npy"),
    DamagedFile("an object array", "npy", lambda: npy(np.array([{}], object), allow_pickle=True), "cannot be read", "labels.npy"),
    DamagedFile("an npz", "npy", _npz, "not an array of numbers", "labels.npy"),
    DamagedFile("text", "npy", lambda: npy(np.array(["a"] * 90)), "not an array of numbers", "labels.npy"),
    DamagedFile("one byte missing", "npy", lambda: npy(np.zeros(90, np.uint8))[:-1], "cannot be read", "labels.npy"),
    DamagedFile("fewer rows", "npy", lambda: npy(np.zeros(89, np.uint8)), "90 rows of features, but 89 labels", "labels.npy"),
    DamagedFile("an extra dimension", "npy", lambda: npy(np.zeros((90, 3, 4), np.uint8)), "must be two-dimensional", "features.npy"),
    DamagedFile("a header that claims a terabyte", "npy", lambda: _npy_claiming(2**40), "cannot be read", "labels.npy"),
    DamagedFile("nothing", "manifest", lambda: b"", "cannot be read"),
    DamagedFile("not UTF-8", "manifest", lambda: b"\xff\xfe{", "cannot be read"),
    DamagedFile("end missing", "manifest", lambda: _manifest()[:-9], "cannot be read"),
    DamagedFile("a list", "manifest", lambda: b"[]", "cannot be read"),
    DamagedFile("empty", "manifest", lambda: b"{}", "cannot be read"),
    DamagedFile("nested too deeply", "manifest", lambda: b"[" * 100_000, "cannot be read"),
    DamagedFile("number of samples missing", "manifest", lambda: _manifest(samples=None), "cannot be read"),
    DamagedFile("nothing", "profile", lambda: b"", "cannot be read"),
    DamagedFile("end missing", "profile", lambda: parquet()[:-9], "cannot be read"),
    DamagedFile("other columns", "profile", parquet, "columns missing: split, digest"),
    DamagedFile("nothing", "keras", lambda: b"", "is not a valid model"),
    DamagedFile("first 400 bytes only", "keras", lambda: _model()[:400], "is not a valid model"),
    DamagedFile("end missing", "keras", lambda: _model()[:-22], "is not a valid model"),
    DamagedFile("HDF5 instead of zip", "keras", lambda: b"\x89HDF\r\n\x1a\n", "is not a valid model"),
    DamagedFile("a pickle", "keras", lambda: pickle.dumps({"weights": [1.0]}), "is not a valid model"),
    DamagedFile("an extra member", "keras", lambda: _zip_with("evil.py"), "must hold metadata.json"),
    DamagedFile("a duplicate member", "keras", lambda: _zip_with("config.json"), "must hold metadata.json"),
    DamagedFile("a member with a path to a parent folder", "keras", lambda: _zip_with("../evil.py"), "must hold metadata.json"),
    DamagedFile("a config that is not JSON", "keras", lambda: _model(config=b"{"), "is not a valid model"),
    DamagedFile("nothing", "network", lambda: b"", "weights.npz is not valid"),
    DamagedFile("first 300 bytes only", "network", lambda: _weights()[:300], "weights.npz is not valid"),
    DamagedFile("end missing", "network", lambda: _weights()[:-22], "weights.npz is not valid"),
    DamagedFile("a pickle", "network", lambda: pickle.dumps({"kernel_0": [1.0]}), "weights.npz is not valid"),
    DamagedFile("weights of another size", "network", lambda: _weights(units=(20, 5, 1)), "must be float32 of shape"),
    DamagedFile("an extra layer", "network", lambda: _weights(units=(20, 4, 4, 1)), "must contain kernel_0.npy"),
)  # fmt: skip


# --- malicious archives ---------------------------------------------------------------------

READABLE_PATH = "set/train/neg/9_9.txt"  # a path in a folder whose members are read


@dataclass(frozen=True)
class HostileArchive:
    """A hostile archive.

    message: a part of the message with which it must be rejected; None: it must be read, but only its reviews.
    """

    title: str
    make: Make = field(repr=False)
    message: str | None = None


def _reviews_after(*entries: tuple[tarfile.TarInfo, bytes], layout: int = tarfile.GNU_FORMAT) -> Make:
    """The reviews, preceded by other members."""

    def make() -> bytes:
        return gzip.compress(tar([*entries, *(tar_entry(*item) for item in REVIEWS.items())], layout), 1)

    return make


def _pax(**records: str) -> Make:
    """The reviews, preceded by a member with a pax header that has these records."""
    entry, content = tar_entry(READABLE_PATH, b"pax")
    entry.pax_headers = records
    return _reviews_after((entry, content), layout=tarfile.PAX_FORMAT)


def _header(kind: bytes, size: int, payload: bytes = b"") -> Make:
    """The reviews, preceded by a header of this kind that claims this size."""

    def make() -> bytes:
        raw = bytearray(tar([tar_entry(READABLE_PATH)])[:512])
        raw[124:136] = b"%011o\0" % size if size < 8**11 else b"\x80" + size.to_bytes(11, "big")
        raw[156:157] = kind
        raw[148:156] = b" " * 8
        raw[148:156] = b"%06o\0 " % sum(raw)
        reviews = tar([tar_entry(*item) for item in REVIEWS.items()])
        return gzip.compress(bytes(raw) + payload + reviews, 1)

    return make


def _reviews() -> bytes:
    return gzip.compress(tar([tar_entry(*item) for item in REVIEWS.items()]), 1)


def _pax_record(content: bytes) -> bytes:
    """A pax record: the length of the whole record, which must have two digits, a space, and the content."""
    return b"%d %s" % (len(content) + 3, content)


ARCHIVES = (
    HostileArchive("an absolute path", _reviews_after(tar_entry("/etc/cron.d/evil.txt", b"x"))),
    HostileArchive("an absolute path to a folder that is read", _reviews_after(tar_entry("/set/train/neg/1.txt", b"x"))),
    HostileArchive("a path to a parent folder", _reviews_after(tar_entry("../../evil.txt", b"x"))),
    HostileArchive("a path to a parent of a folder that is read", _reviews_after(tar_entry("set/train/neg/../../../../evil.txt", b"x"))),
    HostileArchive("a name that is two dots", _reviews_after(tar_entry("set/train/neg/..", b"x"))),
    HostileArchive("backslashes", _reviews_after(tar_entry("set\\train\\neg\\..\\evil.txt", b"x"))),
    HostileArchive("a link out of the folder", _reviews_after(tar_entry(READABLE_PATH, kind=tarfile.SYMTYPE, link="/etc/passwd"))),
    HostileArchive("a link, then a file through it", _reviews_after(tar_entry("set/x", kind=tarfile.SYMTYPE, link="/tmp"), tar_entry("set/x/evil.txt", b"x"))),
    HostileArchive("a hard link", _reviews_after(tar_entry(READABLE_PATH, kind=tarfile.LNKTYPE, link="../../etc/passwd"))),
    HostileArchive("a device", _reviews_after(tar_entry(READABLE_PATH, kind=tarfile.CHRTYPE))),
    HostileArchive("a block device", _reviews_after(tar_entry(READABLE_PATH, kind=tarfile.BLKTYPE))),
    HostileArchive("a pipe", _reviews_after(tar_entry(READABLE_PATH, kind=tarfile.FIFOTYPE))),
    HostileArchive("a name with a line break", _reviews_after(tar_entry("set/train/neg/a\nb.txt", b"x"))),
    HostileArchive("a name with a NUL", _pax(path="set/train/neg/a\0b.txt")),
    HostileArchive("a name that is not UTF-8", _reviews_after(tar_entry("set/train/n\udce9g/1.txt", b"x"))),
    HostileArchive("a name of 100,000 letters", _reviews_after(tar_entry("x" * 100_000, b"x"))),
    HostileArchive("a name of two megabytes", _reviews_after(tar_entry("x" * 2**21, b"x")), "more than the 1,000,000 bytes"),
    HostileArchive("a header that claims eight gigabytes", _header(b"x", 8**11 - 1), "at most 1,048,576 are allowed"),
    HostileArchive("a member that claims 2**80 bytes", _header(b"0", 2**80), "the tar archive ends early"),
    HostileArchive("a member with a negative size", _header(b"x", 20, _pax_record(b"size=-1\n").ljust(512, b"\0")), "damaged pax header"),
    HostileArchive("a record with length zero", _header(b"x", 20, b"0 path=evil\n".ljust(512, b"\0")), "damaged header"),
    HostileArchive("a member that occurs twice", _reviews_after(tar_entry("./set/train/neg/0_1.txt", b"another")), "occurs twice"),
    HostileArchive("an extra member", _reviews_after(tar_entry(READABLE_PATH, b"one more")), "more than the 5 members expected"),
    HostileArchive("a sparse file", _reviews_after(tar_entry(READABLE_PATH, b"", kind=b"S")), "sparse files are not supported"),
    HostileArchive("a damaged header", lambda: gzip.compress(flipped(gzip.decompress(_reviews()), 0)), "damaged header"),
    HostileArchive("a bomb in a member", _reviews_after(tar_entry(READABLE_PATH, bytes(2**24))), "more than the 1,000,000 bytes"),
    HostileArchive("a bomb after the end", lambda: gzip.compress(gzip.decompress(_reviews()) + bytes(2**24), 9), "more than the 1,000,000 bytes"),
    HostileArchive("garbage after the end", lambda: _reviews() + b"#!/bin/sh\nrm -rf ~", "expected gzip"),
    HostileArchive("a truncated gzip", lambda: _reviews()[:-9], "ends early"),
    HostileArchive("a hundred thousand empty parts", lambda: gzip.compress(b"") * 100_001, "gzip parts"),
    HostileArchive("a gzip in a gzip", lambda: gzip.compress(_reviews()), "the tar archive ends early"),
    HostileArchive("a zip", lambda: keras_files.archive({"set/train/neg/0_1.txt": b"x"}), "expected gzip"),
    HostileArchive("a tar that ends too early", lambda: gzip.compress(struct.pack("<I", 0)), "the tar archive ends early"),
)  # fmt: skip
