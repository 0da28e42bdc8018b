"""Challengers beside the champions: the canary, which answers a share of the requests, and the shadow."""

import logging
import time
from collections.abc import Mapping
from typing import Any

from feedforward.config.schema import Dataset, Params
from feedforward.promotion import shadow_evidence
from feedforward.promotion.shadow_evidence import Evidence, Pair, Tally
from feedforward.serving import canary, schemas
from feedforward.serving.metrics import ServiceMetrics
from feedforward.serving.model_cache import ModelCache
from feedforward.serving.prediction import Champion
from feedforward.serving.schemas import Question
from feedforward.serving.shadow.frames import Frame
from feedforward.serving.shadow.queue import Shadow
from feedforward.tracking.model_version import CHALLENGER

log = logging.getLogger(__name__)


class Challengers:
    """The challenger of each dataset, if params.yaml asks for a shadow or a canary; otherwise nothing happens."""

    def __init__(
        self, params: Params, datasets: Mapping[str, Dataset], champions: ModelCache, metrics: ServiceMetrics
    ) -> None:
        self.bounds, self.metrics, self.champions = params.serving, metrics, champions
        self.models = ModelCache(
            datasets, self.bounds.refresh, metrics.set_challenger, CHALLENGER, shadow_evidence.may_answer
        )
        self.shadow = Shadow(params, metrics.count_dropped, self._report) if self.bounds.shadow else None
        self.figures: dict[str, tuple[Pair, Evidence]] = {}
        self.problems: dict[str, str] = {}

    @property
    def enabled(self) -> bool:
        """Whether params.yaml asks for a shadow or a canary."""
        return self.shadow is not None or self.bounds.canary > 0

    def start(self) -> None:
        """Begin to load challengers; call it on the event loop."""
        if self.enabled:
            self.models.start()
        if self.shadow is not None:
            self.shadow.start()

    def stop(self) -> None:
        """Stop loading, and end the shadow."""
        self.models.stop()
        if self.shadow is not None:
            self.shadow.stop()

    def of(self, champion: Champion) -> Champion | None:
        """The challenger of a champion; None if there is none, or if it is champion already."""
        challenger = self.models.champions().get(champion.version.dataset) if self.enabled else None
        return None if challenger is None or challenger.version.number == champion.version.number else challenger

    def answer(self, champion: Champion, question: Question) -> bytes | None:
        """The challenger's answer, if the request belongs to its share; it never causes an error."""
        challenger = self.of(champion) if self.bounds.canary else None
        if challenger is None or not canary.drawn(question.samples, challenger.version.name, self.bounds.canary):
            return None
        began, dataset = time.perf_counter(), champion.version.dataset
        try:
            answer = schemas.answer(challenger, question, self.bounds, canary=True)
        except Exception as error:  # whatever is wrong with the challenger, the champion answers
            log.info("%s: %s", challenger.version.name, error)
            self.metrics.count_canary_failure(dataset)
            return None
        self.metrics.observe_answer(dataset, challenger.version.number, True, time.perf_counter() - began)
        return answer

    def answered(self, champion: Champion, kind: str, body: bytes, answer: bytes, began: float) -> None:
        """Hand a request that the champion has answered to the shadow. began: of the answer, by perf_counter."""
        dataset = champion.version.dataset
        if self.bounds.canary:
            self.metrics.observe_answer(dataset, champion.version.number, False, time.perf_counter() - began)
        if self.shadow is None or (challenger := self.of(champion)) is None:
            return
        pair = Pair(*(shadow_evidence.identity(one.version) for one in (champion, challenger)))
        self.shadow.offer(Frame(dataset, kind, pair, body, answer))

    def state(self) -> dict[str, Any]:
        """For `GET /health`: the challenger of each dataset, or why there is none; empty if nothing asks for one."""
        if not self.enabled:
            return {}
        champions = self.champions.champions()
        states: dict[str, Any] = {}
        for name in self.models.datasets:
            challenger = self.of(champions[name]) if name in champions else None
            reason = self.models.problems.get(name, f"there is no challenger; `feedforward promote {name}` makes one")
            states[name] = challenger.version.number if challenger else reason
        running = {"shadow": "running" if self.shadow.running else "stopped"} if self.shadow else {}
        return {"challengers": states, **running, "canary": self.bounds.canary, "problems": self.problems}

    def _report(self, report: Mapping[str, Any]) -> None:
        """Take the figures of the shadow's process."""
        self.problems = dict(report["problems"])
        for name, entry in report["figures"].items():
            pair = Pair(tuple(entry.pop("champion")), tuple(entry.pop("challenger")))
            labels = {label: Tally(**tally) for label, tally in entry.pop("labels").items()}
            self.figures[name] = pair, Evidence(**entry, labels=labels)
        self._set_gauges()

    def _set_gauges(self) -> None:
        known = {(name,): evidence for name, (_, evidence) in self.figures.items() if evidence.samples}
        by_label = {(*key, label): tally for key, one in known.items() for label, tally in one.labels.items()}
        one, two = ["dataset"], ["dataset", "label"]
        gauge = self.metrics.set_gauges
        gauge(
            "shadow_requests", "Requests that both versions answered.", one, {k: e.requests for k, e in known.items()}
        )
        gauge("shadow_samples", "Their samples.", one, {k: e.samples for k, e in known.items()})
        seconds = {k: e.seconds / e.requests for k, e in known.items()}
        gauge("shadow_cpu_seconds", "Mean CPU time of the challenger per request.", one, seconds)
        meaning = "Share of samples with the same answer."
        gauge("shadow_agreement", meaning, one, {k: e.agreement for k, e in known.items()})
        meaning = "Share of samples with the same answer, by label of the champion's."
        gauge("shadow_label_agreement", meaning, two, {k: t.agreed / t.samples for k, t in by_label.items()})
        meaning = "Mean probability of the challenger minus the champion's, of the champion's answer."
        gauge("shadow_label_difference", meaning, two, {k: t.difference / t.samples for k, t in by_label.items()})
