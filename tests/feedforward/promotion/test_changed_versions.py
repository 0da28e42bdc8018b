"""Changed versions, champions and runs are refused; the evaluation runs in a separate process."""

import contextlib
import dataclasses
import json
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import registered
from registered import NAME, audit_entries, conclude, find_version, flip_bit
from shell import Shell
from small_data import values, write_params

from feedforward.config.schema import Params, ShadowRule, load_params
from feedforward.core import paths
from feedforward.core.errors import DataError, TrackingError
from feedforward.experiments import plan, runner
from feedforward.promotion import (
    bundle,
    candidate,
    compatibility,
    evaluation,
    evaluation_process,
    holdout_split,
    promote,
    shadow_evidence,
    version_bundles,
)
from feedforward.promotion.evaluation_process import judging
from feedforward.promotion.evaluator import EvaluationFailed, Evaluator
from feedforward.promotion.promote import Refused
from feedforward.tracking import model_versions, names
from feedforward.tracking.model_version import Version
from feedforward.tracking.registry import Registry

if TYPE_CHECKING:
    from feedforward.tracking import Store

pytestmark = pytest.mark.slow


def refusal_of(version: Version, params: Params) -> str:
    """Return the reason why the evaluation refuses the version, after a check that there is no champion."""
    run = Registry().find_runs(NAME, role="final")[0]
    with pytest.raises(Refused) as caught:
        registered.evaluate(params, run, version)
    assert model_versions.find(NAME) is None
    return str(caught.value)


@pytest.mark.proves("A version with a changed file is refused before it is loaded")
def test_a_changed_artifact_is_rejected_before_it_is_loaded(params: Params, small_store: "Store") -> None:
    run = registered.final_run(small_store, params)
    version = registered.version(Registry(), run, 1.0, evaluated=False)
    flip_bit(model_versions.folder(version, "served") / "model.keras")
    assert "model.keras: has changed since it was registered" in refusal_of(version, params)
    assert audit_entries()[-1]["decision"] == "refused"


def test_an_incomplete_upload_never_becomes_champion(params: Params, small_store: "Store") -> None:
    run = registered.final_run(small_store, params)
    version = registered.version(Registry(), run, 1.0, evaluated=False)
    os.truncate(model_versions.folder(version, "served") / "model.keras", 500)
    assert "model.keras" in refusal_of(version, params)


@pytest.mark.proves("If the process that evaluates a version fails, the message contains the error of that process")
def test_an_evaluation_process_without_a_result_is_reported_but_does_not_reject_the_version(
    params: Params, small_store: "Store", monkeypatch: pytest.MonkeyPatch
) -> None:
    run = registered.final_run(small_store, params)
    version = registered.version(Registry(), run, 1.0, evaluated=False)
    monkeypatch.setattr(evaluation_process, "__name__", "feedforward.promotion.nowhere")
    with pytest.raises(
        EvaluationFailed, match=r"code 1 and no result \(.*No module named feedforward.promotion.nowhere"
    ):
        registered.evaluate(params, run, version)
    assert audit_entries()[-1]["decision"] == "failed"
    assert "decision" not in find_version(version.number).tags


@pytest.mark.proves("Data or a params.yaml that cannot be read during an evaluation decide nothing about the version")
@pytest.mark.parametrize("name", ["params.yaml", "train/indices.npy", "profile.parquet", "manifest.json"])
def test_files_that_are_not_the_versions_own_do_not_reject_it(
    params: Params, small_store: "Store", name: str, tensorflow: None
) -> None:
    run = registered.final_run(small_store, params)
    version = registered.version(Registry(), run, 1.0, evaluated=False, model=registered.real_keras_model(1.0))
    path = paths.params() if name == "params.yaml" else paths.vectorized(NAME) / name
    path.write_text("datasets: [")
    with names.fixed(""), Evaluator(params) as evaluator:
        for action in ("evaluate", "verify"):
            if action == "evaluate" or name != "profile.parquet":  # which a rollback does not read
                with pytest.raises(EvaluationFailed, match="its evaluation failed"):
                    evaluator.run(action, version.name, NAME, version.number, path.parent)
        with pytest.raises(EvaluationFailed, match=r"its evaluation failed .*; run the command again"):
            registered.evaluate(params, run, version)
        assert audit_entries()[-1]["decision"] == "failed"
        assert "decision" not in find_version(version.number).tags


def test_data_that_were_vectorized_anew_do_not_reject_a_version(params: Params, small_store: "Store") -> None:
    run = registered.final_run(small_store, params)
    other = dataclasses.replace(run, tags={**run.tags, "data_digest": "0" * 64})
    version = registered.version(Registry(), other, 1.0, evaluated=False)
    with pytest.raises(EvaluationFailed, match="the data have changed since version 1 was trained"):
        registered.evaluate(params, run, version)


@pytest.mark.proves("A version is evaluated in any locale, whatever letters params.yaml contains")
def test_parameters_reach_the_evaluation_process_in_a_locale_that_is_not_utf8(
    params: Params, small_store: "Store", tmp_path: Path, tensorflow: None
) -> None:
    dataset = params.datasets[NAME].model_copy(update={"labels": ("süß", "sauer")})
    run = registered.final_run(small_store, params)
    model = registered.real_keras_model(1.0)
    version = registered.version(Registry(), run, 1.0, evaluated=False, labels=dataset.labels, model=model)
    settings = params.model_copy(update={"datasets": {NAME: dataset}}).model_dump_json()
    action = json.dumps(["verify", NAME, version.number, str(tmp_path)])
    subprocess.run(
        [sys.executable, "-m", evaluation_process.__name__],
        input=f"{settings}\n{action}\n".encode(),
        env=os.environ | {"PYTHONIOENCODING": "latin-1"},
        check=True,
    )
    assert json.loads((tmp_path / evaluation_process.RESULT).read_text())["refused"] == ""


@contextlib.contextmanager
def no_file_can_be_opened() -> Iterator[None]:
    """Every file that exists can be found, but opening it fails, as with too many open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.proves("A champion whose files cannot be read at the moment is neither replaced nor registered again")
def test_an_error_while_reading_a_version_says_nothing_about_it(params: Params, small_store: "Store") -> None:
    conclude(params, small_store, 3.0)
    champion, split = find_version(), holdout_split.of_today(NAME, params.datasets[NAME])

    def compare() -> evaluation.ChampionEvidence:
        return evaluation.champion_evidence(params, NAME, champion, None, split, None)

    assert (compare().problem, candidate._must_be_replaced(champion)) == ("", False)
    with no_file_can_be_opened():
        for read in (compare, lambda: candidate._must_be_replaced(champion)):
            with pytest.raises(TrackingError, match=r"cannot be read .Too many open files.; fix it"), judging():
                read()
    (model_versions.folder(champion, "served") / "weights.npz").unlink()
    assert "the champion can no longer be served" in compare().problem
    assert candidate._must_be_replaced(champion)


def test_a_message_about_labels_shows_the_first_one_that_differs() -> None:
    served: Any = SimpleNamespace(description=SimpleNamespace(task_name="multiclass", labels=tuple("abcdefg")))
    dataset: Any = SimpleNamespace(task="multiclass", labels=tuple("abcdexg"))
    problem = compatibility.mismatch(served, dataset)
    assert problem == "its labels are …, b, c, d, e, f and 1 more, params.yaml says …, b, c, d, e, x and 1 more"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ("sad", "glad", "so-so"), "task": "multiclass"}, "trained for the binary task"),
        ({"labels": ("bad", "good")}, "its labels are sad, glad, params.yaml says bad, good"),
    ],
)
def test_a_champion_with_another_task_or_labels_is_not_compared(
    params: Params, small_store: "Store", changes: dict[str, object], message: str
) -> None:
    conclude(params, small_store, 3.0)
    served = bundle.read(model_versions.folder(find_version(), "served"), find_version().tags["digest"])
    dataset = params.datasets[NAME]
    assert compatibility.mismatch(served, dataset) is None
    other = SimpleNamespace(task=dataset.task, labels=dataset.labels, reader=dataset.reader)
    vars(other).update(changes)
    assert message in str(compatibility.mismatch(served, other))  # type: ignore[arg-type]
    compared = evaluation.champion_evidence(
        SimpleNamespace(datasets={NAME: other}),  # type: ignore[arg-type]
        NAME,
        find_version(),
        None,
        holdout_split.of_today(NAME, dataset),
        None,
    )
    assert (compared.evidence, compared.is_served) == (None, False)
    assert compared.problem.startswith("notes version 1 is not a champion of this dataset: ")


def test_a_tampered_champion_is_replaced_and_the_reason_logged(params: Params, small_store: "Store") -> None:
    conclude(params, small_store, 3.0)
    flip_bit(model_versions.folder(find_version(), "served") / "vocabulary.txt")
    weaker = conclude(params, small_store, 1.0)
    assert weaker.decision.promoted
    assert "the champion can no longer be served" in str(audit_entries()[-1]["reason"])


def test_a_tampered_holdout_model_is_not_used_as_evidence(params: Params, small_store: "Store") -> None:
    registry, run = Registry(), registered.final_run(small_store, params)
    version = registered.version(registry, run, 1.0)
    flip_bit(model_versions.folder(version, "holdout_models/0") / "weights.npz")
    with pytest.raises(DataError, match="has changed since it was registered"):
        promote.conclude(params, NAME, run, version, registry)
    assert model_versions.find(NAME) is None


def test_a_champion_with_a_damaged_holdout_model_is_not_replaced_without_a_comparison(
    params: Params, small_store: "Store"
) -> None:
    conclude(params, small_store, 3.0)
    flip_bit(model_versions.folder(find_version(), "holdout_models/0") / "weights.npz")
    with pytest.raises(
        EvaluationFailed, match=r"notes version 1 cannot be compared: .*`feedforward promote notes --run "
    ):
        conclude(params, small_store, 1.0)
    assert find_version().number == 1
    assert (audit_entries()[-1]["decision"], audit_entries()[-1]["version"]) == ("failed", 2)
    assert not shadow_evidence.may_answer(find_version(2)), "the gate has not accepted it"
    with pytest.raises(Refused, match=r"accuracy on glad must be at least"):
        conclude(params, small_store, -1.0)
    assert conclude(params, small_store, 1.0, skip_comparison="disk failure").decision.promoted
    assert str(audit_entries()[-1]["reason"]).endswith("replaced without a comparison: disk failure")


def test_a_champion_that_cannot_be_measured_is_still_compared_by_the_shadow(
    params: Params, small_store: "Store"
) -> None:
    conclude(params, small_store, 3.0)
    flip_bit(model_versions.folder(find_version(), "holdout_models/0") / "weights.npz")
    rule = params.promotion.model_copy(update={"shadow": ShadowRule(requests=10, agreement=0.9)})
    shadowed = params.model_copy(update={"promotion": rule})
    decision = conclude(shadowed, small_store, 1.0, skip_comparison="disk failure").decision
    assert (decision.promoted, decision.waiting, find_version().number) == (False, True, 1)
    assert "cannot be compared" in decision.reason
    assert "has compared 0 of 10 requests" in decision.reason


@pytest.mark.proves(
    "A champion with words that neither the data nor raw texts have is replaced only with --skip-comparison"
)
def test_a_champion_whose_words_are_in_neither_the_data_nor_raw_texts_is_not_replaced_without_a_comparison(
    params: Params, small_store: "Store"
) -> None:
    conclude(params, small_store, 3.0)
    words = registered.ENCODER.vocabulary.words
    (paths.vectorized(NAME) / "vocabulary.txt").write_text("".join(f"{word}\n" for word in words[:9]))
    message = rf"it uses {len(words) - 9} words or word pairs that have no column in the data, and the raw texts cannot"
    remedy = "`feedforward promote notes --skip-comparison REASON` replaces it without a comparison"
    with pytest.raises(EvaluationFailed, match=rf"notes version 1 cannot be compared: {message} .*: {remedy}"):
        conclude(params, small_store, 1.0)
    assert find_version().number == 1
    assert conclude(params, small_store, 1.0, skip_comparison="less memory").decision.promoted
    assert str(audit_entries()[-1]["reason"]).endswith("replaced without a comparison: less memory")


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        ("holdout_models", "?"),
        ("holdout_models", "[]"),
        ("holdout_models", '[["../1", "%s"]]' % ("0" * 64)),
        ("evaluation", "[" * 2000),
        ("evaluation", '{"bytes": 1}'),
        ("evaluation", '{"bytes": 1, "latency_ms": NaN}'),
        ("calibration", "[1]"),
    ],
)
def test_an_edited_tag_is_reported_in_one_line(params: Params, small_store: "Store", tag: str, value: str) -> None:
    registry, run = Registry(), registered.final_run(small_store, params)
    version = registered.version(registry, run, 1.0)
    registry.tag(version, {tag: value})
    edited = registry.find(NAME, version.number)
    assert edited is not None
    with pytest.raises(DataError, match=f"notes version 1: its tag `{tag}` is damaged; delete this version"):
        promote.conclude(params, NAME, run, edited, registry)


def test_the_logged_model_must_have_the_weights_that_the_run_recorded(
    params: Params, small_store: "Store", tensorflow: None
) -> None:
    [pack] = [pack for pack in plan.plan(params, "fair", [NAME], ["original"], [0]) if pack.role == "final"]
    runner.train_pack(pack, params, small_store)
    [weights_file] = (paths.store() / "artifacts").rglob("weights.npz")
    for name, content in registered.files(1.0).items():  # a valid network, but not that of the run
        weights_file.with_name(name).write_bytes(content)
    with pytest.raises(DataError, match="its weights differ from those that the run recorded"):
        promote.promote(params, NAME)


@pytest.mark.proves("A champion that has a damaged file is replaced by promoting its run again, as the message says")
def test_promoting_the_run_again_replaces_a_damaged_champion(
    params: Params, small_store: "Store", small_shell: Shell, tensorflow: None
) -> None:
    write_params(paths.params(), values(promotion={"holdout_models": 2, "class_accuracy": 0.0}))
    params = load_params()
    for pack in plan.plan(params, "fair", [NAME], ["original"], [0]):
        runner.train_pack(pack, params, small_store)
    assert small_shell.run("promote", NAME) == 0
    for number, kind in enumerate(("served", "variants/original", "holdout_models"), start=2):
        role = find_version().holdout_models()[0].folder if kind == "holdout_models" else kind
        flip_bit(model_versions.folder(find_version(), role) / "weights.npz")
        with pytest.raises(DataError, match=rf"{role}/weights\.npz: has changed .* promote the run again"):
            version_bundles.check(find_version())
        assert small_shell.run("promote", NAME) == 0
        assert f"notes version {number} is now the champion: " in small_shell.stdout
        assert f"; notes version {number - 1} is the same model, but " in small_shell.stdout
        assert find_version().number == number
        assert small_shell.run("predict", NAME, "word1", "--variant", "all") == 0
        version_bundles.check(find_version())
    assert small_shell.run("promote", NAME) == 0
    assert small_shell.stdout == "notes version 4: it is already the champion\n"
