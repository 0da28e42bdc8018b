"""How far requests to versions of this registry are from the training data, by window.

Every registry numbers its versions from 1. After a change of the project's name, the database or the tracking server,
the records also have windows of requests to versions of an earlier registry, which say nothing about versions of this
one.
"""

import functools
from typing import Any

from feedforward.data import request_windows
from feedforward.promotion import shadow_evidence
from feedforward.tracking import model_versions


def load(dataset: str) -> list[dict[str, Any]]:
    """The distances of the latest windows of requests to this registry's versions, oldest first.

    See `request_windows.load_distances`.

    Raises:
        DataError: the file is too large or damaged. TrackingError: the registry does not answer.
    """

    @functools.cache
    def digest_of(number: int) -> str | None:
        version = model_versions.find(dataset, number)
        return shadow_evidence.identity(version)[1] if version else None

    entries = request_windows.load_distances(dataset)
    return [entry for entry in entries if entry["digest"] == digest_of(entry["version"])]
