"""Labelled samples that users gave: checked, kept once each, bounded; the raw material of a retraining."""

import base64
import hashlib
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np

from feedforward.core import append_only_log, paths
from feedforward.core.errors import InputError
from feedforward.data.readers.encoders import Encoder


class Full(InputError):
    """The file has reached its bound."""


class Inbox:
    """The file of a data set's incoming samples: one JSON object a line, only ever appended to.

    An entry: `time`, `label`, `digest` (SHA-256 of the sample), and `text`, or `pixels` (rows of gray levels as the
    network gets them, uint8, base64) with `height` and `width`; `version` and `answer` say what was shown.
    """

    def __init__(self, name: str, labels: Sequence[str], most: int) -> None:
        self.name, self.labels, self.most = name, tuple(labels), most
        self._guard = threading.Lock()
        self._known: set[tuple[str, str]] | None = None

    def keep(self, encoder: Encoder, sample: Any, label: Any, version: int, answer: str) -> bool:
        """Append a sample, checked by the encoder; False if just that was kept before.

        Raises:
            InputError: the label is none of the data set's. Full: no room is left.
        """
        if label not in self.labels or not isinstance(label, str):
            raise InputError("label", f"must be one of {', '.join(self.labels)}, got {str(label)[:40]!r}")
        content, raw = _content(encoder, sample)
        digest = hashlib.sha256(raw).hexdigest()
        with self._guard:
            if self._known is None:
                entries = append_only_log.read(paths.incoming(self.name))
                self._known = {(str(entry.get("digest")), str(entry.get("label"))) for entry in entries}
            if (digest, label) in self._known:
                return False
            entry = {
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
                "label": label,
                "digest": digest,
                **content,
            }
            entry |= {"version": version, "answer": answer}
            if not append_only_log.append(paths.incoming(self.name), entry, self.most):
                raise Full(
                    "sample", f"no room is left for samples of {self.name} ({self.most} bytes); see docs/operations.md"
                )
            self._known.add((digest, label))
        return True


def _content(encoder: Encoder, sample: Any) -> tuple[dict[str, Any], bytes]:
    if encoder.takes == "text":
        return {"text": sample}, str(sample).encode("utf-8", "replace")
    pixels = np.asarray(sample, np.uint8).tobytes()
    settings = encoder.settings()
    kept = {"pixels": base64.b64encode(pixels).decode(), "height": settings["height"], "width": settings["width"]}
    return kept, pixels
