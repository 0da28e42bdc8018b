"""Splits are compared with dense NumPy arrays; damaged or dangerous files are refused with an error that names them."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzzing import examples
from hypothesis import given
from hypothesis import strategies as st
from small_data import dense, from_dense, split

from feedforward.core.errors import DataError
from feedforward.data.splits import MultiHot, Split


@st.composite
def matrices(draw: st.DrawFn) -> np.ndarray:
    rows, columns, seed = draw(st.integers(1, 12)), draw(st.integers(1, 30)), draw(st.integers(0, 99))
    return np.random.default_rng(seed).random((rows, columns)) < draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))


# --- compared with dense matrices --------------------------------------------------------------


@given(matrices())
def test_multi_hot_rows_round_trip(matrix: np.ndarray) -> None:
    features = from_dense(matrix)
    assert features.shape == matrix.shape
    assert len(features) == len(matrix)
    assert features.dense().dtype == np.float32
    np.testing.assert_array_equal(features.dense(), matrix)
    assert features.is_increasing()


@given(matrices(), st.data())
def test_take_matches_numpy_indexing(matrix: np.ndarray, data: st.DataObject) -> None:
    order = np.array(data.draw(st.lists(st.integers(0, len(matrix) - 1), max_size=20)), int)
    np.testing.assert_array_equal(from_dense(matrix).take(order).dense(), matrix[order])


@given(matrices(), st.data())
def test_rows_matches_numpy_slicing(matrix: np.ndarray, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(matrix)))
    stop = data.draw(st.integers(start, len(matrix)))
    np.testing.assert_array_equal(from_dense(matrix).rows(start, stop).dense(), matrix[start:stop])


@pytest.mark.parametrize("name", ["tones", "notes"])
def test_features_and_labels_are_selected_together(name: str) -> None:
    full_split = split(name)
    order = np.random.default_rng(0).permutation(len(full_split))
    for part, rows in ((full_split.take(order), order), (full_split.rows(10, 40), np.arange(10, 40))):
        np.testing.assert_array_equal(dense(part.features), dense(full_split.features)[rows])
        np.testing.assert_array_equal(part.labels, full_split.labels[rows])


def test_a_range_of_rows_shares_memory_with_the_whole_split() -> None:
    for name in ("tones", "notes"):
        full_split = split(name)
        part = full_split.rows(3, 9)
        part_array, full_array = (
            s.features.indices if isinstance(s.features, MultiHot) else s.features for s in (part, full_split)
        )
        assert np.shares_memory(part_array, full_array)


# --- files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tones", "notes"])
def test_a_saved_split_is_loaded_as_memory_maps(tmp_path: Path, name: str) -> None:
    split(name).save(tmp_path / "train")
    loaded = Split.load(tmp_path / "train")
    np.testing.assert_array_equal(dense(loaded.features), dense(split(name).features))
    np.testing.assert_array_equal(loaded.labels, split(name).labels)
    assert isinstance(loaded.labels, np.memmap)
    assert loaded.digest() == split(name).digest()


@pytest.mark.parametrize("name", ["tones", "notes"])
def test_saving_twice_writes_identical_files(tmp_path: Path, name: str) -> None:
    split(name).save(tmp_path / "one")
    split(name).save(tmp_path / "two")
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == sorted(path.name for path in (tmp_path / "two").iterdir())
    assert all((tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes() for file in files)


def test_digest_depends_on_contents_types_and_shapes() -> None:
    pixels, labels = np.arange(12, dtype=np.uint8).reshape(3, 4), np.zeros(3, np.uint8)
    changed_pixels = pixels.copy()
    changed_pixels[2, 3] += 1
    splits = [
        Split(pixels, labels),
        Split(changed_pixels, labels),
        Split(pixels.astype(np.float32), labels),
        Split(pixels, labels + np.uint8(1)),
        Split(pixels, labels.astype(np.int64)),
        Split(from_dense(pixels), labels),
        Split(np.asfortranarray(changed_pixels), labels),  # equal to the second: the digest ignores the order in memory
    ]
    digests = [s.digest() for s in splits]
    assert len(set(digests)) == len(splits) - 1
    assert digests[1] == digests[-1]


# --- rejected input -----------------------------------------------------------------------------


def int64(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


@pytest.mark.parametrize(
    ("indptr", "indices", "columns", "message"),
    [
        (int64(), [], 3, "start at 0"),
        (int64(1, 2), [0, 1], 3, "start at 0"),
        (int64(0, 2).reshape(1, 2), [0, 1], 3, "one-dimensional"),
        (int64(0, 2, 1, 3), [0, 1, 2], 3, "does not match"),
        (int64(0, 2), [0, 1, 2], 3, "does not match"),
        (int64(0, 4), [0, 1, 2], 3, "does not match"),
        (int64(0, 2), [0, 3], 3, "indices must be below 3"),
        (np.array([0.0, 2.0]), [0, 1], 3, "indptr must be signed integers"),
    ],
)
def test_invalid_csr_arrays_are_rejected(indptr: np.ndarray, indices: list[int], columns: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        MultiHot(indptr, np.array(indices, np.uint16), columns)


def test_signed_indices_are_rejected() -> None:
    with pytest.raises(DataError, match="unsigned"):
        MultiHot(int64(0, 1), np.array([-1]), 3)  # type: ignore[arg-type]


def test_a_split_needs_one_label_per_row_and_at_least_one_row() -> None:
    with pytest.raises(DataError, match="3 rows of features, but 2 labels"):
        Split(np.zeros((3, 2)), np.zeros(2))
    with pytest.raises(DataError, match="no samples"):
        Split(np.zeros((0, 2)), np.zeros(0))
    with pytest.raises(DataError, match=r"two-dimensional, got shape \(3,\)"):
        Split(np.zeros(3), np.zeros(3))


class Attack:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:
        return Path.touch, (Path("owned"),)  # type: ignore[return-value]


def npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, labels=np.zeros(90))
    return file.getvalue()


def object_array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([{"a": 1}, "b"], object), allow_pickle=True)
    return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x93NUMPY", id="magic alone"),
        pytest.param(npy(np.zeros(90, np.uint8))[:-1], id="a byte short"),
        pytest.param(npy(np.zeros(90, np.uint8))[:70], id="half a header"),
        pytest.param(b"<html>404</html>", id="a page"),
        pytest.param(pickle.dumps(Attack()), id="a pickle"),
        pytest.param(object_array(), id="an object array"),
        pytest.param(npz(), id="an npz"),
        pytest.param(npy(np.array(["a"] * 90)), id="text"),
        pytest.param(npy(np.zeros(90, ">u2")), id="another byte order"),
        pytest.param(npy(np.zeros(90, [("x", "u1")])), id="records"),
        pytest.param(npy(np.zeros(90, np.uint8)).replace(b"(90,)", b"((((("), id="a broken header"),
    ],
)
@pytest.mark.parametrize("name", ["tones", "notes"])
def test_error_names_the_damaged_or_dangerous_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    split(name).save(tmp_path / "train")
    (tmp_path / "train" / "labels.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"labels\.npy: cannot be read \(.*\); run `dvc repro vectorize`"):
        Split.load(tmp_path / "train")
    assert not (tmp_path / "owned").exists()


def test_numpy_errors_are_reported_in_one_line(tmp_path: Path) -> None:
    split("tones").save(tmp_path / "train")
    # longer than the header that NumPy is willing to read
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': (90,), {' ' * 20_000}}}\n".encode()
    content = b"\x93NUMPY\x02\x00" + len(header).to_bytes(4, "little") + header + bytes(90)
    (tmp_path / "train" / "labels.npy").write_bytes(content)
    with pytest.raises(ValueError, match="\n"):
        np.load(tmp_path / "train" / "labels.npy")
    with pytest.raises(DataError, match=r"labels\.npy: cannot be read \(.*\); run `dvc repro vectorize`") as caught:
        Split.load(tmp_path / "train")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("missing", ["features", "labels", "indices", "columns"])
def test_error_names_the_missing_file(tmp_path: Path, missing: str) -> None:
    name = "tones" if missing == "features" else "notes"
    split(name).save(tmp_path / "train")
    (tmp_path / "train" / f"{missing}.npy").unlink()
    with pytest.raises(DataError, match=rf"{missing}\.npy: cannot be read"):
        Split.load(tmp_path / "train")


@pytest.mark.parametrize(
    ("file", "array", "message"),
    [
        ("columns", np.array([], np.int64), r"columns\.npy: must hold one number"),
        ("columns", np.array([700.0]), r"columns\.npy: must hold one number"),
        ("indices", np.array([5, 5, 2], np.uint16), r"indices\.npy: must increase within each row"),
        ("indices", np.array([1, 2, 9], np.uint16), "indices must be below 9"),
        ("labels", np.zeros(3, np.uint8), "2 rows of features, but 3 labels"),
    ],
)
def test_incompatible_arrays_are_rejected(tmp_path: Path, file: str, array: np.ndarray, message: str) -> None:
    valid = MultiHot(int64(0, 1, 3), np.array([8, 2, 5], np.uint16), 9)
    Split(valid, np.zeros(2, np.uint8)).save(tmp_path / "train")
    # the first column of a row may be smaller than the last column of the row before it
    assert len(Split.load(tmp_path / "train")) == 2
    np.save(tmp_path / "train" / f"{file}.npy", array)
    with pytest.raises(DataError, match=message):
        Split.load(tmp_path / "train")


@given(st.sampled_from(["features", "labels", "indptr", "indices", "columns"]), st.data())
@examples(150)
def test_a_corrupted_or_truncated_file_gives_a_data_error_or_a_readable_split(
    tmp_path_factory: pytest.TempPathFactory, file: str, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("split") / "train"
    split("tones" if file == "features" else "notes", 10).save(folder)
    path = folder / f"{file}.npy"
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)) | st.just(len(content)))])
    try:
        loaded = Split.load(folder)
    except DataError:
        return
    assert len(loaded.take(np.arange(len(loaded)))) == len(loaded)
