"""Handlers of the feedback page, where somebody on this machine accepts or rejects user-submitted samples."""

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import Field

from feedforward.config.schema import Dataset
from feedforward.core.errors import Busy, DataError, InputError, ParamsError, os_error_line
from feedforward.data import feedback_review
from feedforward.data.feedback import Sample
from feedforward.data.feedback_features import Cache
from feedforward.serving import schemas
from feedforward.serving.feedback_log import FeedbackLocked
from feedforward.serving.schemas import JSON, Body
from feedforward.serving.work_queue import WorkQueue

PAGE_SIZE = 50  # samples per request
MAX_TEXT = 2000  # characters per sample
MAX_IMAGE = 2**16  # characters of base64 per image
MAX_DECISIONS = 1000  # per request


class Review(Body):
    """Decisions about samples, by ID."""

    accept: Annotated[tuple[str, ...], Field(max_length=MAX_DECISIONS, strict=False)] = ()
    reject: Annotated[tuple[str, ...], Field(max_length=MAX_DECISIONS, strict=False)] = ()
    reason: Annotated[str, Field(max_length=500)] = ""


class FeedbackPage:
    """Lists samples and records decisions in a separate thread, so that predictions never wait for them."""

    def __init__(self, datasets: Mapping[str, Dataset]) -> None:
        self.datasets, self._caches = datasets, {name: Cache() for name in datasets}
        self._queue = WorkQueue(1, "feedback")

    def close(self) -> None:
        """Stop waiting for work in progress; see `WorkQueue.close`."""
        self._queue.close()

    async def list_samples(self, name: str, state: str, offset: str) -> bytes:
        """List up to PAGE_SIZE samples in a state, oldest first, without the first `offset`; count those in each state.

        Raises:
            ParamsError: there is no such dataset. InputError: the state or the offset is invalid.
            DataError: see `feedback_review.samples`, or a file cannot be read or written.
            ErrorResponse: too many requests are waiting.
        """
        dataset = self._dataset(name)
        if state not in feedback_review.STATES:
            raise InputError("state", f"must be one of {', '.join(feedback_review.STATES)}, got {state[:20]!r}")
        if not re.fullmatch(r"[0-9]{1,9}", offset):
            raise InputError("offset", f"must be a non-negative integer, got {offset[:20]!r}")
        return await self._run(lambda: self._list(name, dataset, state, int(offset)))

    async def decide(self, name: str, content_type: str, body: bytes) -> bytes:
        """Record the decisions in a request body.

        Raises:
            ParamsError: there is no such dataset. InputError: the body or an ID is invalid; nothing is recorded.
            FeedbackLocked: another process holds a lock. DataError, ErrorResponse: see `list_samples`.
        """
        dataset = self._dataset(name)
        if content_type != JSON:
            raise InputError("Content-Type", f"must be {JSON}, got {content_type[:60]!r}")
        return await self._run(lambda: self._decide(name, dataset, body))

    async def _run(self, work: Callable[[], bytes]) -> bytes:
        def reporting() -> bytes:
            try:
                return work()
            except OSError as error:  # for the operator to fix, such as missing permissions: no traceback
                raise DataError(os_error_line(error)) from None

        return await self._queue.run(reporting)

    def _dataset(self, name: str) -> Dataset:
        if name not in self.datasets:
            raise ParamsError([f"unknown dataset {name[:60]!r}: must be one of {', '.join(self.datasets)}"])
        return self.datasets[name]

    def _list(self, name: str, dataset: Dataset, state: str, offset: int) -> bytes:
        samples = feedback_review.samples(name, dataset, self._caches[name])
        in_state = [sample for sample in samples if feedback_review.state_of(sample) == state]
        state_counts = dict.fromkeys(feedback_review.STATES, 0)
        for sample in samples:
            state_counts[feedback_review.state_of(sample)] += 1
        shown = [_as_entry(sample) for sample in in_state[offset : offset + PAGE_SIZE]]
        return schemas.as_json({"dataset": name, "state": state, "counts": state_counts, "samples": shown})

    def _decide(self, name: str, dataset: Dataset, body: bytes) -> bytes:
        review = schemas.parse(Review, body)
        try:
            reason, cache = " ".join(review.reason.split()), self._caches[name]
            result = feedback_review.review(
                name, dataset, review.accept, review.reject, via="page", reason=reason, cache=cache
            )
        except ParamsError as error:
            option, _, problem = error.problems[0].removeprefix("--").partition(": ")
            raise InputError(option, problem) from None
        except Busy as error:
            raise FeedbackLocked(name, error) from None
        return schemas.as_json({"accepted": result.accepted, "rejected": result.rejected, "waiting": result.waiting})


def _as_entry(sample: Sample) -> dict[str, Any]:
    entry = feedback_review.as_json(sample)
    text = entry.get("text")
    if isinstance(text, str) and len(text) > MAX_TEXT:
        entry |= {"text": text[:MAX_TEXT], "left_out": len(text) - MAX_TEXT}
    if len(str(entry.get("pixels", ""))) > MAX_IMAGE:
        del entry["pixels"]
    return entry
