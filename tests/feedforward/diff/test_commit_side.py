"""Results read from a commit, one of the two sides of a diff, with missing, damaged or hostile outputs."""

import hashlib
import json
from pathlib import Path

import pytest
from git_repositories import commit
from small_data import values, write_params

from feedforward.core.errors import DataError, ParamsError
from feedforward.diff import commit_side, comparison, dvc_outputs
from feedforward.diff.repository import Repository
from feedforward.diff.sides import Figure, Side

TABLE = "dataset,variant,statistic,n,mean,low,high\nnotes,original,best_epoch,5,4.4,3.3,5.5\nnotes,l2,rise,1,0.1,,\n"
VERDICTS = json.dumps([{"dataset": "notes", "claim": {"text": "l2 helps"}, "outcome": "undecided"}])
NAMES = ("table.csv", "verdicts.json")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a DVC cache."""
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".gitignore").write_text("/.dvc/cache\n")
    write_params(tmp_path / "params.yaml", values())
    monkeypatch.setenv("FEEDFORWARD_ROOT", str(tmp_path))
    return tmp_path


def cache(root: Path, content: str, folder: bool = False) -> str:
    """Write `content` to DVC's cache, and return its digest. folder: whether it is the listing of a folder."""
    digest = hashlib.md5(content.encode(), usedforsecurity=False).hexdigest() + (".dir" if folder else "")
    path = root / ".dvc" / "cache" / "files" / "md5" / digest[:2] / digest[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return digest


def commit_outputs(root: Path, **outputs: str) -> Side:
    """Commit a dvc.lock that lists these digests of report files, and return the commit as a side of a diff."""
    lines = [f"    - {{path: reports/comparison/{name}, md5: {digest}}}" for name, digest in outputs.items()]
    (root / "dvc.lock").write_text("\n".join(["schema: '2.0'", "stages:", "  compare:", "    outs:", *lines, ""]))
    commit_id, repository = commit(root, "results"), Repository(root)

    def no_store() -> None:
        raise AssertionError("the store is not needed")

    return commit_side.commit_side(commit_id, "HEAD", repository, no_store)  # type: ignore[arg-type]


def test_claims_with_the_same_text_are_told_apart(root: Path) -> None:
    text = {"text": "l2 helps", "left": "l2"}
    claims = [
        text | {"statistic": "rise", "direction": "lower", "right": "original"},
        text | {"statistic": "best_epoch", "direction": "higher", "value": 7.0},
    ]
    outcomes = zip(claims, ("supported", "undecided"), strict=True)
    verdicts = json.dumps([{"dataset": "notes", "claim": claim, "outcome": outcome} for claim, outcome in outcomes])
    side = commit_outputs(root, **{"verdicts.json": cache(root, verdicts)})
    assert side.verdicts == {
        "notes: l2 helps (rise of l2 lower original)": "supported",
        "notes: l2 helps (best_epoch of l2 higher 7.0)": "undecided",
    }


def test_metrics_verdicts_and_parameters_are_read_from_the_commit(root: Path) -> None:
    digests = dict(zip(NAMES, (cache(root, TABLE), cache(root, VERDICTS)), strict=True))
    side = commit_outputs(root, **digests)
    assert side.figures == {"notes original best_epoch": Figure(4.4, 3.3, 5.5), "notes l2 rise": Figure(0.1)}
    assert side.verdicts == {"notes: l2 helps": "undecided"}
    assert side.params["datasets.notes.training.epochs"] == "3"
    assert side.remarks == ()


@pytest.mark.proves("`diff` says if a commit's results were computed with other parameters than its params.yaml has")
def test_results_of_other_parameters_than_the_commits_are_noted(root: Path) -> None:
    used = values()
    write_params(root / "params.yaml", used | {"seeds": 77})
    record = "    params: {params.yaml: {" + f"variants: {json.dumps(used['variants'])}, seeds: " + "%d}}"
    (root / "dvc.yaml").write_text("stages: {train: {}}\n")
    lines = ["stages:", "  train@former:", record % 1, "  fit:", record % 1, "  train:"]  # `fit`: its name before
    for seeds, remarks in (
        (77, []),
        (used["seeds"], [f"were computed with seeds {used['seeds']}, not with its params.yaml; check out"]),
    ):
        (root / "dvc.lock").write_text("\n".join([*lines, record % seeds, ""]))
        side = commit_side.commit_side(commit(root, f"{seeds}"), "HEAD", Repository(root), lambda: None)  # type: ignore
        found = [remark for remark in side.remarks if remark.startswith("results of commit")]
        assert len(found) == len(remarks)
        assert all(expected in remark for expected, remark in zip(remarks, found, strict=True))


@pytest.mark.parametrize(("recorded", "different"), [("4.4", []), ("4.5", ["notes original best_epoch"])])
def test_what_one_commit_lacks_in_the_cache_is_not_a_difference(
    root: Path, recorded: str, different: list[str]
) -> None:
    metrics = root / "reports/comparison/metrics.json"
    metrics.parent.mkdir(parents=True)
    metrics.write_text('{"notes": {"original": {"best_epoch": ' + recorded + "}}}")
    a = commit_outputs(root, **dict.fromkeys(NAMES, "f" * 32))
    b = commit_outputs(root, **dict(zip(NAMES, (cache(root, TABLE), cache(root, VERDICTS)), strict=True)))
    for sides in ((a, b), (b, a)):
        compared = comparison.compare(*sides, Repository(root))
        assert [change.name for change in compared.figures] == different
        assert compared.verdicts == []
        assert [line.split(" of commit")[0] for line in compared.remarks] == ["intervals", "verdicts"]
        assert all("check out the commit, and run `dvc fetch` if" in line for line in compared.remarks)
    metrics.write_text("[damaged")
    damaged = commit_outputs(root, **dict.fromkeys(NAMES, "f" * 32))
    compared = comparison.compare(a, damaged, Repository(root))
    assert compared.same, "neither side's values can be compared"
    assert any(line.startswith("metrics of commit") for line in compared.remarks)


@pytest.mark.parametrize("content", ["", "no json", "[]]", '[{"dataset": 1}]', "a,b\n1,2\n", "\0" * 50])
def test_damaged_outputs_are_noted_in_one_line(root: Path, content: str) -> None:
    side = commit_outputs(root, **dict.fromkeys(NAMES, cache(root, content)))
    assert all(len(line.splitlines()) == 1 for line in side.remarks)
    assert not side.verdicts
    assert any(line.startswith("verdicts of commit") for line in side.remarks)


def test_a_damaged_dvc_lock_is_reported_and_malformed_entries_are_ignored(root: Path) -> None:
    (root / "dvc.lock").write_text("stages: [")
    commit_id = commit(root, "damaged")
    with pytest.raises(ParamsError, match=r"dvc.lock of commit .* is not valid YAML"):
        dvc_outputs.read_yaml(Repository(root), commit_id, "dvc.lock")
    for lock in ({"stages": None}, {"stages": {"a": None}}, {"stages": {"a": {"outs": ["x"]}}}, {}):
        assert dvc_outputs.digests(lock) == {}


@pytest.mark.parametrize("name", ["../outside", "/outside", "", "a/../../outside"])
def test_a_directory_listing_cannot_refer_to_files_outside_its_folder(root: Path, tmp_path: Path, name: str) -> None:
    listing = json.dumps([{"relpath": name, "md5": cache(root, "x")}])
    with pytest.raises(DataError, match="the list of this folder's files in DVC's cache is damaged"):
        dvc_outputs.link(cache(root, listing, folder=True), "data/raw/notes", tmp_path / "inside" / "target")
    assert not (tmp_path / "inside").exists()


def test_a_folder_is_recreated_with_links_to_the_cache(root: Path, tmp_path: Path) -> None:
    listing = json.dumps(
        [{"relpath": "train/a.txt", "md5": cache(root, "a")}, {"relpath": "b", "md5": cache(root, "b")}]
    )
    target = dvc_outputs.link(cache(root, listing, folder=True), "data/raw/notes", tmp_path / "shown")
    assert (target / "train" / "a.txt").read_text() == "a"
    assert (target / "b").is_symlink()
    empty = dvc_outputs.link(cache(root, "[]", folder=True), "data/collected/notes", tmp_path / "empty")
    assert list(empty.iterdir()) == []
