"""The champions in memory, loaded and replaced in the background, so that no request waits for the registry."""

import dataclasses
import logging
import threading
from collections.abc import Callable, Mapping

from feedforward.config.schema import Dataset
from feedforward.core.errors import FeedforwardError, NothingToServe, TrackingError
from feedforward.serving import prediction, problems
from feedforward.serving.prediction import LoadedVersion
from feedforward.tracking import model_version, model_versions
from feedforward.tracking.model_version import CHAMPION, Version

log = logging.getLogger(__name__)


class ModelCache:
    """Each dataset's champion (or the version with another alias) as of the last check of the registry.

    A new champion replaces the old one once it is completely loaded and verified; if the new one was tampered with, the
    old one keeps serving. Until the tracking server answers for the first time, the local copy of the last known
    champion serves. The cache may be read from any thread.

    is_usable: whether a version may be used; other versions count as missing. on_change: called with a dataset and its
    version number, 0 for none. problems: one line by dataset, for clients. checked: set after the first check.
    """

    def __init__(
        self,
        datasets: Mapping[str, Dataset],
        interval: float,
        on_change: Callable[[str, int], None],
        alias: str = CHAMPION,
        is_usable: Callable[[Version], bool] = lambda _: True,
    ) -> None:
        self.datasets = dict(datasets)
        self.problems: dict[str, str] = {}
        self.checked = threading.Event()
        self._champions: dict[str, LoadedVersion] = {}
        self._interval, self._on_change = interval, on_change
        self._alias, self._is_usable = alias, is_usable
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{alias}s", daemon=True)

    def start(self) -> None:
        """Load the champions in the background, then check for new ones every `interval` seconds."""
        self._thread.start()

    def stop(self) -> None:
        """Stop checking, without waiting for a check in progress."""
        self._stopped.set()

    def refresh(self) -> None:
        """Check the registry once."""
        for name in self.datasets:
            try:
                self._refresh(name)
                self.problems.pop(name, None)
            except Exception as error:  # loaded champions keep serving, whatever is wrong with the store
                problem = str(error).splitlines()[0] if str(error) else type(error).__name__
                public = problems.without_folders(problem)
                if self.problems.get(name) != public:
                    log.warning("%s", problem)
                self.problems[name] = public

    def find(self, name: str) -> LoadedVersion | None:
        """The champion of dataset `name`; None if it has none."""
        return self._champions.get(name)

    def champion(self, name: str) -> LoadedVersion:
        """The champion of dataset `name`.

        Raises:
            NothingToServe: the dataset has no champion.
        """
        champion = self._champions.get(name)
        if champion is None:
            raise NothingToServe(self.problem(name))
        return champion

    def problem(self, name: str) -> str:
        """Why dataset `name` is not served, and how to fix it."""
        if name in self.problems:
            return self.problems[name]
        if not self.checked.is_set():
            return f"{name}: the registry has not answered yet; try again in a moment"
        return f"{name}: there is no champion yet; run `feedforward promote {name}`"

    def champions(self) -> dict[str, LoadedVersion]:
        """All champions, by dataset."""
        return dict(self._champions)

    def _refresh(self, name: str) -> None:
        try:
            version = model_versions.find(name, self._alias, is_known=name in self._champions)
        except TrackingError:
            is_unknown = self._alias == CHAMPION and name not in self._champions
            if is_unknown and (last := model_versions.last_known_champion(name)):
                self._load(name, last)  # from the local copy, verified as usual
            raise
        if version is None or not self._is_usable(version):
            self._champions.pop(name, None)
            self._on_change(name, 0)
            return
        current = self._champions.get(name)
        digest = version.tags.get(model_version.DIGEST)
        is_same = current and (current.version.number, current.served.digest) == (version.number, digest)
        if current and is_same and not isinstance(current.failure, TrackingError):
            return
        self._load(name, version)

    def _load(self, name: str, version: Version) -> None:
        champion = prediction.champion(name, version, self.datasets[name])
        try:
            champion.variants  # noqa: B018  # loaded here, not by the first request
        except FeedforwardError as error:
            log.warning("%s: its variants cannot be used: %s", version.name, error)
            champion = dataclasses.replace(champion, failure=error)
        self._champions[name] = champion
        self._on_change(name, version.number)

    def _run(self) -> None:
        while not self._stopped.is_set():
            self.refresh()
            self.checked.set()
            self._stopped.wait(self._interval)
