"""A random sample of encoded requests, bounded in count and bytes: Vitter's algorithm R, one window at a time."""

import random
import threading
import time
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from feedforward.data.request_windows import Window
from feedforward.data.splits import Features, MultiHot

MAX_BYTES = 2**26  # for the rows of one dataset; a row that does not fit is left out
MIN_SAMPLES = 100  # in a complete window; fewer if the reservoir has room for fewer

Row = npt.NDArray[np.generic]


class RequestReservoir:
    """Keeps each sample of the current window with the same probability. Safe to use from several threads."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._lock = threading.Lock()
        self._rng = random.Random()  # noqa: S311  a sample for statistics
        self._start_window((0, ""))

    def _start_window(self, version: tuple[int, str]) -> None:
        self._version, self._feature_count, self._sparse = version, 0, False
        self._rows: list[Row] = []
        self._offered = self._bytes = 0
        self._began, self._began_monotonic = datetime.now(UTC), time.monotonic()

    def offer(self, version: tuple[int, str], features: Features) -> None:
        """Offer encoded samples. version: number and digest of the champion; a different one starts a new window."""
        with self._lock:
            if version != self._version:
                self._start_window(version)
            self._feature_count, self._sparse = features.shape[1], isinstance(features, MultiHot)
            for index in range(len(features)):
                self._offered += 1
                slot = self._offered - 1
                if slot >= self.capacity:
                    slot = self._rng.randrange(self._offered)
                if slot < self.capacity:
                    self._keep_if_it_fits(slot, _row(features, index))

    def _keep_if_it_fits(self, slot: int, row: Row) -> None:
        replaced = self._rows[slot].nbytes if slot < len(self._rows) else 0
        if self._bytes + row.nbytes - replaced > MAX_BYTES:
            return
        self._bytes += row.nbytes - replaced
        if slot < len(self._rows):
            self._rows[slot] = row
        else:
            self._rows.append(row)

    def take(self, seconds: float) -> Window | None:
        """If the window has lasted `seconds` and has enough samples, return it and start the next; else return None."""
        with self._lock:
            enough = len(self._rows) >= min(MIN_SAMPLES, self.capacity)
            if not enough or time.monotonic() - self._began_monotonic < seconds:
                return None
            (number, digest), rows, offered, began = self._version, self._rows, self._offered, self._began
            feature_count = self._feature_count if self._sparse else None
            self._start_window(self._version)
        began_text, ended_text = (moment.isoformat(timespec="seconds") for moment in (began, datetime.now(UTC)))
        # The lock is released, so no request waits while the rows are stacked.
        return Window(number, digest, began_text, ended_text, offered, _stack(rows, feature_count))


def _stack(rows: list[Row], feature_count: int | None) -> Features:
    """The rows as one matrix. feature_count: number of features of multi-hot rows, None for dense ones."""
    if feature_count is None:
        return np.stack(rows)
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return MultiHot(indptr, np.concatenate(rows), feature_count)


def _row(features: Features, index: int) -> Row:
    """A copy of a row, so that the request's other rows do not stay in memory."""
    if isinstance(features, MultiHot):
        return features.indices[features.indptr[index] : features.indptr[index + 1]].copy()
    return np.array(features[index])
