"""Download verified files from mirrors and URLs. A file is identified by its content, so any source may provide it.

Sources are tried in order: the local paths among the `urls` of the file, `$FEEDFORWARD_MIRROR` (a folder, or any URL
that fsspec opens), the mirrors in params.yaml, if any, and the other `urls`. As long as no digest of a file is known,
all its `urls` come first, because a mirror could have another file of the same name.
"""

import contextlib
import functools
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from feedforward.config.schema import DIGESTS, SourceFile
from feedforward.core import atomic_files, paths
from feedforward.core.errors import DataError, SourceError
from feedforward.core.redaction import redact
from feedforward.data.sources import archives
from feedforward.data.sources.locations import RetryPolicy, Unreachable, is_local, read, read_folder
from feedforward.data.sources.progress_bar import Bar

MIRROR = "FEEDFORWARD_MIRROR"

log = logging.getLogger(__name__)


class _Fetched(NamedTuple):
    """What is recorded about a fetched file.

    sha256: of its content. entry: digest of the entry in params.yaml with which it was fetched; None in records of
    releases up to 0.2.
    """

    sha256: str
    entry: str | None = None


def stored_name(key: str, file: SourceFile) -> str:
    """The name of a file's verified content in the folder of raw files."""
    return file.stored_as(key)


def stored_files(files: Mapping[str, SourceFile], folder: Path) -> dict[str, Path]:
    """The path of each file's verified content in the folder of raw files, by key."""
    return {key: folder / stored_name(key, file) for key, file in files.items()}


def fetch(
    files: Mapping[str, SourceFile],
    folder: Path,
    mirrors: Sequence[str],
    policy: RetryPolicy | None = None,
    accept_changes: bool = False,
) -> None:
    """Fetch every file that `folder` does not already contain unchanged, and record the digests of all files there.

    A file without `sha256` in params.yaml must match the digest that was recorded when it was first fetched, unless
    `accept_changes` is set. If its entry has changed since then, it is fetched again, so that new URLs or a new number
    of files are not ignored. New content replaces the old only when all files have arrived. Files that were fetched for
    a former entry are removed, because DVC would record them as inputs.

    Raises:
        SourceError: no source provides a file with the expected content.
    """
    recorded = {} if accept_changes else _read_fetched(folder)
    fetched = {}
    with contextlib.ExitStack() as arrived, Bar() as bar:
        for key, file in files.items():
            target, entry, before = folder / stored_name(key, file), _entry_digest(file), recorded.get(key)
            expected = file.sha256 or (before.sha256 if before and before.entry in (None, entry) else None)
            if expected is None or archives.content_digest(target, file) != expected:
                expected = _fetch_file(key, file, expected, target, mirrors, policy or RetryPolicy(), bar, arrived)
            if before and not file.sha256 and before.sha256 != expected:
                raise SourceError(
                    f"{key}: its entry in params.yaml has changed, and so has its content: expected SHA-256"
                    f" {before.sha256}, received {expected}; `feedforward fetch {folder.name}` accepts changed data"
                )
            fetched[key] = _Fetched(expected, entry)._asdict()
    names = {stored_name(key, file) for key, file in files.items()}
    former = {name for key in _read_fetched(folder) for name in (key, key.removesuffix(".gz"), f"{key}.parquet")}
    for path in folder.iterdir():
        if path.name in former - names and path.is_file():
            path.unlink()
    atomic_files.write_json(folder / DIGESTS, fetched, "fetch")


def recorded(folder: Path) -> dict[str, str]:
    """The SHA-256 of the content of each file that was fetched into `folder`, by key; empty if nothing is recorded."""
    return {key: file.sha256 for key, file in _read_fetched(folder).items()}


def changed_sources(files: Mapping[str, SourceFile], folder: Path) -> dict[str, str]:
    """Local sources whose content has changed since it was fetched into `folder`, or cannot be read: key → path.

    Sources that are missing or not yet fetched are skipped, and so are those with a `sha256` in params.yaml, whose
    content cannot change.
    """
    recorded, changed = _read_fetched(folder), {}
    for key, file in files.items():
        location = local_source(file)
        if location is None or file.sha256 is not None or key not in recorded:
            continue
        try:
            defaults = (RetryPolicy(), Bar())
            received = _members(location, file, *defaults) if file.archive == "folder" else read(location, *defaults)
            if archives.source_digest(received, file) != recorded[key].sha256:
                changed[key] = location
        except (Unreachable, DataError, EOFError):
            changed[key] = location
    return changed


def local_source(file: SourceFile) -> str | None:
    """The first of the file's `urls` that is an existing local path, as an absolute path; None if there is none."""
    return next((path for path in map(_resolve, file.urls) if is_local(path) and Path(path).exists()), None)


def find_unavailable(
    files: Mapping[str, SourceFile], folder: Path, mirrors: Sequence[str], wait_s: float = 5.0
) -> list[str]:
    """The keys of the files that are not in `folder` and that no source begins to send within `wait_s` seconds."""
    quick = RetryPolicy(stall_s=wait_s, retries=0)

    def is_reachable(location: str, file: SourceFile) -> bool:
        try:
            if file.archive == "folder":
                return bool(next(_members(location, file, quick, Bar()), None))
            return bool(next(read(location, quick, Bar()), b""))
        except Unreachable:
            return False

    return [
        key
        for key, file in files.items()
        if not (folder / stored_name(key, file)).exists()
        and not any(is_reachable(location, file) for location in _locations(key, file, file.sha256, mirrors))
    ]


def _read_fetched(folder: Path) -> dict[str, _Fetched]:
    try:
        recorded = atomic_files.read_json(folder / DIGESTS)
        return {
            key: _Fetched(value) if isinstance(value, str) else _Fetched(**value) for key, value in recorded.items()
        }
    except (OSError, json.JSONDecodeError, UnicodeDecodeError, AttributeError, TypeError):
        return {}


def _entry_digest(file: SourceFile) -> str:
    """A digest of the settings that determine the content; not the settings, because URLs may contain passwords."""
    return atomic_files.digest(file.model_dump(mode="json", exclude={"sha256", "max_bytes"}))


def _locations(key: str, file: SourceFile, expected: str | None, mirrors: Sequence[str]) -> Iterator[str]:
    """Yield the locations of a file, in order. expected: the digest of its content, if known.

    Relative paths in params.yaml start at the workspace, a relative $FEEDFORWARD_MIRROR at the current folder.
    """
    own = [url for url in file.urls if expected is None or is_local(url)]
    yield from map(_resolve, own)
    first = os.environ.get(MIRROR)
    for mirror in [str(Path.cwd() / first) if first and is_local(first) else first, *map(_resolve, mirrors)]:
        if mirror:
            head, mark, query = mirror.partition("?") if not is_local(mirror) else (mirror, "", "")
            yield f"{head.rstrip('/')}/{key}{mark}{query}"
    yield from (url for url in file.urls if url not in own)


def _resolve(location: str) -> str:
    if not is_local(location):
        return location
    return os.path.realpath(paths.root() / os.path.expanduser(location))  # noqa: PTH111  # unlike pathlib, never raises


def _fetch_file(
    key: str,
    file: SourceFile,
    expected: str | None,
    target: Path,
    mirrors: Sequence[str],
    policy: RetryPolicy,
    bar: Bar,
    arrived: contextlib.ExitStack,
) -> str:
    """Try the sources in order; return the digest of the content written to `target`.

    arrived: when this is closed without an exception, content without an expected digest replaces `target`; other
    content has replaced it already.
    """
    failures = []
    for location in _locations(key, file, expected, mirrors):
        try:
            digest = _with_retries(
                functools.partial(_fetch_once, location, file, expected, target, policy, bar, arrived),
                0 if is_local(location) else policy.retries,
                policy.pause_s,
            )
        except (Unreachable, DataError, EOFError) as error:
            reason = f"{redact(location)}: {error}"
            failures.append(reason)
            if isinstance(error, DataError):
                log.warning("refused %s", reason)
        else:
            if failures and expected is None:
                log.warning("%s: taken from %s, because %s", key, redact(location), "; ".join(failures))
            return digest
    raise SourceError(
        f"{key}: no source provides it: {'; '.join(failures)}; set a mirror (a folder or URL with {key}): {MIRROR}=…"
    )


def _with_retries(attempt: Callable[[], str], retries: int, pause_s: float) -> str:
    for retry in range(retries + 1):
        try:
            return attempt()
        except (Unreachable, EOFError) as error:
            if retry == retries or getattr(error, "final", False):
                raise
            time.sleep(pause_s * 2**retry)
    raise AssertionError  # not reached: the last attempt returns or raises


def _fetch_once(
    location: str,
    file: SourceFile,
    expected: str | None,
    target: Path,
    policy: RetryPolicy,
    bar: Bar,
    arrived: contextlib.ExitStack,
) -> str:
    with contextlib.ExitStack() as attempt:
        output = attempt.enter_context(atomic_files.writing(target, "fetch"))
        if file.archive == "folder":
            digest = archives.write_members(_limit_size(_members(location, file, policy, bar), file), file, output)
        else:
            digest = archives.write_content(read(location, policy, bar), file, output)
        if expected is not None and digest != expected:
            hint = "" if file.sha256 else f"; `feedforward fetch {target.parent.name}` accepts changed data"
            raise DataError(f"expected content with SHA-256 {expected}, received {digest}{hint}")
        if expected is None:
            arrived.push(attempt.pop_all())
    return digest


def _members(location: str, file: SourceFile, policy: RetryPolicy, bar: Bar) -> Iterator[tuple[str, bytes]]:
    return read_folder(location, file.folders, lambda path: archives.is_wanted(path, file), policy, bar)


def _limit_size(members: Iterator[tuple[str, bytes]], file: SourceFile) -> Iterator[tuple[str, bytes]]:
    total = 0
    for name, content in members:
        total += len(content)
        if total > file.max_bytes:
            raise DataError(f"more than the {file.max_bytes:,} bytes that `max_bytes` allows")
        yield name, content
