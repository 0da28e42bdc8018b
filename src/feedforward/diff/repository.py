"""Files of commits, read from git without a checkout: neither the working tree nor the index is touched."""

import os
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from feedforward.core.errors import DataError, ParamsError

HASH_PREFIX = re.compile(r"[0-9a-f]{4,40}")
EXPERIMENT = re.compile(r"\w[\w.-]*")  # without the characters that make a pattern
FULL_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
TIMEOUT = 60.0  # seconds
MAX_FILE_BYTES = 2**26


class Repository:
    """The git repository around `folder`; paths are relative to `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def exists(self) -> bool:
        """Whether git is installed and finds a repository."""
        return self._text("rev-parse", "--git-dir") is not None

    def commit(self, name: str) -> str | None:
        """The commit (hex) that a name such as HEAD~1, v1.2 or 1a2b3c4 refers to; None if there is none.

        The name may also be that of a DVC experiment, unless a branch or tag has the same name.

        Raises:
            ParamsError: several commits start with these digits, or several experiments have this name.
        """
        full = self._text("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        # `^HEAD`, which excludes commits instead of naming one, becomes `^` and a hash
        if full is not None and not FULL_HASH.fullmatch(full):
            return None
        if full is None and HASH_PREFIX.fullmatch(name):
            objects = (self._text("rev-parse", f"--disambiguate={name}") or "").split()
            commits = [entry for entry in objects if self._text("cat-file", "-t", entry) == "commit"]
            if commits:
                examples = ", ".join(entry[:12] for entry in commits[:5])
                raise ParamsError([f"{name}: several commits start with it: {examples}; give more digits"])
        return full or self._experiment(name)

    def _experiment(self, name: str) -> str | None:
        """The commit of a DVC experiment, which DVC keeps as refs/exps/BA/SELINE/NAME."""
        if not EXPERIMENT.fullmatch(name):
            return None
        commits = (self._text("for-each-ref", "--format=%(objectname)", f"refs/exps/*/*/{name}") or "").split()
        if len(commits) > 1:
            examples = ", ".join(entry[:12] for entry in commits[:5])
            raise ParamsError([f"{name}: several experiments have this name: {examples}; name one of these commits"])
        return commits[0] if commits else None

    def subject(self, commit: str) -> str:
        """The first line of a commit's message."""
        return self._text("show", "--no-patch", "--format=%s", commit, "--") or ""

    def has(self, commit: str, path: str) -> bool:
        """Whether the commit has a file or folder at `path`."""
        return self._run("cat-file", "-e", f"{commit}:./{path}") is not None

    def content(self, commit: str, path: str) -> bytes | None:
        """The bytes of a file; None if the commit has no such file.

        Raises:
            DataError: the file has more than MAX_FILE_BYTES bytes.
        """
        size = self._text("cat-file", "-s", f"{commit}:./{path}")
        if size is None:
            return None
        if int(size) > MAX_FILE_BYTES:
            raise DataError(f"{path} of commit {commit[:12]}: must have at most {MAX_FILE_BYTES} bytes, got {size}")
        return self._run("cat-file", "blob", f"{commit}:./{path}")

    def extract(self, commit: str, paths: Sequence[str], target: Path) -> None:
        """Write the commit's files under `paths` into the existing folder `target`.

        Raises:
            DataError: git failed.
        """
        with tempfile.TemporaryFile() as packed:
            command = self._command("archive", "--format=tar", commit, "--", *paths)
            try:
                done = subprocess.run(command, stdout=packed, stderr=subprocess.DEVNULL, timeout=TIMEOUT, check=False)
                if done.returncode:
                    raise DataError(f"commit {commit[:12]}: its code cannot be read; run `git fsck`")
                packed.seek(0)
                with tarfile.open(fileobj=packed) as archive:
                    # as the documentation of tarfile recommends for versions of Python that may lack filters
                    archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
                    archive.extractall(target)  # noqa: S202  git wrote the archive
            except (OSError, subprocess.TimeoutExpired, tarfile.TarError) as error:
                raise DataError(f"commit {commit[:12]}: its code cannot be read ({error})") from None

    def _command(self, *arguments: str) -> list[str]:
        return ["git", "--no-optional-locks", "-C", str(self._folder), *arguments]

    def _text(self, *arguments: str) -> str | None:
        output = self._run(*arguments)
        return None if output is None else output.decode("utf-8", "replace").strip()

    def _run(self, *arguments: str) -> bytes | None:
        """The output of a git command; None if it failed."""
        environment = os.environ | {"LC_ALL": "C"}
        try:
            done = subprocess.run(
                self._command(*arguments), capture_output=True, timeout=TIMEOUT, env=environment, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 else None
