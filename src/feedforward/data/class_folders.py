"""The images or texts in class folders, and those that a dataset leaves out because its settings do not name them."""

import os
from collections.abc import Callable
from pathlib import Path

from feedforward.config.schema import Dataset, ImageReader, SourceFile, TextReader
from feedforward.data.sources import archives, download

IMAGE_SUFFIXES, TEXT_SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp"), (".txt",)
MOST_NAMES = 5  # of files or folders in a message


def is_visible(name: str) -> bool:
    """Whether a name is neither hidden nor `__MACOSX`, which macOS adds to archives."""
    return not name.startswith(".") and name != "__MACOSX"


def files_in(folder: Path, onerror: Callable[[OSError], None] | None = None) -> list[Path]:
    """The files in a folder and its subfolders, including links to files.

    onerror: receives the error for each folder that cannot be read; without it, such folders are skipped.
    """
    files = []
    for top, folders, names in os.walk(folder, onerror=onerror):
        folders[:] = sorted(filter(is_visible, folders))
        files += [Path(top) / name for name in sorted(names) if is_visible(name) and (Path(top) / name).is_file()]
    return files


def left_out(name: str, dataset: Dataset) -> list[str]:
    """One message for each local source whose class folders contain images or texts that are not read.

    `folders` and `suffix` list what was there when `init` wrote the entry, so files that are added in other folders or
    with another suffix are not read. Sources with a `sha256` are skipped, because their content cannot change.
    """
    reader = dataset.reader
    if not isinstance(reader, ImageReader | TextReader):
        return []
    test_file = reader.test_file if isinstance(reader, TextReader) else None
    splits = ((reader.file, reader.train), (test_file or reader.file, reader.test))
    messages = []
    for key, file in dataset.files.items():
        location = download.local_source(file)
        if file.archive != "folder" or file.sha256 is not None or location is None:
            continue
        tops = [Path(location) / top for of_file, top in splits if of_file == key and top is not None]
        suffixes = _similar_suffixes(file, IMAGE_SUFFIXES if isinstance(reader, ImageReader) else TEXT_SUFFIXES)
        unread = [
            path.relative_to(location).as_posix()
            for top in tops
            for label in reader.classes
            for path in files_in(top / label)
            if path.name.lower().endswith(suffixes)
        ]
        # without names that contain a line break, because such files cannot be stored
        unread = [path for path in unread if not archives.is_wanted(path, file) and "\n" not in path]
        if unread:
            messages.append(_message(f"datasets.{name}.files.{key}", name, location, unread, file, suffixes))
    return messages


def _similar_suffixes(file: SourceFile, of_type: tuple[str, ...]) -> tuple[str, ...]:
    """Lower-case suffixes of the files that are read, and of others of the same type (images or texts).

    If `suffix` is more specific, such as `_label.txt`, it selects some files on purpose, so no others are added.
    """
    read = {suffix.lower() for suffix in ((file.suffix,) if isinstance(file.suffix, str) else file.suffix)}
    return tuple(sorted(read | {*of_type} if read & {*of_type} else read, key=len, reverse=True))


def _message(
    entry: str, name: str, location: str, unread: list[str], file: SourceFile, suffixes: tuple[str, ...]
) -> str:
    folders = {path.rpartition("/")[0] for path in unread} - {*file.folders}
    lengths = {path: len(next(s for s in suffixes if path.lower().endswith(s))) for path in unread}
    endings = {path[len(path) - lengths[path] :] for path in unread if not path.endswith(file.suffix)}
    missing = {"folders": sorted(folders), "suffix": sorted(endings)}
    keys = " and ".join(f"{_listed(values)} to `{entry}.{key}`" for key, values in missing.items() if values)
    return (
        f"{location}: its class folders contain files that are not read ({len(unread)}): {_listed(unread)}; to read"
        f" them, add {keys}, then run `feedforward fetch {name}`"
    )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:MOST_NAMES]) + (", …" if len(names) > MOST_NAMES else "")
