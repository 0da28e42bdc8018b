"""Generate the embedded sample of MNIST: 2,000 digits, the same number per class, in the original order.

python samples/digits.py FOLDER        selects them from the real MNIST files in FOLDER
"""

import gzip
import struct
import sys
from pathlib import Path

COUNTS = {"train": 160, "test": 40}  # images per class; the first ones of each class are taken
UPSTREAM = {"train": "train", "test": "t10k"}
FOLDER = Path(__file__).parent
CLASSES, SIDE = 10, 28


def name(split: str, kind: str) -> str:
    """Return the name of a file of the sample. kind: `images-idx3` or `labels-idx1`."""
    return f"digits-{split}-{kind}-ubyte.gz"


def digits(folder: Path) -> dict[str, bytes]:
    """Return the idx files of the sample by name, uncompressed, selected from the real files in `folder`."""
    files = {}
    for split, count in COUNTS.items():
        images = gzip.decompress((folder / f"{UPSTREAM[split]}-images-idx3-ubyte.gz").read_bytes())[16:]
        labels = gzip.decompress((folder / f"{UPSTREAM[split]}-labels-idx1-ubyte.gz").read_bytes())[8:]
        first = {label: [i for i, other in enumerate(labels) if other == label][:count] for label in range(CLASSES)}
        rows = sorted(row for rows_of_label in first.values() for row in rows_of_label)
        pixels = b"".join(images[row * SIDE * SIDE : (row + 1) * SIDE * SIDE] for row in rows)
        files[name(split, "images-idx3")] = struct.pack(">IIII", 0x0803, len(rows), SIDE, SIDE) + pixels
        files[name(split, "labels-idx1")] = struct.pack(">II", 0x0801, len(rows)) + bytes(labels[row] for row in rows)
    return files


if __name__ == "__main__":
    for file, content in digits(Path(sys.argv[1])).items():
        (FOLDER / file).write_bytes(gzip.compress(content, 9, mtime=0))
        print(f"{file}: {(FOLDER / file).stat().st_size:,} bytes")
