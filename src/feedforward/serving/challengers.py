"""Challengers: they answer a share of the requests (canary), or copies of requests, for comparison (shadow)."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from feedforward.config.schema import Dataset, Params
from feedforward.promotion import shadow_evidence
from feedforward.promotion.shadow_evidence import Evidence, Pair, Tally
from feedforward.serving import canary, problems, schemas
from feedforward.serving.metrics import ServiceMetrics
from feedforward.serving.model_cache import ModelCache
from feedforward.serving.prediction import LoadedVersion
from feedforward.serving.schemas import Question
from feedforward.serving.shadow.frames import Frame
from feedforward.serving.shadow.queue import Shadow
from feedforward.tracking.model_version import CHALLENGER, Version

log = logging.getLogger(__name__)


class Challengers:
    """The challenger of each dataset. Does nothing unless params.yaml enables a shadow or a canary."""

    def __init__(
        self, params: Params, datasets: Mapping[str, Dataset], champions: ModelCache, metrics: ServiceMetrics
    ) -> None:
        self.settings, self.metrics, self.champions = params.serving, metrics, champions
        self.models = ModelCache(datasets, self.settings.refresh, metrics.set_challenger, CHALLENGER, self._may_answer)
        self.shadow = Shadow(params, metrics.count_dropped, self._report) if self.settings.shadow else None
        self.evidence: dict[str, tuple[Pair, Evidence]] = {}
        self.problems: dict[str, str] = {}

    @property
    def enabled(self) -> bool:
        """Whether params.yaml enables a shadow or a canary."""
        return self.shadow is not None or self.settings.canary > 0

    def start(self) -> None:
        """Start loading challengers, and start the shadow. Must be called on the event loop."""
        if self.enabled:
            self.models.start()
        if self.shadow is not None:
            self.shadow.start()

    def stop(self) -> None:
        """Stop loading challengers, and stop the shadow."""
        self.models.stop()
        if self.shadow is not None:
            self.shadow.stop()

    def of(self, champion: LoadedVersion) -> LoadedVersion | None:
        """The challenger of a champion; None if there is no challenger, or if it is already the champion."""
        challenger = self.models.find(champion.version.dataset) if self.enabled else None
        return None if challenger is None or challenger.version.number == champion.version.number else challenger

    def selected(self, champion: LoadedVersion, samples: Sequence[Any]) -> LoadedVersion | None:
        """The challenger if it is to answer a request with these samples; None if the champion is to answer it."""
        challenger = self.of(champion) if self.settings.canary else None
        if challenger is None or not canary.selects(samples, challenger.version.name, self.settings.canary):
            return None
        return challenger

    def answer(self, champion: LoadedVersion, question: Question, by_champion: Callable[[], bytes]) -> bytes:
        """The answer of the challenger or, if it is not to answer or fails, `by_champion()`; raises as that does."""
        challenger = self.selected(champion, question.samples)
        if challenger is None:
            return by_champion()
        began, dataset = time.perf_counter(), champion.version.dataset
        try:
            answer = schemas.answer(challenger, question, self.settings, canary=True)
        except Exception as error:  # if the challenger fails for any reason, the champion answers
            log.info("%s: %s", challenger.version.name, error)
            answer = by_champion()  # if it raises an error, too, the request is at fault, and not the challenger
            self.metrics.count_canary_failure(dataset)
            return answer
        self.metrics.observe_answer(dataset, challenger.version.number, True, time.perf_counter() - began)
        return answer

    def offer_to_shadow(self, champion: LoadedVersion, kind: str, body: bytes, answer: bytes, began: float) -> None:
        """Pass an answered request to the shadow. began: `time.perf_counter()` when the champion began to answer it."""
        dataset = champion.version.dataset
        if self.settings.canary:
            self.metrics.observe_answer(dataset, champion.version.number, False, time.perf_counter() - began)
        if self.shadow is None or (challenger := self.of(champion)) is None:
            return

        def frame() -> Frame:
            pair = Pair(shadow_evidence.identity(champion.version), shadow_evidence.identity(challenger.version))
            return Frame(dataset, kind, pair, body, answer)

        self.shadow.offer(dataset, len(body) + len(answer), frame)

    def state(self) -> dict[str, Any]:
        """For `GET /health`: the challenger of each dataset, or why there is none; empty if disabled."""
        if not self.enabled:
            return {}
        champions = self.champions.champions()
        states: dict[str, Any] = {}
        for name in self.models.datasets:
            challenger = self.of(champions[name]) if name in champions else None
            reason = self.models.problems.get(
                name, f"there is no challenger; `feedforward promote {name}` registers one"
            )
            states[name] = challenger.version.number if challenger else reason
        running = {"shadow": "running" if self.shadow.running else "stopped"} if self.shadow else {}
        return {"challengers": states, **running, "canary": self.settings.canary, "problems": self.problems}

    def _may_answer(self, version: Version) -> bool:
        champion = self.champions.find(version.dataset)
        is_champion = champion is not None and champion.version.number == version.number
        return not is_champion and shadow_evidence.may_answer(version)

    def _report(self, report: Mapping[str, Any]) -> None:
        """Store the statistics that the shadow process reports."""
        public = {name: problems.without_folders(problem) for name, problem in report["problems"].items()}
        for name, problem in public.items():
            if self.problems.get(name) != problem:
                log.warning("%s", report["problems"][name])
        self.problems = public
        for name, entry in report["statistics"].items():
            pair = Pair(tuple(entry.pop("champion")), tuple(entry.pop("challenger")))
            labels = {label: Tally(**tally) for label, tally in entry.pop("labels").items()}
            self.evidence[name] = pair, Evidence(**entry, labels=labels)
        self._set_gauges()

    def _set_gauges(self) -> None:
        known = {(name,): evidence for name, (_, evidence) in self.evidence.items() if evidence.samples}
        by_label = {(*key, label): tally for key, item in known.items() for label, tally in item.labels.items()}
        dataset, dataset_and_label = ["dataset"], ["dataset", "label"]
        gauge = self.metrics.set_gauges
        help_text = "Requests answered by the champion that were also sent to the challenger."
        gauge("shadow_requests", help_text, dataset, {k: e.requests for k, e in known.items()})
        help_text = "Samples in the requests answered by the champion that were also sent to the challenger."
        gauge("shadow_samples", help_text, dataset, {k: e.samples for k, e in known.items()})
        seconds = {k: e.seconds / e.requests for k, e in known.items()}
        gauge("shadow_cpu_seconds", "Mean CPU time of the challenger per request.", dataset, seconds)
        help_text = "Share of samples with the same answer."
        gauge("shadow_agreement", help_text, dataset, {k: e.agreement for k, e in known.items()})
        help_text = "Share of samples with the same answer, by the champion's label."
        shares = {k: t.agreed / t.samples for k, t in by_label.items()}
        gauge("shadow_label_agreement", help_text, dataset_and_label, shares)
        help_text = "Mean difference (challenger minus champion) in the probability of the champion's answer."
        differences = {k: t.difference / t.samples for k, t in by_label.items()}
        gauge("shadow_label_difference", help_text, dataset_and_label, differences)
