"""The shadow and the canary: real services with two real versions, and a gate that reads the shadow's statistics."""

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import registered
from live_service import GLAD, SERVING, LiveService
from registered import NAME
from waiting import until

from feedforward.config.schema import Params, Promotion, Serving, ShadowRule
from feedforward.core import append_only_log, paths
from feedforward.core.errors import DataError
from feedforward.promotion import audit_log, promote, shadow_evidence, version_bundles
from feedforward.promotion.shadow_evidence import Evidence, Pair, Tally
from feedforward.serving import canary
from feedforward.serving.shadow import agreement, process
from feedforward.serving.shadow.frames import Frame
from feedforward.tracking import model_versions
from feedforward.tracking.model_version import Version
from feedforward.tracking.registry import Registry

if TYPE_CHECKING:
    from feedforward.tracking import Store

SHADOWED = SERVING.model_copy(update={"shadow": "challenger"})
SAD = "word1 word2"


def challenger(store: "Store", params: Params, strength: float) -> Version:
    """Register a version that the gate has accepted but not promoted, with the alias `challenger`."""
    registry = Registry()
    version = registered.version(registry, registered.final_run(store, params, seed=1), strength)
    registry.tag(version, {"decision": "kept"})
    registry.set_alias(version, "challenger")
    return version


def serving(params: Params, bounds: Serving) -> LiveService:
    return LiveService(params.model_copy(update={"serving": bounds}))


def evidence_of(service: LiveService) -> Evidence:
    known = service.service.handlers.challengers.evidence.get(NAME)
    return known[1] if known else Evidence()


@pytest.mark.parametrize(
    ("task", "unit"),
    [("regression", {"target": (50.0, 20.0)}), ("unit_regression", {"spread": 0.02}), ("unit_regression", {})],
)
def test_values_are_compared_in_standard_deviations_of_the_target(
    small: Params, small_store: "Store", task: str, unit: dict[str, Any]
) -> None:
    served = version_bundles.served(registered.champion(small_store, small, 1.0))
    description = replace(served.description, labels=("rate",), task=task, **unit)
    deviation = unit["target"][1] if "target" in unit else unit.get("spread", 1.0)
    answers = [{"value": 0.5}] * 3, [{"value": 0.5 + k * deviation} for k in (0.05, -0.09, 0.2)]
    evidence = agreement.compare(*answers, replace(served, description=description), 0.0)
    assert (evidence.samples, evidence.agreed) == (3, 2)
    assert evidence.labels["rate"].distance == pytest.approx(0.34)


# --- shadow ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_shadow_statistics_of_a_challenger_are_kept_after_a_restart(small: Params, small_store: "Store") -> None:
    registered.champion(small_store, small, 1.0)
    challenger(small_store, small, -1.0)  # predicts the opposite label
    with serving(small, SHADOWED) as service:
        until(lambda: service.client.get("/health").json()["challengers"][NAME] == 2)
        until(lambda: service.service.handlers.challengers.shadow.running)
        for _ in range(3):
            answer = service.ask(GLAD, SAD).json()
            assert (answer["version"], "canary" in answer) == (1, False)
        service.ask(GLAD, explain=True, variants=True)
        service.client.post(f"/predict/{NAME}", content=SAD, headers={"content-type": "text/plain"})
        until(lambda: evidence_of(service).requests == 5)
        statistics = evidence_of(service)
        assert (statistics.samples, statistics.agreed) == (8, 0)
        assert {label: tally.samples for label, tally in statistics.labels.items()} == {"glad": 4, "sad": 4}
        assert all(tally.difference < -0.5 * tally.samples for tally in statistics.labels.values())
        text = service.client.get("/metrics").text
        assert f'feedforward_shadow_requests{{dataset="{NAME}"}} 5.0' in text
        assert f'feedforward_shadow_label_agreement{{dataset="{NAME}",label="glad"}} 0.0' in text
        assert f'feedforward_challenger_version{{dataset="{NAME}"}} 2.0' in text
        page = service.client.get("/monitoring")
        assert "Version 2 also answered 5 requests (8 samples) that version 1 had answered" in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]
    with serving(small, SHADOWED) as service:
        until(lambda: service.client.get("/health").json().get("challengers", {}).get(NAME) == 2)
        until(lambda: evidence_of(service) == statistics)  # without any request
        assert f'feedforward_shadow_requests{{dataset="{NAME}"}} 5.0' in service.client.get("/metrics").text
        assert "Version 2 also answered 5 requests" in service.client.get("/monitoring").text
        service.ask(GLAD)
        until(lambda: evidence_of(service).requests == 6)


@pytest.mark.slow
def test_without_a_challenger_that_may_answer_the_champion_answers_and_health_says_so(
    small: Params, small_store: "Store"
) -> None:
    version = registered.champion(small_store, small)
    with serving(small, SHADOWED.model_copy(update={"canary": 1.0})) as service:
        answer = service.ask(GLAD).json()
        assert (answer["version"], "canary" in answer) == (1, False)
        assert "there is no challenger; `feedforward promote notes`" in str(service.client.get("/health").json())
        registry = Registry()
        registry.set_alias(version, "challenger")  # the champion itself, as after a promotion
        refused = registered.version(registry, registered.final_run(small_store, small, seed=1), -1.0)
        # the tag comes before the alias, because the running service reads the registry
        registry.tag(refused, {"decision": "refused"})
        registry.set_alias(refused, "challenger")
        assert not shadow_evidence.may_answer(model_versions.find(NAME, 2) or refused)
        assert service.ask(GLAD).json()["version"] == 1
        assert service.service.metrics.dropped() == {}  # no request was meant for the shadow


@pytest.mark.slow
def test_a_champion_that_is_also_the_challenger_does_not_count_as_one(small: Params, small_store: "Store") -> None:
    Registry().set_alias(challenger(small_store, small, 1.0), "champion")  # as after a promotion
    with serving(small, SHADOWED) as service:
        until(lambda: service.client.get("/ready").status_code == 200)
        service.service.handlers.challengers.models.refresh()
        assert f'feedforward_challenger_version{{dataset="{NAME}"}} 0.0' in service.client.get("/metrics").text
        assert "there is no challenger" in service.client.get("/health").json()["challengers"][NAME]


@pytest.mark.slow
def test_a_busy_shadow_counts_dropped_requests_and_a_killed_shadow_is_reported(
    small: Params, small_store: "Store", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feedforward.serving.shadow.queue.QUEUE_BYTES", 200)  # so that a long request does not fit
    monkeypatch.setattr("feedforward.serving.shadow.queue.RESTART", 0.2)
    registered.champion(small_store, small)
    challenger(small_store, small, 2.0)
    with serving(small, SHADOWED) as service:
        shadow = service.service.handlers.challengers.shadow
        until(lambda: service.client.get("/health").json()["challengers"][NAME] == 2)
        until(lambda: shadow.running)
        assert service.ask(" ".join([GLAD] * 5)).status_code == 200
        until(lambda: service.service.metrics.dropped().get(NAME))
        first = shadow._process
        first.kill()
        until(lambda: shadow.running and shadow._process is not first)
        assert service.ask(GLAD).status_code == 200


@pytest.mark.slow
@pytest.mark.proves("Statistics of the shadow that could not be written are written later, even for an earlier pair")
def test_statistics_that_could_not_be_written_are_written_later(small: Params, small_store: "Store") -> None:
    versions = registered.champion(small_store, small, 1.0), challenger(small_store, small, -1.0)
    first, second = map(shadow_evidence.identity, versions)
    pairs = [Pair(first, second), Pair(second, first)]
    body, comparer = json.dumps({"samples": [GLAD]}).encode(), process.Comparer(small)
    answer = json.dumps({"predictions": [{"label": "glad", "probabilities": {"glad": 0.9, "sad": 0.1}}]}).encode()
    frames = [Frame(NAME, "application/json", pair, body, answer) for pair in pairs]
    paths.shadow(NAME).parent.mkdir(parents=True)
    paths.shadow(NAME).write_text("[")
    for frame in frames:
        comparer.compare(frame)
        comparer.flush()
    assert "the shadow's statistics cannot be written" in comparer.report()["problems"][NAME]
    paths.shadow(NAME).unlink()
    comparer.compare(frames[1])
    comparer.flush()
    assert [shadow_evidence.for_pair(NAME, pair).requests for pair in pairs] == [1, 2]
    assert comparer.report()["problems"] == {}


@pytest.mark.slow
@pytest.mark.proves("A request that the challenger refuses counts as one on which it disagrees with the champion")
def test_a_request_that_the_challenger_refuses_counts_as_disagreement(small: Params, small_store: "Store") -> None:
    versions = registered.champion(small_store, small, 1.0), challenger(small_store, small, 1.0)
    pair, comparer = Pair(*map(shadow_evidence.identity, versions)), process.Comparer(small)
    answers = [{"label": "glad", "probabilities": {"glad": 0.9, "sad": 0.1}}] * 2
    for samples in ([GLAD, GLAD], [GLAD, ""]):
        body, answer = json.dumps({"samples": samples}).encode(), json.dumps({"predictions": answers}).encode()
        comparer.compare(Frame(NAME, "application/json", pair, body, answer))
    comparer.flush()
    evidence = shadow_evidence.for_pair(NAME, pair)
    assert (evidence.requests, evidence.samples, evidence.agreed) == (2, 4, 2)
    assert comparer.report()["problems"] == {}


# --- canary ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_canary_answers_a_share_of_requests_and_marks_the_answers(small: Params, small_store: "Store") -> None:
    registered.champion(small_store, small, 1.0)
    challenger(small_store, small, -1.0)
    with serving(small, SERVING.model_copy(update={"canary": 0.3})) as service:
        until(lambda: service.client.get("/health").json()["challengers"][NAME] == 2)
        texts = [f"{GLAD} {k}" for k in range(60)]
        answers = {text: service.ask(text).json() for text in texts}
        expected = {text for text in texts if canary.selects([text], "notes version 2", 0.3)}
        assert 0 < len(expected) < len(texts)
        assert {text for text, answer in answers.items() if answer.get("canary")} == expected
        for text, answer in answers.items():
            by_challenger = text in expected
            assert answer["version"] == (2 if by_challenger else 1)
            assert answer["predictions"][0]["label"] == ("sad" if by_challenger else "glad")
            assert service.ask(text).json() == answer
        counted = service.client.get("/metrics").text
        count = 'feedforward_answer_seconds_count{canary="true",dataset="notes",version="2"}'
        assert f"{count} {2 * len(expected)}.0" in counted
        Registry().tag(model_versions.find(NAME, 2), {"decision": "rolled_back"})
        until(lambda: not service.ask(min(expected)).json().get("canary"))


@pytest.mark.slow
def test_champion_answers_if_the_challenger_fails(
    small: Params, small_store: "Store", monkeypatch: pytest.MonkeyPatch
) -> None:
    registered.champion(small_store, small, 1.0)
    challenger(small_store, small, -1.0)
    with serving(small, SERVING.model_copy(update={"canary": 1.0})) as service:
        until(lambda: service.ask(GLAD).json()["version"] == 2)
        served = service.service.handlers.challengers.models.champions()[NAME].served
        monkeypatch.setitem(vars(served), "predict", None)  # only the challenger's, so that calling it fails
        answer = service.ask(GLAD).json()
        assert (answer["version"], answer["predictions"][0]["label"]) == (1, "glad")
        count = 'feedforward_canary_failures_total{dataset="notes"} 1.0'
        assert count in service.client.get("/metrics").text
        assert service.ask(7).status_code == 422, "a mistake of the client, which no version can answer"
        assert count in service.client.get("/metrics").text


@pytest.mark.slow
@pytest.mark.proves(
    "A corrected sample is stored with the answer and the version that the user saw, even with a canary"
)
def test_correction_of_a_challengers_answer_names_the_challenger(small: Params, small_store: "Store") -> None:
    registered.champion(small_store, small, 1.0)
    challenger(small_store, small, -1.0)
    with serving(small, SERVING.model_copy(update={"canary": 1.0})) as service:
        seen = until(lambda: (answer := service.ask(GLAD).json()).get("canary") and answer)
        correction = {"sample": GLAD, "label": "glad"}
        assert service.client.post(f"/incoming/{NAME}", json=correction).json() == {"stored": True}
    [entry] = append_only_log.read(paths.incoming(NAME))
    assert (entry["version"], entry["answer"]) == (seen["version"], seen["predictions"][0]["label"]) == (2, "sad")


def test_canary_share_is_that_of_params_and_each_challenger_gets_different_requests() -> None:
    texts = [f"text {k}" for k in range(4000)]
    first, second = ({t for t in texts if canary.selects([t], name, 0.05)} for name in ("a version 2", "a version 3"))
    assert 140 < len(first) < 260  # four standard deviations of a binomial count around 200
    assert first != second
    assert canary.selects([b"text 1"], "a", 0.5) == canary.selects(["text 1"], "a", 0.5)
    assert canary.selects([{"a": float("nan")}, [[0, 255]]], "a", 1.0)


# --- evidence and the gate -------------------------------------------------------------------


def test_shadow_statistics_are_bounded_and_separate_for_each_pair_of_versions(small: Params) -> None:
    pairs = [Pair((1, "a"), (number, "b")) for number in range(2, 2 + shadow_evidence.PAIRS + 3)]
    for pair in pairs:
        shadow_evidence.add(NAME, pair, Evidence(1, 2, 1, 0.5, {"glad": Tally(2, 1, 0.1, 0.3)}))
    total = shadow_evidence.add(NAME, pairs[-1], Evidence(1, 2, 2, 0.5, {"sad": Tally(2, 2)}))
    assert (total.requests, total.agreement, set(total.labels)) == (2, 0.75, {"glad", "sad"})
    assert shadow_evidence.for_pair(NAME, pairs[-1]) == total
    assert shadow_evidence.latest(NAME) == (pairs[-1], total)
    assert shadow_evidence.for_pair(NAME, pairs[0]) == Evidence()
    assert shadow_evidence.for_pair(NAME, Pair((1, "a"), (pairs[-1].challenger[0], "c"))) == Evidence()
    assert len(json.loads(paths.shadow(NAME).read_text())["pairs"]) == shadow_evidence.PAIRS
    entry = {"champion": [1, "a"], "challenger": [14, "b"], "requests": 1, "samples": 1, "agreed": 1, "seconds": 0.1}
    tally = {"samples": 1, "agreed": 1, "difference": 0.1, "distance": 0.1}
    entries: list[dict[str, Any]] = [
        {"champion": [1, "a"], "challenger": [14, "b"]},
        {**entry, "labels": {"sad": {**tally, "samples": "x"}}},
        {**entry, "labels": {"sad": {**tally, "samples": 0}}},
        {**entry, "labels": {"\ud800": tally}},
        {**entry, "labels": {}, "requests": -1},
        {**entry, "labels": {}, "seconds": float("inf")},
    ]
    for damaged in ("[", *(json.dumps({"pairs": [entry]}) for entry in entries)):
        paths.shadow(NAME).write_text(damaged)
        with pytest.raises(DataError, match="remove it: the shadow starts from zero"):
            shadow_evidence.for_pair(NAME, pairs[-1])
        with pytest.raises(DataError, match="remove it: the shadow starts from zero"):
            shadow_evidence.latest(NAME)


def test_gate_waits_for_shadow_statistics_of_exactly_these_versions(small: Params, small_store: "Store") -> None:
    registered.write_vocabulary()
    registry = Registry()
    rule = Promotion(shadow=ShadowRule(requests=10, agreement=0.9))
    params = small.model_copy(update={"promotion": rule, "serving": SHADOWED})
    run = registered.final_run(small_store, params)
    first = registered.version(registry, run, 0.5)
    decision = promote.conclude(params, NAME, run, first, registry).decision
    assert decision.promoted, "without a champion there is nothing to compare"
    run = registered.final_run(small_store, params, seed=1)
    second = registered.version(registry, run, 2.0)

    def decided() -> tuple[str, str]:
        outcome = promote.conclude(params, NAME, run, second, registry)
        last = audit_log.entries(NAME)[-1]
        assert outcome.decision.reason == last["reason"]
        return last["decision"], last["reason"]

    def record_statistics(champion: Version, requests: int, agreed: int) -> None:
        pair = Pair(shadow_evidence.identity(champion), shadow_evidence.identity(second))
        shadow_evidence.add(NAME, pair, Evidence(requests, requests, agreed))

    assert decided()[0] == "waiting"
    record_statistics(second, 10, 10)  # against another champion
    decision, reason = decided()
    assert decision == "waiting"
    assert "has compared 0 of 10 requests" in reason
    record_statistics(first, 10, 5)
    decision, reason = decided()
    assert decision == "kept"
    assert "agreement 0.5000, which must be at least 0.9" in reason
    record_statistics(first, 90, 90)
    assert decided()[0] == "promoted"
