"""What a name on the command line refers to: a run, a model version or a commit."""

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING

from feedforward import tracking
from feedforward.config.schema import Params
from feedforward.core import paths
from feedforward.core.errors import DataError, ParamsError
from feedforward.core.redaction import shown
from feedforward.diff import commits, runs
from feedforward.diff.repository import Repository
from feedforward.diff.sides import Side
from feedforward.tracking import LoggedRun, settings

if TYPE_CHECKING:
    from feedforward.tracking.registry import Registry

RUN_ID = re.compile(r"[0-9a-f]{4,32}")
FORMS = "a run id or the start of one (4 digits or more), DATASET:VERSION, DATASET:champion, or a commit such as HEAD~1"
RUN, COMMIT = "run:", "commit:"  # prefixes that decide what an ambiguous name is


class Names:
    """Finds runs, versions and commits by name. The tracking store is opened when it is first needed."""

    def __init__(self, params: Params) -> None:
        self._params = params
        self.repository = Repository(paths.root())

    def pair(self, a: str, b: str) -> tuple[Side, Side]:
        """Both sides.

        Raises:
            ParamsError: an unknown or ambiguous name, or a commit and something else.
            TrackingError: the store does not answer.
        """
        one, other = self._find(a), self._find(b)
        if isinstance(one, str) != isinstance(other, str):
            commit, name, side = (a, b, other) if isinstance(one, str) else (b, a, one)
            known = f"{side.commit[:12]}, its commit" if isinstance(side, Side) and side.commit else "another commit"
            raise ParamsError(
                [f"{shown(commit)} is a commit and {shown(name)} is not; instead of {shown(name)} name {known}"]
            )
        return self._side(one, a), self._side(other, b)

    def _side(self, entry: Side | str, name: str) -> Side:
        if isinstance(entry, Side):
            return entry
        return commits.of_commit(entry, shown(name.removeprefix(COMMIT)), self.repository, lambda: self.registry)

    @functools.cached_property
    def registry(self) -> "Registry":
        """The registry of the tracking store.

        Raises:
            DataError: there is no store yet. TrackingError: it does not answer.
        """
        uri = settings.tracking_uri()
        if uri.startswith(settings.SQLITE) and not Path(uri.removeprefix(settings.SQLITE)).is_file():
            raise DataError(f"{paths.store()}: there are no runs yet; run `feedforward run`")
        tracking.open_store()
        from feedforward.tracking.registry import Registry

        return Registry(uri)

    def _find(self, name: str) -> Side | str:
        """The side of a run or a version, or the digits of a commit."""
        dataset, colon, which = name.partition(":")
        if colon and dataset in self._params.datasets:
            return self._version(dataset, which)
        logged = self._runs(name.removeprefix(RUN)) if not name.startswith(COMMIT) else []
        commit = self.repository.commit(name.removeprefix(COMMIT)) if not name.startswith(RUN) else None
        if commit and logged:
            raise ParamsError([f"{name}: is a run and a commit; write {RUN}{name} or {COMMIT}{name}"])
        if len(logged) > 1:
            listed = ", ".join(f"{run.run_id[:12]} ({run.name})" for run in logged[:3])
            raise ParamsError([f"{name}: {len(logged)} runs begin with it, such as {listed}; add digits"])
        if not commit and not logged:
            raise ParamsError([f"{shown(name)}: no such run, model version or commit; expected {FORMS}"])
        return commit or runs.of_run(logged[0], self.registry, self._params)

    def _runs(self, start: str) -> list[LoggedRun]:
        if not RUN_ID.fullmatch(start):
            return []
        try:
            return self.registry.runs_beginning(start)
        except DataError:  # no store, so it can only be a commit
            return []

    def _version(self, dataset: str, which: str) -> Side:
        number = int(which) if which.isdecimal() and len(which) < 10 else which
        version = self.registry.find(dataset, number) if which else None
        if version is None:
            numbers = [str(known.number) for known in self.registry.versions(dataset)]
            known = f"its versions are {', '.join(numbers[:10])}" if numbers else "it has no versions"
            raise ParamsError([f"{dataset}:{shown(which)}: no such version or alias of {dataset}; {known}"])
        logged = self.registry.runs_beginning(version.run_id)
        if not logged:
            raise DataError(f"{version.name}: its run {version.run_id[:8]} was deleted; restore it in MLflow")
        return runs.of_version(version, logged[0], self.registry, self._params)
