"""Resolve names from the command line to runs, model versions or commits."""

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING

from feedforward import tracking
from feedforward.config import cross_checks
from feedforward.config.schema import Params
from feedforward.core import paths
from feedforward.core.errors import DataError, ParamsError
from feedforward.core.redaction import shown
from feedforward.diff import commit_side, run_side
from feedforward.diff.repository import Repository
from feedforward.diff.sides import Side
from feedforward.tracking import LoggedRun, settings

if TYPE_CHECKING:
    from feedforward.tracking.registry import Registry

RUN_ID = re.compile(r"[0-9a-f]{4,32}")
FORMS = (
    "a run ID or at least its first 4 digits, DATASET:VERSION, DATASET:champion, DATASET:challenger, a commit such as"
    " HEAD~1, or a DVC experiment"
)
RUN, COMMIT = "run:", "commit:"  # prefixes that resolve an ambiguous name


class Names:
    """Finds runs, model versions and commits by name. The tracking store is opened when it is first needed."""

    def __init__(self, params: Params) -> None:
        self._params = params
        self.repository = Repository(paths.root())

    def pair(self, a: str, b: str) -> tuple[Side, Side]:
        """The two sides that `a` and `b` name.

        Raises:
            ParamsError: a name is unknown or ambiguous, only one of them is a commit, or a file of a commit is invalid.
            DataError: the run of a model version was deleted, or a file of a commit is too large.
            TrackingError: the store does not answer.
        """
        entry_a, entry_b = self._find(a), self._find(b)
        if isinstance(entry_a, str) != isinstance(entry_b, str):
            commit, name, side = (a, b, entry_b) if isinstance(entry_a, str) else (b, a, entry_a)
            suggestion = (
                f"{side.commit[:12]}, its commit" if isinstance(side, Side) and side.commit else "another commit"
            )
            raise ParamsError(
                [f"{shown(commit)} is a commit and {shown(name)} is not; instead of {shown(name)}, name {suggestion}"]
            )
        return self._side(entry_a, a), self._side(entry_b, b)

    def _side(self, entry: Side | str, name: str) -> Side:
        if isinstance(entry, Side):
            return entry
        return commit_side.commit_side(entry, shown(name.removeprefix(COMMIT)), self.repository, lambda: self.registry)

    @functools.cached_property
    def registry(self) -> "Registry":
        """The registry of the tracking store.

        Raises:
            DataError: there is no store yet. TrackingError: the store does not answer.
        """
        uri = settings.tracking_uri()
        if uri.startswith(settings.SQLITE) and not Path(uri.removeprefix(settings.SQLITE)).is_file():
            raise DataError(f"{paths.store()}: there are no runs yet; run `feedforward train`")
        tracking.open_store()
        from feedforward.tracking.registry import Registry

        return Registry(uri)

    def _find(self, name: str) -> Side | str:
        """The side for a run or a model version, or the full hash of a commit."""
        dataset, colon, version = name.partition(":")
        if colon and dataset in self._params.datasets:
            return self._version(dataset, version)
        runs = self._runs(name.removeprefix(RUN)) if not name.startswith(COMMIT) else []
        commit = self.repository.commit(name.removeprefix(COMMIT)) if not name.startswith(RUN) else None
        if commit and runs:
            raise ParamsError([f"{name}: is both a run and a commit; write {RUN}{name} or {COMMIT}{name}"])
        if len(runs) > 1:
            examples = ", ".join(f"{run.run_id[:12]} ({run.name})" for run in runs[:3])
            raise ParamsError([f"{name}: {len(runs)} run IDs start with it, such as {examples}; give more digits"])
        if not commit and not runs:
            raise ParamsError([f"{shown(name)}: no such run, model version or commit; expected {FORMS}"])
        return commit or run_side.run_side(runs[0], self.registry, self._params)

    def _runs(self, prefix: str) -> list[LoggedRun]:
        if not RUN_ID.fullmatch(prefix):
            return []
        try:
            return self.registry.runs_with_id_prefix(prefix)
        except DataError:  # without a store, the name can only be a commit
            return []

    def _version(self, dataset: str, number_or_alias: str) -> Side:
        is_number = number_or_alias.isdecimal() and len(number_or_alias) < 10
        key = int(number_or_alias) if is_number else number_or_alias
        version = self.registry.find(dataset, key) if number_or_alias else None
        if version is None:
            numbers = [str(entry.number) for entry in self.registry.versions(dataset)]
            available = (
                f"{dataset} has versions {cross_checks.choices(numbers)}" if numbers else f"{dataset} has no versions"
            )
            raise ParamsError([f"{dataset}:{shown(number_or_alias)}: no such version or alias; {available}"])
        runs = self.registry.runs_with_id_prefix(version.run_id)
        if not runs:
            raise DataError(f"{version.name}: its run {version.run_id[:8]} was deleted; restore it in MLflow")
        return run_side.version_side(version, runs[0], self.registry, self._params)
