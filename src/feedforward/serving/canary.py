"""Selects the requests that the challenger answers instead of the champion."""

import hashlib
from collections.abc import Sequence
from typing import Any

import pydantic_core


def selects(samples: Sequence[Any], challenger: str, share: float) -> bool:
    """Whether the challenger answers a request, decided by a hash of the samples and of the challenger's name.

    While champion, challenger and share stay the same, the same samples always get the same answer. Another challenger
    gets other requests.

    >>> selects(["a text"], "notes version 2", 1.0), selects(["a text"], "notes version 2", 0.0)
    (True, False)
    """
    if share <= 0:
        return False
    digest = hashlib.blake2b(challenger.encode(), digest_size=8)
    for sample in samples:
        content = _as_bytes(sample)
        digest.update(len(content).to_bytes(8, "big"))
        digest.update(content)
    return int.from_bytes(digest.digest(), "big") < share * 2**64


def _as_bytes(sample: Any) -> bytes:
    if isinstance(sample, bytes):
        return sample
    if isinstance(sample, str):
        return sample.encode("utf-8", "surrogatepass")
    return bytes(pydantic_core.to_json(sample, inf_nan_mode="constants"))
