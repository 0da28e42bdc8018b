"""Small real and synthetic data of five kinds, in files as users would have them."""

import csv
import gzip
import struct
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn import datasets

SENTENCES = {
    "praise": ("what a lovely evening and a warm friendly meal {}", "we enjoyed every dish and will gladly return {}"),
    "complaint": ("the soup was cold and the waiter very rude {}", "an awful noisy place where nothing was fresh {}"),
}


def idx_folder(folder: Path, by_class: bool = False) -> Path:
    """Write synthetic images of three classes, 12 × 10 pixels, as gzipped idx files. by_class: sort them by class."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for part, count in (("train", 240), ("t10k", 60)):
        labels = rng.integers(0, 3, count).astype(np.uint8)
        labels = np.sort(labels) if by_class else labels
        images = rng.integers(0, 40, (count, 12, 10)).astype(np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[2:10, 2 + 2 * label : 4 + 2 * label] += 180
        for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            header = struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
            (folder / f"{name}.gz").write_bytes(gzip.compress(header + array.tobytes(), mtime=0))
    return folder


def picture_folder(folder: Path) -> Path:
    """Write scikit-learn's handwritten digits from 0 to 2 as PNG files, with one folder per digit."""
    digits = datasets.load_digits(n_class=3)
    for index, (image, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        path = folder / f"digit {digit}" / f"{index:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 15.9).astype(np.uint8)).save(path)
    return folder


def texts(path: Path) -> Path:
    """Write labeled sentences as a CSV file."""
    rng = np.random.default_rng(1)
    rows = [
        (sentences[k % 2].format(f"on day {rng.integers(100)} number {k}"), label)
        for label, sentences in SENTENCES.items()
        for k in range(120)
    ]
    return _write(path, ("review", "label"), rows)


def regression(path: Path) -> Path:
    """Write scikit-learn's diabetes table as a CSV file, with sex as a categorical column."""
    table = datasets.load_diabetes(as_frame=True, scaled=False).frame
    table["sex"] = table["sex"].map({1.0: "one", 2.0: "other"})
    return _write(path, list(table.columns), table.itertuples(index=False))


def multilabel(path: Path) -> Path:
    """Write scikit-learn's handwritten digits as a CSV file of pixels, with three properties of the digit as labels."""
    digits = datasets.load_digits()
    labels = {"even": digits.target % 2 == 0, "loop": np.isin(digits.target, (0, 6, 8, 9)), "high": digits.target > 4}
    names = [*(f"pixel_{k}" for k in range(64)), *(f"label_{name}" for name in labels)]
    rows = np.hstack([digits.data, np.stack(list(labels.values()), axis=1)]).astype(int)
    return _write(path, names, rows[:900].tolist())


def _write(path: Path, header: object, rows: object) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)  # type: ignore[arg-type]
        writer.writerows(rows)  # type: ignore[arg-type]
    return path
