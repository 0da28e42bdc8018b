"""Selects the requests that the challenger answers instead of the champion."""

import hashlib
from collections.abc import Sequence
from typing import Any

import pydantic_core


def selects(samples: Sequence[Any], challenger: str, share: float) -> bool:
    """Whether the challenger answers a request, which depends on a hash of the samples and the challenger's name.

    With the same champion and challenger, the same samples always get the same answer. A different challenger gets
    different requests.

    >>> selects(["a text"], "notes version 2", 1.0), selects(["a text"], "notes version 2", 0.0)
    (True, False)
    """
    if share <= 0:
        return False
    digest = hashlib.blake2b(challenger.encode(), digest_size=8)
    for sample in samples:
        content = _content(sample)
        digest.update(len(content).to_bytes(8, "big"))
        digest.update(content)
    return int.from_bytes(digest.digest(), "big") < share * 2**64


def _content(sample: Any) -> bytes:
    if isinstance(sample, bytes):
        return sample
    if isinstance(sample, str):
        return sample.encode("utf-8", "surrogatepass")
    return bytes(pydantic_core.to_json(sample, inf_nan_mode="constants"))
