"""From the body of a request to the body of its answer, over the champions in memory."""

import asyncio
from typing import Any

from feedforward.config.schema import Params
from feedforward.core.errors import InputError, ParamsError
from feedforward.data.readers import encoders
from feedforward.serving import schemas
from feedforward.serving.feedback_log import Inbox
from feedforward.serving.metrics import Meters
from feedforward.serving.model_cache import Shelf
from feedforward.serving.prediction import Champion
from feedforward.serving.schemas import Correction, Question

JSON = "application/json"
QUICK_BYTES = 8192  # a body below it is answered at once if its samples are quick; others in a thread: nobody waits


class Lanes:
    """What answers; `shelf` must be started before and stopped after."""

    def __init__(self, params: Params) -> None:
        self.bounds, self.meters = params.serving, Meters()
        self.datasets = {name: dataset for name, dataset in params.datasets.items() if not dataset.demo}
        self.shelf = Shelf(list(self.datasets), self.bounds.refresh, self.meters.serves)
        most = self.bounds.max_feedback_bytes
        self._inboxes = {name: Inbox(name, dataset.labels, most) for name, dataset in self.datasets.items()}

    def champion(self, name: str) -> Champion:
        """The champion of a data set.

        Raises:
            ParamsError: no such data set. NothingToServe: it has no champion.
        """
        if name not in self.datasets:
            raise ParamsError([f"unknown dataset {name[:60]!r}: must be one of {', '.join(self.datasets)}"])
        return self.shelf.champion(name)

    async def predict(self, name: str, kind: str, body: bytes) -> bytes:
        """Answers to a question in JSON, or about one text or picture that is the body itself.

        Raises:
            FeedforwardError: what the caller or the operator can mend.
        """
        champion = self.champion(name)
        if len(body) >= QUICK_BYTES:
            return await asyncio.to_thread(lambda: self._predict(champion, _question(champion, kind, body)))
        question = _question(champion, kind, body)
        if encoders.quick(champion.served.encoder, question.samples):
            return self._predict(champion, question)
        return await asyncio.to_thread(self._predict, champion, question)

    async def correct(self, name: str, kind: str, body: bytes) -> bytes:
        """Keep a sample with its true label.

        Raises:
            FeedforwardError: what the caller or the operator can mend.
        """
        champion = self.champion(name)
        return await asyncio.to_thread(self._correct, champion, name, kind, body)

    def _predict(self, champion: Champion, question: Question) -> bytes:
        found = schemas.answer(champion, question, self.bounds)
        self.meters.answered(champion.version.dataset, len(question.samples))
        return found

    def _correct(self, champion: Champion, name: str, kind: str, body: bytes) -> bytes:
        if kind != JSON:
            raise InputError("Content-Type", f"must be {JSON}, got {kind[:60]!r}")
        kept = schemas.keep(champion, schemas.parse(Correction, body), self._inboxes[name], self.bounds)
        if kept:
            self.meters.kept(name)
        return schemas.as_json({"stored": kept})


def _question(champion: Champion, kind: str, body: bytes) -> Question:
    if kind == JSON:
        return schemas.parse(Question, body)
    takes = champion.served.encoder.takes
    if kind.startswith(f"{takes}/") or kind == "application/octet-stream":
        sample: Any = body
        return Question.model_construct(samples=[sample])
    raise InputError("Content-Type", f"must be {JSON} or {takes}/*, got {kind[:60]!r}")
