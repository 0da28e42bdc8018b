"""Request handlers: they turn a request body into a response body, using the champions in memory."""

import functools
import os
import time
from collections.abc import Callable

from feedforward.config.schema import Params
from feedforward.core.errors import InputError, ParamsError
from feedforward.data.readers import encoders
from feedforward.promotion.bundle import Servable
from feedforward.serving import schemas
from feedforward.serving.challengers import Challengers
from feedforward.serving.feedback_log import FeedbackLog
from feedforward.serving.feedback_page import FeedbackPage
from feedforward.serving.metrics import ServiceMetrics
from feedforward.serving.model_cache import ModelCache
from feedforward.serving.prediction import LoadedVersion
from feedforward.serving.request_drift.recorder import RequestDrift
from feedforward.serving.schemas import JSON, Correction, Question
from feedforward.serving.work_queue import WorkQueue

# Requests within these limits are answered on the event loop, in a few milliseconds; all others, in a thread.
QUICK_BYTES = 8192
QUICK_EXPLAINED_BYTES = 2048
QUICK_SAMPLES = 8
QUICK_ANSWER_BYTES = 2**18  # probabilities and gray levels in the response; written in a millisecond
QUICK_PRODUCTS = 2**25  # multiplications in all forward passes together


class Handlers:
    """Handlers for predictions and corrections. Texts and rows never wait behind images or large batches."""

    def __init__(self, params: Params) -> None:
        self.settings, self.promotion, self.metrics = params.serving, params.promotion, ServiceMetrics()
        self.datasets = {name: dataset for name, dataset in params.datasets.items() if not dataset.demo}
        self.models = ModelCache(self.datasets, self.settings.refresh, self.metrics.set_version)
        self.challengers = Challengers(params, self.datasets, self.models, self.metrics)
        self.drift = RequestDrift(params, self.datasets, self.metrics)
        max_bytes = self.settings.max_feedback_bytes
        self._logs = {name: FeedbackLog(name, dataset.labels, max_bytes) for name, dataset in self.datasets.items()}
        self.feedback = FeedbackPage(self.datasets)
        self.pages = WorkQueue(1, "pages")
        self._light_queue = WorkQueue(2, "light")
        self._heavy_queue = WorkQueue(max(1, min(4, (os.cpu_count() or 1) - 1)), "heavy")

    def start(self) -> None:
        """Start to load models, the shadow, and the comparison of windows. Must be called on the event loop."""
        self.models.start()
        self.challengers.start()
        self.drift.start()

    def close(self) -> None:
        """Stop all background work, without waiting for requests in progress."""
        self.models.stop()
        self.challengers.stop()
        self.drift.stop()
        self.feedback.close()
        self.pages.close()
        self._light_queue.close()
        self._heavy_queue.close()

    def champion(self, name: str) -> LoadedVersion:
        """The champion of a dataset.

        Raises:
            ParamsError: there is no such dataset. NothingToServe: it has no champion.
        """
        if name not in self.datasets:
            raise ParamsError([f"unknown dataset {name[:60]!r}: must be one of {', '.join(self.datasets)}"])
        return self.models.champion(name)

    async def predict(self, name: str, kind: str, body: bytes) -> bytes:
        """Answer a JSON question, or a single text or image sent as the body.

        Raises:
            FeedforwardError: a problem that the client or the operator can fix. ErrorResponse: too many requests wait.
        """
        champion = self.champion(name)
        if len(body) >= QUICK_BYTES:
            return await self._in_thread(lambda: self._predict(champion, kind, body), champion, len(body))
        question = self._question(champion, kind, body)
        if _is_quick(champion, question, len(body)):
            return self._predict(champion, kind, body, question)
        return await self._in_thread(lambda: self._predict(champion, kind, body, question), champion, len(body))

    async def correct(self, name: str, kind: str, body: bytes) -> bytes:
        """Store a sample with its true label; raises as `predict` does."""
        champion = self.champion(name)
        return await self._in_thread(lambda: self._correct(champion, name, kind, body), champion, len(body))

    async def _in_thread(self, work: Callable[[], bytes], champion: LoadedVersion, size: int) -> bytes:
        heavy = champion.served.encoder.sample_kind == "image" or size > 8 * QUICK_BYTES
        return await (self._heavy_queue if heavy else self._light_queue).run(work)

    def _question(self, champion: LoadedVersion, kind: str, body: bytes) -> Question:
        return schemas.question(champion.served.encoder.sample_kind, kind, body, self.settings.max_samples)

    def _predict(self, champion: LoadedVersion, kind: str, body: bytes, question: Question | None = None) -> bytes:
        question = question or self._question(champion, kind, body)

        def by_champion() -> bytes:
            began, record = time.perf_counter(), functools.partial(self.drift.offer, champion)
            answer = schemas.answer(champion, question, self.settings, record)
            self.challengers.offer_to_shadow(champion, kind, body, answer, began)
            return answer

        answer = self.challengers.answer(champion, question, by_champion)
        self.metrics.count_samples(champion.version.dataset, len(question.samples))
        return answer

    def _correct(self, champion: LoadedVersion, name: str, kind: str, body: bytes) -> bytes:
        if kind != JSON:
            raise InputError("Content-Type", f"must be {JSON}, got {kind[:60]!r}")
        correction = schemas.parse(Correction, body)
        answering = self.challengers.selected(champion, [correction.sample]) or champion  # the user saw its answer
        stored = schemas.store(answering, correction, self._logs[name], self.settings)
        if stored:
            self.metrics.count_feedback(name)
        return schemas.as_json({"stored": stored})


def _is_quick(champion: LoadedVersion, question: Question, size: int) -> bool:
    """Whether the answer takes only a few milliseconds."""
    if len(question.samples) > QUICK_SAMPLES or (question.explain and size > QUICK_EXPLAINED_BYTES):
        return False
    if schemas.bytes_per_answer(champion, question) * len(question.samples) > QUICK_ANSWER_BYTES:
        return False
    variants = champion.variants.values() if question.variants else ()
    words = size // 2 if champion.served.encoder.sample_kind == "text" else 0  # the maximum in a body of this size
    passes = len(question.samples) + (words if question.explain else 0)  # an explanation needs a pass for each word
    products = _multiplications(champion.served, passes, words)
    products += sum(_multiplications(variant, len(question.samples), words) for variant in variants)
    return products <= QUICK_PRODUCTS and encoders.is_quick(champion.served.encoder, question.samples)


def _multiplications(served: Servable, passes: int, words: int) -> int:
    """The number of multiplications in forward passes. words: in all texts together; 0 if the samples are not texts."""
    first, *others = (layer.kernel for layer in served.network.layers)
    return (words * first.shape[1] if words else passes * first.size) + passes * sum(kernel.size for kernel in others)
