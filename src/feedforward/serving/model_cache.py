"""The champions in memory, loaded and changed in the background: a request never waits for the registry."""

import logging
import threading
from collections.abc import Callable, Sequence

from feedforward.core.errors import FeedforwardError, NothingToServe
from feedforward.serving import prediction
from feedforward.serving.prediction import Champion
from feedforward.tracking import model_version, model_versions

log = logging.getLogger(__name__)


class Shelf:
    """The champion of each data set, as the registry had it a moment ago.

    A new champion takes the place of the old one only when all of it is loaded and verified; one that was touched
    does not, and the old one serves on. `on_change` is told a data set and the number of its version, 0 for none.
    Read from any thread.
    """

    def __init__(self, names: Sequence[str], interval: float, on_change: Callable[[str, int], None]) -> None:
        self.names = tuple(names)
        self.problems: dict[str, str] = {}
        self._champions: dict[str, Champion] = {}
        self._interval, self._on_change = interval, on_change
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="shelf", daemon=True)

    def start(self) -> None:
        """Load what there is now, then go on looking."""
        self.refresh()
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def refresh(self) -> None:
        """Look once."""
        for name in self.names:
            try:
                self._look(name)
                self.problems.pop(name, None)
            except Exception as error:  # whatever happens to the store, what is loaded serves on
                problem = str(error).splitlines()[0] if str(error) else type(error).__name__
                if self.problems.get(name) != problem:
                    log.warning("%s", problem)
                self.problems[name] = problem

    def champion(self, name: str) -> Champion:
        """The champion that serves `name`.

        Raises:
            NothingToServe: there is none.
        """
        found = self._champions.get(name)
        if found is None:
            raise NothingToServe(self.problem(name))
        return found

    def problem(self, name: str) -> str:
        """Why nothing serves `name`, and what to do."""
        return self.problems.get(name) or f"{name}: there is no champion yet; run `feedforward promote {name}`"

    def champions(self) -> dict[str, Champion]:
        """All that serve, by data set."""
        return dict(self._champions)

    def _look(self, name: str) -> None:
        version = model_versions.find(name)
        if version is None:
            self._champions.pop(name, None)
            self._on_change(name, 0)
            return
        known = self._champions.get(name)
        digest = version.tags.get(model_version.DIGEST)
        if known and (known.version.number, known.served.digest) == (version.number, digest):
            return
        champion = prediction.champion(name, version)
        try:
            champion.variants  # noqa: B018  # loaded here, not by the first request
        except FeedforwardError as error:
            log.warning("%s: its variants cannot be shown: %s", version.name, error)
        self._champions[name] = champion
        self._on_change(name, version.number)

    def _work(self) -> None:
        while not self._stopped.wait(self._interval):
            self.refresh()
