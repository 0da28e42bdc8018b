"""Labeled samples that users submitted, stored for retraining: validated, without duplicates, limited in size."""

import base64
import hashlib
import io
import logging
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from feedforward.core import append_only_log, locks, paths
from feedforward.core.errors import Busy, FeedforwardError, InputError
from feedforward.data.readers import cells
from feedforward.data.readers.encoders import Encoder

LOCK_TIMEOUT = 2.0  # s to wait for each lock; meanwhile, the thread cannot answer other requests
log = logging.getLogger(__name__)


class FeedbackLogFull(InputError):
    """The file has reached its size limit."""


class FeedbackLogUnwritable(FeedforwardError):
    """The file cannot be written: the disk is full or read-only."""


class FeedbackLocked(FeedforwardError):
    """Another process keeps a lock of a feedback file."""

    def __init__(self, dataset: str, error: object) -> None:
        # Without the path, because clients must learn nothing about the machine.
        log.error("%s", error)
        super().__init__(
            f"the feedback of {dataset} is locked by another process; nothing was stored; try again in a moment"
        )


class FeedbackLog:
    """The file of a dataset's incoming samples: one JSON object per line, append-only.

    An entry: `time`, `label`, `digest` (SHA-256 of the sample), and `text`, or `pixels` (rows of gray levels as the
    network sees them, uint8, base64) with `height` and `width`; `version` and `answer`: the number of the version whose
    answer the user saw, and the label that it predicts for the sample.
    """

    def __init__(self, dataset: str, labels: Sequence[str], max_bytes: int) -> None:
        self.dataset, self.labels, self.max_bytes = dataset, tuple(labels), max_bytes
        self._spellings = {cells.text(label): label for label in labels}  # the same text may be composed or decomposed
        self._lock = threading.Lock()
        self._stored_keys: set[tuple[str, str]] = set()  # digest and label of each entry
        self._position, self._last_line = 0, b""  # how far the file was read, and the line that ends there

    def append(self, encoder: Encoder, sample: Any, label: Any, version: int, answer: str) -> bool:
        """Store a sample that the encoder has checked; return False if it was already stored with that label.

        Raises:
            InputError: the label is unknown. FeedbackLogFull, FeedbackLogUnwritable, FeedbackLocked: the
                sample cannot be stored.
        """
        known = self._spellings.get(cells.text(label)) if isinstance(label, str) else None
        if known is None:
            raise InputError("label", f"must be one of {', '.join(self.labels)}, got {str(label)[:40]!r}")
        content, raw = _content(encoder, sample)
        digest = hashlib.sha256(raw).hexdigest()
        time = datetime.now(UTC).isoformat(timespec="seconds")
        entry = {"time": time, "label": known, "digest": digest, **content, "version": version, "answer": answer}
        if not self._lock.acquire(timeout=LOCK_TIMEOUT):
            raise FeedbackLocked(self.dataset, f"{paths.incoming(self.dataset)}: other requests wait for its lock")
        try:
            return self._append(entry)
        except Busy as error:
            raise FeedbackLocked(self.dataset, error) from None
        except OSError as error:
            # Without the path, because clients must learn nothing about the machine.
            reason = error.strerror or "write failed"
            log.error("%s: cannot be written (%s)", paths.incoming(self.dataset), reason)
            raise FeedbackLogUnwritable(
                f"the feedback file of {self.dataset} cannot be written ({reason}); the sample was not stored"
            ) from None
        finally:
            self._lock.release()

    def _append(self, entry: dict[str, Any]) -> bool:
        path = paths.incoming(self.dataset)
        path.parent.mkdir(parents=True, exist_ok=True)
        # other workers may get the same sample
        with locks.holding(path.with_name(f".{path.name}.serving.lock"), LOCK_TIMEOUT):
            return self._append_locked(path, entry)

    def _append_locked(self, path: Path, entry: dict[str, Any]) -> bool:
        self._read_new_entries(path)
        if _key(entry) in self._stored_keys:
            return False
        if not append_only_log.append(path, entry, self.max_bytes, LOCK_TIMEOUT):
            limit = f"the feedback file of {self.dataset} has reached its limit of {self.max_bytes} bytes"
            raise FeedbackLogFull("sample", f"cannot be stored: {limit}; see docs/operations.md")
        return True

    def _read_new_entries(self, path: Path) -> None:
        """Read what was appended since the last call; read the whole file if it is no longer the one that was read."""
        with path.open("rb") if path.exists() else io.BytesIO() as file:
            file.seek(self._position - len(self._last_line))
            if file.read(len(self._last_line)) != self._last_line:
                file.seek(0)
                self._stored_keys, self._position, self._last_line = set(), 0, b""
            for line in file:
                self._position, self._last_line = self._position + len(line), line
                if entry := append_only_log.parse(line):
                    self._stored_keys.add(_key(entry))


def _key(entry: Mapping[str, Any]) -> tuple[str, str]:
    return str(entry.get("digest")), str(entry.get("label"))


def _content(encoder: Encoder, sample: Any) -> tuple[dict[str, Any], bytes]:
    """The entry's fields that contain the sample, and the bytes from which its digest is computed."""
    if encoder.sample_kind == "text":
        return {"text": sample}, str(sample).encode("utf-8", "replace")
    pixels = np.asarray(sample, np.uint8).tobytes()
    settings = encoder.settings()
    fields = {"pixels": base64.b64encode(pixels).decode(), "height": settings["height"], "width": settings["width"]}
    return fields, pixels
