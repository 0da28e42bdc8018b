"""When to train again: the policy's reasons and remarks, and what it observes in a workspace."""

import base64
import hashlib
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import registered
from small_data import PIXELS, TRAIN, params, split

from feedforward.config.schema import Params, Retraining
from feedforward.core import append_only_log, paths
from feedforward.retraining import policy, report
from feedforward.retraining.policy import Observations
from feedforward.tracking.registry import Registry

if TYPE_CHECKING:
    from feedforward.tracking import Store

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def decide(
    observations: dict[str, Observations], changed: tuple[str, ...] = (), forced: bool = False, **retraining: Any
) -> Any:
    changed_params = params().model_copy(update={"retraining": Retraining(**retraining)})
    return policy.decide(changed_params, observations, changed, forced)


@pytest.mark.parametrize(
    ("observations", "options", "reason", "remark"),
    [
        (Observations(), {}, None, None),
        (Observations(), {"forced": True}, "requested", None),
        (Observations(), {"changed": ("parameters changed: seeds",)}, "parameters changed: seeds", None),
        (Observations(new=100), {"use_feedback": True}, "notes: 100 new samples", None),
        (
            Observations(new=99),
            {"use_feedback": True},
            None,
            "notes: 99 new samples (retraining.minimum_new_samples is 100)",
        ),
        (Observations(new=1), {}, None, "notes: 1 new sample (retraining.use_feedback is off)"),
        (
            Observations(new=1, age=31.0),
            {"use_feedback": True},
            "notes: the champion is 31 days old",
            "notes: 1 new sample (retraining.minimum_new_samples is 100)",
        ),
        (Observations(age=31.0), {"use_feedback": True}, None, "notes: the champion is 31 days old"),
        (
            Observations(new=1, age=29.0),
            {"use_feedback": True},
            None,
            "notes: 1 new sample (retraining.minimum_new_samples is 100)",
        ),
        (
            Observations(requests="words"),
            {"use_feedback": True},
            None,
            "notes: request drift: words, and there are no labeled samples to train on",
        ),
        (
            Observations(new=5, requests="words"),
            {},
            None,
            "notes: 5 new samples (retraining.use_feedback is off); notes: request drift: words",
        ),
        (Observations(pending="0123"), {}, "notes: the gate has not decided on run 0123", None),
        (Observations(refused={"damaged": 2}), {}, None, "notes: refused samples: 2 damaged"),
    ],
)
def test_policy_gives_the_expected_reason_and_remark(
    observations: Observations, options: dict[str, Any], reason: str | None, remark: str | None
) -> None:
    result = decide({"notes": observations}, **options)
    assert result.retrain == (reason is not None)
    assert result.reasons == ([reason] if reason else [])
    assert "; ".join(result.remarks) == (remark or "")


def give_images(labels: np.ndarray, brightness: int) -> None:
    """Store labeled images as the service does."""
    for k, label in enumerate(labels):
        pixels = np.minimum(np.arange(PIXELS) * 3 + k % 50 + int(label) * 60 + brightness, 255).astype(np.uint8)
        append_only_log.append(
            paths.incoming("tones"),
            {
                "label": ["dark", "gray", "light"][label],
                "digest": hashlib.sha256(pixels.tobytes()).hexdigest(),
                "pixels": base64.b64encode(pixels.tobytes()).decode(),
            },
        )


def write_profile(name: str) -> None:
    """Write the columns of the profile that the policy reads."""
    rows = {"split": ["train"] * TRAIN, "raw_length": [PIXELS] * TRAIN, "digest": [f"{k:064}" for k in range(TRAIN)]}
    pq.write_table(pa.table(rows), paths.vectorized(name) / "profile.parquet")


def test_drift_is_shown_on_the_page_and_is_a_reason_only_if_feedback_is_used(small: Params) -> None:
    write_profile("tones")
    give_images(np.arange(90) % 3, brightness=80)
    observations = {"tones": policy.observe(small, "tones", NOW)}
    assert observations["tones"].new == 90
    assert observations["tones"].comparison is not None
    assert observations["tones"].comparison.distances.drifted
    with_feedback, without_feedback = decide(observations, use_feedback=True), decide(observations)
    assert re.search(r"tones: drift of pixel \d+ \(0\.\d\d, bound 0\.2\) and \d+ more", with_feedback.text)
    assert not without_feedback.retrain
    assert any("drift" in line for line in without_feedback.remarks)
    page = report.write(small, with_feedback, observations, {"tones": "<kept>"}).read_text()
    assert page.count("<svg") == 4
    assert 'class="tag bad">drift' in page
    assert "&lt;kept&gt;" in page
    assert not re.search(r"(src|href)=|<script", page)


def test_samples_like_the_training_data_do_not_drift(small: Params) -> None:
    write_profile("tones")
    similar = split("tones", 60, seed=3)
    for pixels, label in zip(np.asarray(similar.features), similar.labels.tolist(), strict=True):
        raw = pixels.tobytes()
        entry = {"digest": hashlib.sha256(raw).hexdigest(), "pixels": base64.b64encode(raw).decode()}
        append_only_log.append(paths.incoming("tones"), {"label": ["dark", "gray", "light"][label], **entry})
    result = policy.observe(small, "tones", NOW)
    assert result.comparison is not None
    assert result.comparison.distances.drifted == ()


def test_a_workspace_without_data_has_no_observations(small: Params, tmp_path: Path) -> None:
    (paths.vectorized("tones") / "manifest.json").unlink()
    assert policy.observe(small, "tones", NOW) == Observations()
    assert policy.observe(small, "notes", NOW) == Observations()  # no store yet


@pytest.mark.slow
def test_an_undecided_run_is_pending_and_the_champion_has_an_age(small: Params, small_store: "Store") -> None:
    run = registered.final_run(small_store, small)
    result = policy.observe(small, "notes", NOW)
    assert result.pending is not None
    assert result.pending.startswith(run.run_id[:8])
    registry = Registry()
    version = registered.version(registry, run, 1.0, evaluated=False)
    registry.tag(version, {"decision": "promoted"})
    registry.set_alias(version, "champion")
    promoted_at = NOW - timedelta(days=3)
    for days in (0, 2):
        time = (promoted_at + timedelta(days=days)).isoformat(timespec="milliseconds")
        line = {"time": time, "dataset": "notes", "version": 1, "before": None, "champion": 1, "reason": "better"}
        line |= {"run": version.run_id, "digest": version.tags["digest"]}
        append_only_log.append(paths.audit(), line | {"decision": "kept" if days else "promoted"})
    old = {"time": (NOW - timedelta(days=90)).isoformat(), "run": "another project's", "decision": "promoted"}
    append_only_log.append(paths.audit(), line | old)
    result = policy.observe(small, "notes", NOW)
    assert (result.pending, result.age) == (None, 3.0)
