"""The promotion rule, checked by arithmetic and by simulation."""

import math
from dataclasses import replace

import numpy as np
import pytest

from feedforward.config.schema import Promotion
from feedforward.promotion.policy import Candidate, Evidence, class_accuracy, decide, expected_loss, gain

NAMES = ("negative", "positive")
LABELS = np.tile([0, 1], 500)
ONE = np.zeros(1, int)
RULE = Promotion(minimum_gain=0.001, class_accuracy=0.75, max_bytes=1000, max_latency=5.0)


def evidence(loss: float, seed: int = 0, wrong: int = 0, seeds: int = 3, seed_sd: float = 0.0) -> Evidence:
    """Return losses near `loss` with small noise.

    wrong: the number of misclassified samples per class. seeds: the number of holdout models. seed_sd: the standard
    deviation between their losses.
    """
    sample_losses = np.random.default_rng(7).gamma(1.0, 1.0, len(LABELS))
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 0.01, (seeds, len(LABELS))) + rng.normal(0, seed_sd, (seeds, 1))
    correct = np.ones(len(LABELS), bool)
    correct[: 2 * wrong] = False
    return Evidence(loss * sample_losses / sample_losses.mean() + noise, correct)


def candidate(**changes: object) -> Candidate:
    values = {"evidence": evidence(0.3), "metrics": {"test_accuracy": 0.9}, "bytes": 10, "latency": 0.1, **changes}
    return Candidate(**values)  # type: ignore[arg-type]


def test_the_first_valid_model_becomes_champion() -> None:
    decision = decide(candidate(), None, LABELS, NAMES, RULE)
    assert decision.promoted
    assert decision.gain is None
    assert decision.class_accuracy == (1.0, 1.0)


def test_a_better_model_replaces_the_champion_and_a_worse_one_does_not() -> None:
    worse, better = evidence(0.32, seed=1), evidence(0.28, seed=2)
    assert decide(candidate(evidence=better), worse, LABELS, NAMES, RULE).promoted
    decision = decide(candidate(evidence=worse), better, LABELS, NAMES, RULE)
    assert not decision.promoted
    assert "must be at least 0.001" in decision.reason


def test_a_model_is_not_an_improvement_on_itself() -> None:
    same = evidence(0.3)
    result = gain(same, same, 0.95)
    assert result.low < result.mean == 0 < result.high
    assert not decide(candidate(evidence=same), same, LABELS, NAMES, Promotion()).promoted


def test_a_gain_just_below_the_minimum_is_not_rounded_up_to_it() -> None:
    correct = np.ones(len(LABELS), bool)
    champion, challenger = (Evidence(np.full((2, len(LABELS)), loss), correct) for loss in (0.30099996, 0.3))
    reason = decide(candidate(evidence=challenger), champion, LABELS, NAMES, RULE).reason
    assert reason.endswith("[0.00099996, 0.0010], whose lower bound must be at least 0.001")


def test_a_gain_within_the_differences_between_seeds_is_not_enough() -> None:
    champion, challenger = evidence(0.300, seed=1), evidence(0.295, seed=2)
    assert decide(candidate(evidence=challenger), champion, LABELS, NAMES, RULE).promoted
    champion, challenger = (evidence(loss, seed, seed_sd=0.006) for loss, seed in ((0.300, 1), (0.295, 2)))
    result = decide(candidate(evidence=challenger), champion, LABELS, NAMES, RULE)
    assert result.gain is not None
    assert result.gain.high - result.gain.low > 0.01
    assert not result.promoted


@pytest.mark.proves("Versions with too few holdout models to know the effect of the seed are not compared")
@pytest.mark.parametrize("seeds", [1, 2])
def test_too_few_models_do_not_show_a_gain(seeds: int) -> None:
    champion, challenger = evidence(0.32, seed=1, seeds=1), evidence(0.28, seed=2, seeds=seeds)
    decision = decide(candidate(evidence=challenger), champion, LABELS, NAMES, RULE)
    assert (decision.promoted, decision.gain) == (False, None)
    assert f"challenger and champion have {seeds} and 1 holdout models, too few to tell" in decision.reason
    assert decision.remedy == "set promotion.holdout_models to 3 or more"
    # the remedy works, although the champion's models are not trained again
    assert decide(candidate(evidence=evidence(0.28, seed=2)), champion, LABELS, NAMES, RULE).promoted
    assert decide(candidate(evidence=challenger), None, LABELS, NAMES, RULE).promoted


@pytest.mark.proves("A gain on a single validation sample does not promote a version")
def test_a_single_sample_does_not_show_a_gain() -> None:
    worse, better = (Evidence(loss + np.array([[0.0], [0.01], [0.02]]), np.ones(1, bool)) for loss in (0.9, 0.2))
    rule = RULE.model_copy(update={"class_accuracy": 0.0})
    assert decide(candidate(evidence=better), None, ONE, NAMES, rule).promoted
    decision = decide(candidate(evidence=better), worse, ONE, NAMES, rule)
    assert (decision.promoted, decision.gain) == (False, None)
    assert decision.reason == "a single validation sample does not show whether the challenger is better on others"
    assert decision.remedy == "raise `training.validation.samples`"


def test_an_undefined_r2_does_not_reach_the_minimum() -> None:
    one = Evidence(np.full((3, 1), 0.1), np.ones((1, 0), bool))
    assert (
        "R² must be at least 0, got validation samples" in decide(candidate(evidence=one), None, ONE, (), RULE).reason
    )
    assert decide(candidate(evidence=replace(one, r2=0.0)), None, ONE, (), RULE).promoted


def test_an_expected_loss_is_not_negative() -> None:
    losses = np.random.default_rng(0).gamma(0.05, 0.1, (3, 40)) + np.array([[0.0], [0.01], [0.02]])
    mean, low, high = expected_loss(Evidence(losses, np.ones(40, bool)), 0.95)
    assert (low, mean < high) == (0, True)


@pytest.mark.parametrize(
    ("seeds", "champion_seeds", "spread"), [(1, 1, 0.0), (3, 3, 0.02), (5, 5, 0.05), (3, 1, 0.02), (2, 2, 0.05)]
)
def test_the_interval_covers_the_true_gain_as_often_as_it_claims(
    seeds: int, champion_seeds: int, spread: float
) -> None:
    rng, covered = np.random.default_rng(0), 0
    correct = np.ones(300, bool)
    for _ in range(2000):
        challenger, champion = (
            rng.gamma(1.0, 0.3, 300) + rng.normal(0, spread, (models, 1)) + rng.normal(0, 0.05, (models, 300))
            for models in (seeds, champion_seeds)
        )
        result = gain(Evidence(challenger, correct), Evidence(champion + 0.05, correct), 0.95)
        covered += result.low <= 0.05 <= result.high
    assert 0.93 <= covered / 2000 <= 0.975  # 95 %; the standard error of the simulation is 0.5 %


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"metrics": {"test_loss": math.nan}}, "test_loss must be finite, got nan"),
        ({"metrics": {"test_loss": 1.7976931348623157e308}}, "test_loss must be finite"),
        (
            {"evidence": Evidence(np.full((1, 1000), np.inf), np.ones(1000, bool))},
            "validation samples, and the loss of each must be finite",
        ),
        ({"evidence": evidence(0.1, wrong=200)}, "accuracy on negative must be at least 0.75, got 0.6000"),
        ({"bytes": 1001}, "size must be at most 1000 bytes, got 1001"),
        ({"latency": 5.1}, "latency must be at most 5 ms per sample, got 5.1"),
        ({"latency": math.nan}, "latency must be at most 5 ms"),
    ],
)
def test_an_invalid_challenger_is_rejected_even_without_a_champion(changes: dict[str, object], reason: str) -> None:
    for champion in (None, evidence(9.0)):
        decision = decide(candidate(**changes), champion, LABELS, NAMES, RULE)
        assert not decision.promoted
        assert reason in decision.reason
        assert "\n" not in decision.reason


def test_a_class_without_samples_fails_the_accuracy_rule() -> None:
    correct, labels = np.ones(3, bool), np.zeros(3, int)
    assert class_accuracy(correct, labels, 2)[0] == 1.0
    one_class = Candidate(Evidence(np.ones((1, 3)), correct), {}, 1, 0.1)
    reason = decide(one_class, None, labels, NAMES, RULE).reason
    assert "accuracy on positive must be at least 0.75, got no validation sample" in reason
    without_rule = decide(one_class, None, labels, NAMES, RULE.model_copy(update={"class_accuracy": 0.0}))
    assert without_rule.promoted


def test_losses_on_different_samples_are_not_compared() -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        gain(Evidence(np.ones((1, 3)), np.ones(3, bool)), Evidence(np.ones((1, 4)), np.ones(4, bool)), 0.95)
