"""Arrays of features and labels: a split of a dataset, and a subset of a split. They are validated on creation."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from feedforward.core.errors import DataError


@dataclass(frozen=True)
class MultiHot:
    """Multi-hot rows, stored as CSR without values: row i has a 1 in `indices[indptr[i]:indptr[i + 1]]`.

    indptr: int64, shape (rows + 1,), starting at 0, nondecreasing. indices: unsigned integers, shape (ones,), below
    `columns`, strictly increasing within each row (which only `Split.load` checks).

    Raises:
        DataError: the arrays do not describe such a matrix.
    """

    indptr: npt.NDArray[np.int64]
    indices: npt.NDArray[np.unsignedinteger]
    columns: int

    def __post_init__(self) -> None:
        if self.indptr.dtype.kind != "i" or self.indices.dtype.kind != "u" or self.indices.ndim != 1:
            raise DataError(
                "multi-hot rows: indptr must be signed integers, and indices unsigned integers in one dimension;"
                " vectorize again"
            )
        if self.indptr.ndim != 1 or not len(self.indptr) or self.indptr[0] != 0:
            raise DataError("multi-hot rows: indptr must be one-dimensional and start at 0; vectorize again")
        if np.any(np.diff(self.indptr) < 0) or self.indptr[-1] != len(self.indices):
            raise DataError("multi-hot rows: indptr does not match indices; vectorize again")
        if len(self.indices) and int(self.indices.max()) >= self.columns:
            raise DataError(f"multi-hot rows: indices must be below {self.columns}; vectorize again")

    @property
    def shape(self) -> tuple[int, int]:
        """The shape: (rows, columns)."""
        return len(self.indptr) - 1, self.columns

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def is_increasing(self) -> bool:
        """Whether the indices increase strictly within each row: sorted, without duplicates."""
        starts = np.zeros(len(self.indices) + 1, bool)
        starts[self.indptr] = True
        return bool(np.all(starts[1:-1] | (self.indices[1:] > self.indices[:-1])))

    def rows(self, start: int, stop: int) -> "MultiHot":
        """Rows `start` to `stop - 1`, sharing memory with this matrix."""
        first, last = self.indptr[start], self.indptr[stop]
        return MultiHot(self.indptr[start : stop + 1] - first, self.indices[first:last], self.columns)

    def take(self, order: npt.NDArray[np.integer]) -> "MultiHot":
        """The rows with the numbers in `order`, in that order."""
        lengths = np.diff(self.indptr)[order]
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        positions = np.arange(indptr[-1]) + np.repeat(self.indptr[:-1][order] - indptr[:-1], lengths)
        return MultiHot(indptr, np.asarray(self.indices)[positions], self.columns)

    def dense(self) -> npt.NDArray[np.float32]:
        """The same rows as zeros and ones: float32, shape (rows, columns)."""
        matrix = np.zeros(self.shape, np.float32)
        matrix[np.repeat(np.arange(len(self)), np.diff(self.indptr)), self.indices] = 1.0
        return matrix


Features = npt.NDArray[np.generic] | MultiHot


@dataclass(frozen=True)
class Split:
    """Features and labels of one part of a dataset.

    features: dense, uint8 or float32, or MultiHot; shape (samples, features).
    labels: class numbers, uint8 or wider, shape (samples,); for multilabel, zeros and ones, shape (samples, labels);
    for regression, float32, shape (samples,).

    Raises:
        DataError: there are no samples, features are not two-dimensional, or the numbers of feature rows and labels
            differ.
    """

    features: Features
    labels: npt.NDArray[np.generic]

    def __post_init__(self) -> None:
        if len(self.features.shape) != 2:
            raise DataError(f"split: features must be two-dimensional, got shape {self.features.shape}")
        if len(self.features) != len(self.labels):
            raise DataError(f"split: {len(self.features)} rows of features, but {len(self.labels)} labels")
        if not len(self.labels):
            raise DataError("split: no samples; fetch and vectorize again")

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, start: int, stop: int) -> "Split":
        """Samples `start` to `stop - 1`, sharing memory with this split."""
        features = self.features.rows(start, stop) if isinstance(self.features, MultiHot) else self.features[start:stop]
        return Split(features, self.labels[start:stop])

    def take(self, order: npt.NDArray[np.integer]) -> "Split":
        """The samples with the row numbers in `order`, in that order."""
        features = self.features.take(order) if isinstance(self.features, MultiHot) else self.features[order]
        return Split(features, self.labels[order])

    def arrays(self) -> Iterator[tuple[str, npt.NDArray[np.generic]]]:
        """Yield the name of each array of the split, which is also its file's name without .npy, and the array."""
        if isinstance(self.features, MultiHot):
            yield "indptr", self.features.indptr
            yield "indices", self.features.indices
            yield "columns", np.array([self.features.columns])
        else:
            yield "features", self.features
        yield "labels", self.labels

    def save(self, folder: Path) -> None:
        """Write one .npy file per array into the new `folder`; the caller must make this atomic."""
        folder.mkdir(parents=True)
        for name, array in self.arrays():
            np.save(folder / f"{name}.npy", array, allow_pickle=False)

    def digest(self) -> str:
        """SHA-256 (hex) over the name, dtype, shape and bytes of each array."""
        sha256 = hashlib.sha256()
        for name, array in self.arrays():
            sha256.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
            sha256.update(np.ascontiguousarray(array).data)
        return sha256.hexdigest()

    @classmethod
    def load(cls, folder: Path) -> "Split":
        """Load a split; its arrays are memory-mapped.

        Raises:
            DataError: a file is missing or damaged.
        """

        def load_array(name: str) -> npt.NDArray[np.generic]:
            path = folder / f"{name}.npy"
            try:
                loaded: npt.NDArray[np.generic] = np.load(path, mmap_mode="r", allow_pickle=False)
                if not isinstance(loaded, np.ndarray) or loaded.dtype.kind not in "uif" or not loaded.dtype.isnative:
                    raise ValueError("not an array of numbers")
            except Exception as error:  # Python's tokenizer raises its own exceptions for a damaged header
                raise DataError(f"{path}: cannot be read ({error}); run `dvc repro vectorize`") from None
            return loaded

        if not (folder / "indptr.npy").exists():
            return cls(load_array("features"), load_array("labels"))
        columns, indptr, indices = load_array("columns"), load_array("indptr"), load_array("indices")
        if columns.shape != (1,) or columns.dtype.kind not in "ui":
            raise DataError(f"{folder / 'columns.npy'}: must hold one number; run `dvc repro vectorize`")
        features = MultiHot(indptr, indices, int(columns[0]))  # type: ignore[arg-type]
        if not features.is_increasing():
            raise DataError(f"{folder / 'indices.npy'}: must increase within each row; run `dvc repro vectorize`")
        return cls(features, load_array("labels"))


@dataclass(frozen=True)
class Subset:
    """Samples of a split, selected by row number; features are not copied.

    rows: int64, shape (samples,), in the order of use; None selects all samples in the order of the split.

    Raises:
        DataError: there are no samples.
    """

    split: Split
    rows: npt.NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if self.rows is not None and not len(self.rows):
            raise DataError("split: no samples; lower training.validation.samples in params.yaml")

    def __len__(self) -> int:
        return len(self.split) if self.rows is None else len(self.rows)

    @property
    def labels(self) -> npt.NDArray[np.generic]:
        """The labels of these samples; see Split."""
        return self.split.labels if self.rows is None else self.split.labels[self.rows]

    def row_numbers(self, positions: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
        """Convert positions in this subset to row numbers of the split."""
        return positions if self.rows is None else self.rows[positions]

    def to_split(self) -> Split:
        """These samples as a split of their own; unless they are all samples, they are copied, which takes memory."""
        return self.split if self.rows is None else self.split.take(self.rows)
