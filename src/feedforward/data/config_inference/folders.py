"""Infer how to read a folder of idx files, or of class folders with images or texts."""

import gzip
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from feedforward.config.cross_checks import choices
from feedforward.core.errors import DataError, InputError
from feedforward.data import class_folders
from feedforward.data.class_folders import IMAGE_SUFFIXES, TEXT_SUFFIXES, is_visible
from feedforward.data.config_inference.entry import (
    Guess,
    check_names,
    complete_guess,
    dense_network,
    name_of,
    text_network,
)
from feedforward.data.readers import encodings, idx

MAX_SIDE = 64  # longest side of a scaled image, in pixels
MAX_BYTES = 2**30  # of an unpacked idx file; the same as the default of `files.*.max_bytes`
TRAIN, TEST, VALIDATION = ("train", "training"), ("test", "testing"), ("validation", "valid", "val", "dev")
IDX = re.compile(r".*?(train|t10k|test)-(images|labels).*idx\d-ubyte(?:\.gz)?", re.IGNORECASE)
NO_TEST_NOTE = (
    "no test folder: about a fifth of each class becomes the test split, chosen by a hash of each file and `split_seed`"
)


class NoClassFolders(InputError):
    """A folder has no two subfolders with images or texts."""


# --- idx -----------------------------------------------------------------------------------------


def guess_idx(path: Path, names: Sequence[str]) -> Guess | None:
    """The guessed entry for four idx files; None if the folder does not contain them.

    Raises:
        InputError: a file cannot be read or has an invalid name, the numbers of images and labels differ, or there are
            fewer than two classes.
    """
    matches = {name: match for name in names if (match := IDX.fullmatch(name)) and not name.startswith(".")}
    keys = {
        ("test" if m[1].lower() == "t10k" else m[1].lower(), "features" if m[2].lower() == "images" else "labels"): name
        for name, m in matches.items()
    }
    if set(keys) != {(split, part) for split in ("train", "test") for part in ("features", "labels")}:
        return None
    check_names(path / name for name in keys.values())
    contents = {key: _idx_array(path / name) for key, name in keys.items()}
    for split in ("train", "test"):
        images, labeled = len(contents[split, "features"]), len(contents[split, "labels"])
        if images != labeled:
            raise InputError(str(path), f"{split} has {images} images, but {labeled} labels; correct its files")
    numbers = sorted({int(k) for split in ("train", "test") for k in np.unique(contents[split, "labels"])})
    if len(numbers) < 2:
        raise InputError(str(path / keys["train", "labels"]), f"expected at least two classes, got {numbers}")
    sample_count = len(contents["train", "labels"])
    files = {
        name: {"archive": "gzip" if name.lower().endswith(".gz") else "none", "urls": [str(path / name)]}
        for name in keys.values()
    }
    reader: dict[str, Any] = {
        "kind": "idx",
        **{s: {p: keys[s, p] for p in ("features", "labels")} for s in ("train", "test")},
    }
    if numbers != list(range(len(numbers))):
        reader["classes"] = numbers
    reader["shuffle_seed"] = 0  # files may be sorted by class, and a promotion holds out the last samples
    task = "binary" if len(numbers) == 2 else "multiclass"
    reasons = [
        f"{len(keys)} idx files contain images and their classes: `kind: idx`, {sample_count} training samples",
        f"the labels {', '.join(map(str, numbers[:10]))}{' …' if len(numbers) > 10 else ''} were found: `task: {task}`",
    ]
    labels = [str(number) for number in numbers]
    return complete_guess(path, task, labels, files, reader, sample_count, reasons, dense_network(128, 255))


def _idx_array(path: Path) -> Any:
    try:
        with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise DataError(f"{path}: has more than {MAX_BYTES} bytes when unpacked; add it to params.yaml by hand")
        return idx.parse(content, path)
    except encodings.UNREADABLE as error:
        reason = getattr(error, "strerror", None) or "it is damaged or not gzip"
        raise InputError(str(path), f"cannot be read ({reason})") from None
    except DataError as error:
        raise InputError(str(path), str(error).removeprefix(f"{path}: ")) from None


# --- class folders -------------------------------------------------------------------------------


def guess_class_folders(path: Path) -> Guess:
    """The guessed entry for class folders.

    Raises:
        NoClassFolders: see there.
        InputError: fewer than two class folders have enough images or texts, or a file cannot be read or has an invalid
            name (the message names it).
    """
    parts = {folder.name.lower(): folder.name for folder in _subfolders(path)}
    train, test, validation = (
        next((parts[name] for name in names if name in parts), None) for names in (TRAIN, TEST, VALIDATION)
    )
    is_split = train is not None and (test is not None or validation is not None)
    top = path / train if is_split and train else path
    by_class = {folder.name: _files(folder) for folder in _subfolders(top)}
    suffixes = Counter(file.suffix for files in by_class.values() for file in files)
    image_count = sum(count for suffix, count in suffixes.items() if suffix.lower() in IMAGE_SUFFIXES)
    text_count = sum(count for suffix, count in suffixes.items() if suffix.lower() in TEXT_SUFFIXES)
    if len(by_class) >= 2 and not image_count + text_count:
        expected = " or ".join((*IMAGE_SUFFIXES, *TEXT_SUFFIXES))
        raise NoClassFolders(str(path), f"its class folders must contain files of type {expected}")
    has_images = image_count >= text_count
    read = IMAGE_SUFFIXES if has_images else TEXT_SUFFIXES
    by_class = {name: [file for file in files if _is_of(file, read)] for name, files in by_class.items()}
    classes = sorted(name for name, files in by_class.items() if files)
    if len(classes) < 2:
        raise NoClassFolders(str(path), "must contain a folder for each of at least two classes, or four idx files")
    reasons, test_folder = _choose_test(path, test, validation, classes, read) if is_split else ([], None)
    single_file_classes = [] if test_folder else [name for name in classes if len(by_class[name]) == 1]
    test_classes = {folder.name for folder in _subfolders(path / test_folder)} if test_folder else set[str]()
    other_types = {suffix: count for suffix, count in suffixes.items() if suffix.lower() not in read}
    ignored = {
        "files of other types": [f"{suffix or 'no suffix'} ({count})" for suffix, count in sorted(other_types.items())],
        f"classes without {'images' if has_images else 'texts'}": sorted({*by_class} - {*classes}),
        "classes with a single file": single_file_classes,
        f"classes of {test_folder} without training samples": sorted(test_classes - {*by_class}),
    }
    reasons += [f"{kind} are left out: {choices(names)}" for kind, names in ignored.items() if names]
    classes = [name for name in classes if name not in single_file_classes]
    if len(classes) < 2:
        raise InputError(str(path), "must contain at least two classes with at least two files each")
    files = [file for name in classes for file in by_class[name]]
    return _complete(path, train if is_split else None, test_folder, classes, has_images, files, reasons)


def _subfolders(path: Path) -> list[Path]:
    try:
        folders = sorted(entry for entry in path.iterdir() if entry.is_dir())
    except OSError as error:
        raise InputError(str(path), f"cannot be read ({error.strerror})") from None
    return [folder for folder in folders if is_visible(folder.name)]


def _files(folder: Path) -> list[Path]:
    return class_folders.files_in(folder, onerror=_raise_unreadable)


def _raise_unreadable(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise InputError(str(error.filename), f"cannot be read ({error.strerror})")


def _is_of(file: Path, suffixes: Sequence[str]) -> bool:
    return file.suffix.lower() in suffixes


def _choose_test(
    path: Path, test: str | None, validation: str | None, classes: Sequence[str], suffixes: Sequence[str]
) -> tuple[list[str], str | None]:
    """Reasons for the choice of the test folder, and its name (None if no folder is suitable)."""
    reasons: list[str] = []
    for name in filter(None, (test, validation)):
        empty_classes = [c for c in classes if not any(_is_of(f, suffixes) for f in _files(path / name / c))]
        if not empty_classes:
            is_other_left_out = validation is not None and name != validation
            other = [f"{validation} is left out: validation samples come from train"] if is_other_left_out else []
            return [*reasons, f"the folder {name} is the test split", *other], name
        reasons.append(f"the folder {name} is left out: it has no samples of {choices(empty_classes)}")
    return reasons, None


def _complete(
    path: Path,
    train: str | None,
    test: str | None,
    classes: Sequence[str],
    has_images: bool,
    files: Sequence[Path],
    reasons: Sequence[str],
) -> Guess:
    test_folders = [path / test / name for name in classes] if test else []
    read = IMAGE_SUFFIXES if has_images else TEXT_SUFFIXES
    test_files = [file for folder in test_folders for file in _files(folder) if _is_of(file, read)]
    check_names([*files, *test_files])
    folders = sorted({file.parent.relative_to(path).as_posix() for file in (*files, *test_files)})
    suffixes = sorted({file.suffix for file in (*files, *test_files)})  # each spelling, such as .jpg and .JPG
    key = name_of(path)
    source = {"archive": "folder", "folders": folders, "suffix": suffixes, "urls": [str(path)]}
    reader: dict[str, Any] = {"kind": "image_folder" if has_images else "labeled_text", "file": key}
    reader |= {"classes": list(classes), "train": train or ""} | ({"test": test} if test else {})
    plural = "images" if has_images else "texts"
    count = len(files) + len(test_files)
    lines = [
        f"{len(classes)} class folders contain {count} {plural} ({', '.join(suffixes)}): `kind: {reader['kind']}`",
        *reasons,
    ]
    nested = len([folder for folder in folders if folder.count("/") > (1 if train else 0)])
    lines += [f"{nested} folders inside class folders are also read"] if nested else []
    lines += [] if test else [NO_TEST_NOTE]
    if has_images:
        height, width = _size([*files, *test_files])
        reader |= {"height": height, "width": width}
        lines.append(
            f"images are scaled to their median size (at most {MAX_SIDE} pixels on a side): {height} × {width} pixels,"
            " in grayscale"
        )
    else:
        reader["num_words"] = 10_000
    task = "binary" if len(classes) == 2 else "multiclass"
    lines.append(f"{len(classes)} classes: `task: {task}`")
    network = dense_network(128, 255) if has_images else text_network()
    sample_count = len(files) if test else round(0.8 * len(files))
    return complete_guess(
        path,
        task,
        classes,
        {key: source},
        reader,
        sample_count,
        [*lines, *_rare_classes(files, classes, path, train)],
        network,
    )


def _rare_classes(files: Iterable[Path], classes: Sequence[str], path: Path, train: str | None) -> list[str]:
    depth = len(path.parts) + bool(train)
    counts: Mapping[str, int] = Counter(file.parts[depth] for file in files)
    rare = [f"{name} ({counts[name]})" for name in classes if counts[name] < 10]
    return [f"few samples: {choices(rare)}; estimates for these classes are rough"] if rare else []


def _size(files: Sequence[Path]) -> tuple[int, int]:
    """The median height and width after rotation according to EXIF, scaled down to at most MAX_SIDE.

    Raises:
        InputError: a file is not an image.
    """
    from feedforward.data.readers import image_decoding

    sizes = []
    for file in files:
        try:
            sizes.append(image_decoding.size_of(file))
        except (ValueError, OSError) as error:
            raise InputError(
                str(file), f"{getattr(error, 'strerror', None) or error}; remove it, then run init again"
            ) from None
    height, width = (int(side) for side in np.median(np.array(sizes), axis=0))
    factor = min(1.0, MAX_SIDE / max(height, width))
    return max(1, round(height * factor)), max(1, round(width * factor))
