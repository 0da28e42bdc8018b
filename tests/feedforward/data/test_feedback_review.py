"""Samples that people accept or reject: which samples are trained on, and that no decision is lost."""

import json
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prepared_data import prepare, put_texts, reviews, store_correction
from shell import Shell
from small_data import write_params

from feedforward.core import append_only_log, paths
from feedforward.core.errors import DataError, ParamsError
from feedforward.data import feedback, feedback_decisions, feedback_review, preparation
from feedforward.data.splits import Split

NAME = "reviews"


@pytest.fixture
def root(root: Path) -> Path:
    """The workspace with prepared reviews."""
    put_texts(root)
    prepare(NAME, reviews())
    return root


def states() -> dict[str, str]:
    return {s.entry["text"]: feedback_review.state_of(s) for s in feedback_review.samples(NAME, reviews())}


def id_of(text: str, label: str) -> str:
    samples = feedback_review.samples(NAME, reviews())
    [id_] = [s.id for s in samples if (s.entry["text"], s.entry["label"]) == (text, label)]
    return id_


def sample_of(id_: str) -> feedback.Sample:
    [match] = [sample for sample in feedback_review.samples(NAME, reviews()) if sample.id == id_]
    return match


def collected_texts() -> list[str]:
    return [entry["text"] for entry in feedback.read(NAME)]


def test_only_accepted_samples_are_used_if_review_is_required(root: Path) -> None:
    for text in ("good fun", "so so good", "bad plot"):
        store_correction(NAME, "positive", text)
    store_correction(NAME, "great", "a good film")
    assert states() == {"good fun": "waiting", "so so good": "waiting", "bad plot": "waiting", "a good film": "invalid"}
    intake = feedback.examine(NAME, reviews(), review=True)
    assert (intake.new, intake.waiting, intake.refused) == ([], 3, {"unknown label": 1})
    assert len(feedback.examine(NAME, reviews()).new) == 3

    decisions = {"accept": [id_of("good fun", "positive")[:6]], "reject": [id_of("bad plot", "positive")]}
    result = feedback_review.review(NAME, reviews(), **decisions, reason="checked by hand")
    assert (result.accepted, result.rejected, result.waiting) == (1, 1, 1)
    assert states()["bad plot"] == "rejected"
    assert feedback.take(NAME, reviews(), collect=True, review=True) == 1
    assert collected_texts() == ["good fun"]
    # even if no review is required, a rejected sample is not used
    assert feedback.take(NAME, reviews(), collect=True) == 1
    assert collected_texts() == ["good fun", "so so good"]
    assert feedback.examine(NAME, reviews()).refused["rejected"] == 1
    line = next(append_only_log.read(paths.reviews(NAME)))
    assert (line["decision"], line["via"], line["reason"]) == ("accepted", "command", "checked by hand")
    assert line["by"] == feedback_decisions.user()
    assert line["time"].endswith("+00:00")


def test_accepting_another_spelling_with_another_label_removes_a_sample_at_once(root: Path) -> None:
    store_correction(NAME, "positive", "good fun")
    feedback.take(NAME, reviews(), collect=True)
    store_correction(NAME, "negative", "GOOD fun!\n")
    store_correction(NAME, "positive", " good fun")
    assert states()[" good fun"] == "waiting", "an accepted label would settle it"
    feedback_review.review(NAME, reviews(), accept=[id_of("GOOD fun!\n", "negative")])
    assert collected_texts() == []


def test_no_spelling_of_a_rejected_sample_is_used(root: Path) -> None:
    store_correction(NAME, "positive", "good fun")
    feedback_review.review(NAME, reviews(), reject=[id_of("good fun", "positive")])
    store_correction(NAME, "positive", "Good fun.")
    assert states() == {"good fun": "rejected", "Good fun.": "invalid"}
    assert feedback.take(NAME, reviews(), collect=True) == 0


def test_a_sample_that_is_rejected_later_is_removed_from_the_training_data(root: Path) -> None:
    store_correction(NAME, "positive", "good fun")
    store_correction(NAME, "positive", "so so good")
    feedback.take(NAME, reviews(), collect=True)
    preparation.vectorize(NAME, reviews(), collect=True)
    assert len(Split.load(paths.vectorized(NAME) / "train")) == 5
    rejected_id = id_of("good fun", "positive")
    feedback_review.review(NAME, reviews(), reject=[rejected_id])
    assert collected_texts() == ["so so good"]  # at once, so that DVC sees the change
    assert feedback.examine(NAME, reviews()).withdrawn == {rejected_id}  # a reason to train again
    feedback.take(NAME, reviews(), collect=True)
    assert collected_texts() == ["so so good"]
    preparation.vectorize(NAME, reviews(), collect=True)
    assert len(Split.load(paths.vectorized(NAME) / "train")) == 4
    assert feedback.examine(NAME, reviews()).withdrawn == frozenset()
    # once a review is required, samples that nobody has accepted are withdrawn
    assert feedback.examine(NAME, reviews(), review=True).withdrawn == {id_of("so so good", "positive")}


def test_the_snapshot_after_a_rejection_differs_from_every_finished_one(root: Path) -> None:
    # DVC records the content of the snapshot after `vectorize` has ended. If somebody rejects a sample that the stage
    # has read, this content must not be that of the next snapshot; otherwise, the sample would stay in the data.
    store_correction(NAME, "positive", "good fun")
    feedback.take(NAME, reviews(), collect=True)
    finished = [paths.collected(NAME).read_bytes()]
    feedback_review.review(NAME, reviews(), reject=[id_of("good fun", "positive")])
    recorded = paths.collected(NAME).read_bytes()
    assert b"good fun" not in recorded
    feedback.take(NAME, reviews(), collect=True)
    finished.append(paths.collected(NAME).read_bytes())
    assert recorded not in finished


def test_accepting_another_label_removes_a_sample_at_once(root: Path) -> None:
    store_correction(NAME, "positive", "good fun")
    feedback.take(NAME, reviews(), collect=True)
    store_correction(NAME, "negative", "good fun")
    assert collected_texts() == ["good fun"]
    feedback_review.review(NAME, reviews(), accept=[id_of("good fun", "negative")])
    assert collected_texts() == []


def test_decisions_apply_to_a_snapshot_before_its_dataset_is_vectorized(root: Path) -> None:
    for text in ("good fun", "so so good"):
        store_correction(NAME, "positive", text)
    feedback.take(NAME, reviews(), collect=True)
    feedback_review.review(NAME, reviews(), accept=[id_of("good fun", "positive")])
    shutil.rmtree(paths.vectorized(NAME))
    feedback.take(NAME, reviews(), collect=True, review=True)
    assert collected_texts() == ["good fun"]


def test_a_sample_is_not_added_while_somebody_rejects_it(root: Path) -> None:
    store_correction(NAME, "positive", "good fun")
    rejected_id = id_of("good fun", "positive")
    with ThreadPoolExecutor(1) as other, feedback.locked(NAME):
        taken = other.submit(feedback.take, NAME, reviews(), collect=True)
        feedback_decisions.append(NAME, [sample_of(rejected_id).entry], "rejected", "command", "")
    assert taken.result() == 0
    assert collected_texts() == []


def test_accepting_one_of_two_labels_resolves_the_contradiction(root: Path) -> None:
    store_correction(NAME, "positive", "good fun")
    store_correction(NAME, "negative", "good fun")
    assert feedback.examine(NAME, reviews()).refused == {"given two labels": 2}
    assert feedback_review.review(NAME, reviews(), accept_all=True).accepted == 0
    feedback_review.review(NAME, reviews(), accept=[id_of("good fun", "negative")])
    assert [entry["label"] for entry in feedback.examine(NAME, reviews(), review=True).new] == ["negative"]
    feedback.take(NAME, reviews(), collect=True)
    assert feedback.examine(NAME, reviews()).withdrawn == frozenset()
    feedback_review.review(NAME, reviews(), accept=[id_of("good fun", "positive")])
    feedback_review.review(NAME, reviews(), reject=[id_of("good fun", "negative")])
    assert feedback.take(NAME, reviews(), collect=True) == 1
    assert [entry["label"] for entry in feedback.read(NAME)] == ["positive"]


def test_a_rejected_sample_is_not_said_to_have_two_labels(root: Path) -> None:
    store_correction(NAME, "positive", "good fun")
    feedback_review.review(NAME, reviews(), reject=[id_of("good fun", "positive")])
    [sample] = feedback_review.samples(NAME, reviews())
    assert (feedback_review.state_of(sample), sample.problem) == ("rejected", None)
    store_correction(NAME, "negative", "good fun")
    assert [sample.problem for sample in feedback_review.samples(NAME, reviews())] == [None, None]


def test_a_contradicting_label_does_not_withdraw_a_collected_sample(root: Path) -> None:
    store_correction(NAME, "positive", "good fun")
    feedback.take(NAME, reviews(), collect=True)
    store_correction(NAME, "negative", "good fun")
    intake = feedback.examine(NAME, reviews())
    assert (intake.new, intake.withdrawn, intake.refused) == ([], frozenset(), {"given two labels": 1})


def test_invalid_decisions_are_reported_and_not_recorded(root: Path) -> None:
    store_correction(NAME, "positive", "good fun")
    store_correction(NAME, "great", "a good film")
    valid, invalid = id_of("good fun", "positive"), id_of("a good film", "great")
    for arguments, problem in (
        ({"accept": [valid, "0000"]}, "--accept: '0000' matches no sample"),
        ({"reject": [valid[:3]]}, f"--reject: '{valid[:3]}' is too short; give at least 4 digits"),
        ({"accept": [valid, invalid]}, f"--accept: {invalid} cannot be used for training: unknown label"),
        ({"accept": [valid], "reject": [valid]}, f"--reject: {valid} is also given to --accept"),
    ):
        with pytest.raises(ParamsError, match=problem):
            feedback_review.review(NAME, reviews(), **arguments)
    with pytest.raises(ParamsError, match="--reason: must be valid UTF-8"):
        feedback_review.review(NAME, reviews(), [valid], reason="bad \udcff")
    assert not paths.reviews(NAME).exists()
    with pytest.raises(DataError, match="run `dvc repro vectorize`"):
        feedback_review.samples("other", reviews())


def shell_with_reviews(root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("COLUMNS", "200")
    dataset = reviews().model_dump(mode="json")
    values = {"seeds": 1, "variants": {"original": {}, "l2": {"l2": 0.1}, "dropout": {}, "smaller": {}, "larger": {}}}
    write_params(root / "params.yaml", values | {"datasets": {NAME: dataset}})
    return Shell(capsys, monkeypatch)


def test_feedback_command_lists_and_decides_samples(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = shell_with_reviews(root, capsys, monkeypatch)
    store_correction(NAME, "positive", "good fun [bold]\x1b[31m")
    store_correction(NAME, "positive", "so so good")
    assert shell.run("feedback", NAME) == 0, shell.stderr
    assert "good fun [bold]\\x1b[31m" in shell.stdout
    assert "reviews: 2 to review, 0 accepted, 0 rejected, 0 invalid" in shell.stderr
    rejected_id = id_of("so so good", "positive")
    assert shell.run("feedback", NAME, "--accept-all", "--reject", rejected_id[:8]) == 0
    assert shell.stdout == "accepted 1, rejected 1; 0 to review\n"
    assert (shell.run("feedback", NAME), shell.stdout) == (0, "")
    assert shell.run("feedback", NAME, "--all", "--json") == 0
    entries = json.loads(shell.stdout)
    assert [(entry["state"], entry["label"]) for entry in entries] == [
        ("accepted", "positive"),
        ("rejected", "positive"),
    ]
    assert shell.run("feedback", NAME, "--accept", "ffff") == 2


@pytest.mark.proves("Texts that the list of users' samples cuts say how many characters are left out")
def test_a_long_text_is_cut_visibly(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = shell_with_reviews(root, capsys, monkeypatch)
    store_correction(NAME, "positive", "good " * 11 + "movie" + " bad" * 500)
    assert shell.run("feedback", NAME, "--all") == 0
    assert "good movie … (2,000 more characters)" in " ".join(shell.stdout.split())


@pytest.mark.proves("A decision about a user's sample counts only for the content and label that were decided on")
def test_a_decision_does_not_count_for_a_sample_with_a_similar_id(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = ("a lovely and wonderful evening, number 0165f2d3", "utterly boring and terrible, worst of all 011ee3bd")
    store_correction(NAME, "positive", pair[0])
    id_ = id_of(pair[0], "positive")
    assert id_.startswith("cda71c13bdbb"), "the other text was found so that both IDs start with these digits"
    feedback_review.review(NAME, reviews(), accept=["cda71c13bdbb"])
    store_correction(NAME, "positive", pair[1])
    assert states() == {pair[0]: "accepted", pair[1]: "waiting"}
    with pytest.raises(ParamsError, match="'cda71c13bdbb' is ambiguous"):
        feedback_review.review(NAME, reviews(), accept=["cda71c13bdbb"])
    shell = shell_with_reviews(root, capsys, monkeypatch)
    assert shell.run("feedback", NAME, "--all") == 0
    assert {id_, id_of(pair[1], "positive")} <= set(shell.stdout.split())
    assert [entry["text"] for entry in feedback.examine(NAME, reviews(), review=True).new] == [pair[0]]


def test_decisions_of_earlier_releases_with_shorter_ids_count(root: Path) -> None:
    store_correction(NAME, "positive", "good fun")
    feedback_review.review(NAME, reviews(), reject=[id_of("good fun", "positive")])
    line = json.loads(paths.reviews(NAME).read_text())
    paths.reviews(NAME).write_text(json.dumps(line | {"sample": line["sample"][:12]}) + "\n")
    assert states() == {"good fun": "rejected"}


DECIDE = """
import sys
from feedforward.data import feedback_decisions
for number in range(10**6):
    entries = [{"digest": f"{number}-{k}", "label": "positive"} for k in range(50)]
    feedback_decisions.append("reviews", entries, "accepted", "command", "x" * 500)
    print(number, flush=True)
"""


@pytest.mark.slow
def test_a_reported_decision_is_not_lost_if_the_process_is_killed(root: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", DECIDE], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        reported = [int(process.stdout.readline()) for _ in range(20)]
        process.send_signal(signal.SIGKILL)
        reported += [int(line) for line in process.stdout if line.endswith("\n")]
    decisions = feedback_decisions.read(NAME)
    for number in reported:
        for k in range(50):
            entry = {"digest": f"{number}-{k}", "label": "positive"}
            assert decisions[feedback_decisions.sample_id(entry)].verdict == "accepted"
    feedback_decisions.append(NAME, [{"digest": "last", "label": "positive"}], "rejected", "page", "")
    last = feedback_decisions.read(NAME)[feedback_decisions.sample_id({"digest": "last", "label": "positive"})]
    assert last.verdict == "rejected"
