"""Archives are reproducible, contain nothing private, and have metadata that other programs accept."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import mlcroissant
import pytest
import yaml
from mlflow import MlflowClient
from rocrate.rocrate import ROCrate
from shell import Shell
from small_data import values, write_params

from feedforward.archive import contents, writing
from feedforward.config.schema import load_params
from feedforward.core import atomic_files
from feedforward.core.errors import DataError
from feedforward.data import collected_files
from feedforward.reports import html_page
from feedforward.tracking import model_version, names, settings

VALIDATOR = shutil.which("rocrate-validator")


@pytest.fixture
def archive(workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of this test's workspace."""
    target = tmp_path_factory.mktemp("elsewhere") / "result.zip"
    writing.write(writing.collect(load_params()), target)
    return target


def test_archives_of_the_same_content_are_identical(archive: Path, tmp_path: Path) -> None:
    (tmp_path / "reports" / "comparison" / "index.html").touch()  # modification times must not matter
    second = archive.with_name("again.zip")
    writing.write(writing.collect(load_params()), second)
    assert second.read_bytes() == archive.read_bytes()


def test_archive_contains_all_results_and_nothing_private(unpacked: Path, workspace: Path) -> None:
    names = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()}
    served = {"manifest.json", "description.json", "network.json", "weights.npz", "vocabulary.txt", "model.keras"}
    assert {
        *("params.yaml", "pipeline.yaml", "versions.json", "data/trained/fair.json", "reports/comparison/index.html"),
        *(f"data/vectorized/{name}/manifest.json" for name in ("notes", "tones")),
        *(f"data/raw/{name}/croissant.json" for name in ("notes", "tones")),
        *("ro-crate-metadata.json", "digests.json", "README.md", "models/notes/decisions.jsonl"),
        *(f"models/notes/1/{name}" for name in served),
    } <= names
    for name in names:
        content = (unpacked / name).read_bytes()
        for private in (b"swordfish", str(workspace).encode(), b"/srv/mirror"):
            assert private not in content, (name, private)
    assert load_params(unpacked / "params.yaml").mirrors == ("files",)


@pytest.mark.parametrize("style", ["plain", "'", '"'])
@pytest.mark.parametrize("width", [20, 40, 80, 4096])
def test_a_path_is_replaced_however_yaml_writes_it(workspace: Path, style: str, width: int) -> None:
    """YAML folds long values at blanks; in quotes, it doubles apostrophes or escapes letters."""
    folder = "/srv/Größe of all 😀 things/Ann's internal project Nightingale - do not share its name"
    plain = values(mirrors=[f"{folder}/files"])
    with (workspace / "params.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(plain, file, default_style=style.strip("plain") or None, width=width)
    params = load_params()
    assert params.mirrors == (f"{folder}/files",)
    (workspace / "params.yaml").write_bytes(contents.gather(params)["params.yaml"])
    assert load_params().mirrors == ("files",)


@pytest.mark.proves("`export` states the libraries and the kind of CPU that computed the results, not its own")
def test_versions_are_those_of_the_results(unpacked: Path) -> None:
    trained = json.loads((unpacked / "data" / "trained" / "fair.json").read_text())
    versions = json.loads((unpacked / "versions.json").read_text())
    assert versions["computed_by"] == {"fair": trained["computed_by"]}
    assert versions["computed_by"]["fair"]["libraries"] == {"numpy": "1.0"}


@pytest.mark.proves("Labels in an archive that look like paths are the same as in params.yaml")
def test_labels_that_look_like_paths_are_not_shortened(workspace: Path) -> None:
    plain = values(mirrors=["/srv/mirror of mine/files"], shards="/srv/shards")
    plain["datasets"]["notes"] |= {"labels": ["/a/x", "/b/x"]}
    plain["datasets"]["notes"]["files"]["texts"]["urls"] = ["file:/srv/texts.tar"]
    write_params(workspace / "params.yaml", plain)
    (workspace / "exported.yaml").write_bytes(writing.collect(load_params())["params.yaml"])
    exported = load_params(workspace / "exported.yaml")
    assert exported.datasets["notes"].labels == ("/a/x", "/b/x")
    assert exported.datasets["notes"].files["texts"].urls == ("texts.tar",)
    assert (exported.mirrors, exported.shards) == (("files",), "shards")


def test_keys_and_numbers_of_results_are_not_redacted(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = workspace / "reports" / "comparison" / "metrics.json"
    path.write_text('{"temperature": 0.4321, "note": "temperature"}')
    monkeypatch.setenv("SORT_KEY", "temperature")
    files = contents.gather(load_params())
    assert json.loads(files["reports/comparison/metrics.json"]) == {"temperature": 0.4321, "note": "***"}


@pytest.mark.proves("The archived report has the same tags and scripts, wherever the workspace is")
@pytest.mark.parametrize("folder", ["/code", "/p", "/script", "/table"])
def test_a_workspace_named_like_a_tag_leaves_pages_intact(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    page = workspace / "reports" / "comparison" / "index.html"
    script = f"<script>const quotient = 8 {folder}/2</script>"
    page.write_text(f"{page.read_text()}<code>{folder}/reports</code>{script}")
    monkeypatch.setenv("HOME", folder)
    exported = contents.gather(load_params())["reports/comparison/index.html"].decode()
    assert "<code>~/reports</code>" in exported
    assert exported.endswith(script)
    tags = re.compile(r"</?[a-z]+")
    assert tags.findall(exported) == tags.findall(page.read_text())
    policy = html.unescape(exported.partition('Content-Security-Policy" content="')[2].partition('"')[0])
    assert html_page.digests(exported, "script")[0] in policy


def test_a_tampered_model_is_not_exported(workspace: Path) -> None:
    [weights_file] = (workspace / "mlruns").rglob("data/served/weights.npz")
    weights_file.write_bytes(weights_file.read_bytes() + b"0")
    with pytest.raises(DataError, match=r"weights\.npz: has changed"):
        writing.collect(load_params())


def test_a_champion_without_a_digest_is_not_exported(workspace: Path) -> None:
    client = MlflowClient(settings.tracking_uri())
    client.delete_model_version_tag(names.registered_model("notes"), "1", model_version.DIGEST)
    with pytest.raises(DataError, match="is not the result of a promotion"):
        writing.collect(load_params())


def test_export_without_results_is_an_error(workspace: Path) -> None:
    (workspace / "data" / "trained" / "fair.json").unlink()
    with pytest.raises(DataError, match="no results to export; run `feedforward run`"):
        writing.collect(load_params())


def test_a_folder_that_an_export_would_delete_is_kept(
    workspace: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    target = tmp_path_factory.mktemp("elsewhere") / "result"
    folder = target.with_name("result.partial")
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match=r"result\.partial: exists and is not an archive; name another folder, or"):
        writing.write(writing.collect(load_params()), target)
    assert (folder / "thesis.txt").read_text() == "years of work"


def test_a_folder_that_is_not_an_archive_is_kept(workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder, files = tmp_path_factory.mktemp("mine"), writing.collect(load_params())
    digest = writing.write(files, folder)  # allowed, because the folder is empty
    assert writing.write(files, folder) == digest  # allowed, because the folder is an archive
    (folder / "digests.json").unlink()
    with pytest.raises(DataError, match="exists and is not an archive"):
        writing.write(files, folder)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["plot (1).png"], "must not contain the name 'reports/comparison/plot (1).png'; rename it"),
        (["plot.svg"], "must not contain the name 'reports/comparison/plot.svg'; rename it"),
        (["a.png", "A.png"], "has two files with the same name, ignoring case; rename it"),
    ],
    ids=["characters", "ending", "case"],
)
def test_a_name_that_import_would_refuse_is_not_exported(workspace: Path, names: list[str], message: str) -> None:
    for name in names:
        atomic_files.write_text(workspace / "reports" / "comparison" / name, "x")
    with pytest.raises(DataError) as caught:
        writing.collect(load_params())
    assert message in str(caught.value)


def test_hidden_and_temporary_files_are_not_exported(workspace: Path) -> None:
    before = writing.collect(load_params())
    for name in (".gitignore", "plots/.DS_Store", ".hidden/a.md", "a.md.partial", "plots.partial/a.md"):
        atomic_files.write_text(workspace / "reports" / "comparison" / name, "x")
    assert writing.collect(load_params()) == before


def test_a_result_that_links_to_a_file_elsewhere_is_not_exported(
    workspace: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    private = tmp_path_factory.mktemp("elsewhere") / "private.md"
    private.write_text("x")
    (workspace / "reports" / "comparison" / "private.md").symlink_to(private)
    (workspace / "reports" / "comparison" / "copy.html").symlink_to("index.html")
    exported = contents.gather(load_params())
    assert "reports/comparison/private.md" not in exported
    assert exported["reports/comparison/copy.html"] == exported["reports/comparison/index.html"]


def test_a_link_to_a_file_is_kept(
    workspace: Path, small_shell: Shell, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "latest.zip").symlink_to("result-1")
    assert small_shell.run("export", str(folder / "latest.zip")) == 0
    assert (folder / "latest.zip").is_symlink()
    assert small_shell.run("import", str(folder / "result-1"), "--to", str(folder / "new")) == 0


# --- metadata, read with the library of each standard ---------------------------------------------


def test_rocrate_reads_the_archive_as_a_workflow_run(unpacked: Path) -> None:
    crate = ROCrate(str(unpacked))
    assert {"File", "SoftwareSourceCode", "ComputationalWorkflow"} == set(crate.mainEntity.type)
    [run] = [entity for entity in crate.get_entities() if entity.type == "CreateAction"]
    assert run["instrument"] is crate.mainEntity
    assert {entity.id for entity in run["object"]} >= {"params.yaml", "data/raw/notes/croissant.json"}
    results = {entity.id for entity in run["result"]}
    assert results >= {"data/trained/fair.json", "reports/comparison/index.html"}
    assert not any(name.startswith("models/") for name in results)  # a champion may come from an earlier run
    parts = {entity.id for entity in crate.root_dataset["hasPart"]}
    unpacked_files = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()}
    assert parts == unpacked_files - {"ro-crate-metadata.json", "digests.json"}
    assert "https://w3id.org/ro/wfrun/workflow/0.5" in {entity.id for entity in crate.root_dataset["conformsTo"]}


@pytest.mark.slow
@pytest.mark.skipif(
    VALIDATOR is None, reason="needs roc-validator, which is installed separately and downloads JSON-LD contexts"
)
def test_roc_validator_finds_no_violations(unpacked: Path) -> None:
    assert VALIDATOR is not None
    options = ["--no-paging", "--requirement-severity", "required", "--profile-identifier", "workflow-run-crate-0.5"]
    process = subprocess.run([VALIDATOR, "-y", "validate", *options, unpacked], capture_output=True, text=True)
    assert process.returncode == 0, process.stdout


def test_mlcroissant_reads_the_texts_in_the_raw_files(workspace: Path) -> None:
    folder, texts = workspace / "data" / "raw" / "notes", {"test/sad/1.txt": b"word1", "train/glad/2.txt": b"word2"}
    folder.mkdir(parents=True)
    with (folder / "texts.parquet").open("wb") as file:
        collected_files.write(list(texts), [5, 5], texts.__getitem__, file)
    croissant = writing.collect(load_params())["data/raw/notes/croissant.json"]
    (folder / "croissant.json").write_bytes(croissant)
    records = list(mlcroissant.Dataset(str(folder / "croissant.json")).records("samples"))
    assert [record["samples/path"] for record in records] == [name.encode() for name in texts]
    assert [record["samples/content"] for record in records] == list(texts.values())


@pytest.mark.parametrize("name", ["notes", "tones"])
def test_mlcroissant_finds_no_errors(unpacked: Path, name: str) -> None:
    dataset = mlcroissant.Dataset(str(unpacked / "data" / "raw" / name / "croissant.json"))
    assert not dataset.metadata.ctx.issues.errors
    labels = [record["labels/name"] for record in dataset.records("labels")]
    assert labels == list(load_params().datasets[name].labels)
    croissant = json.loads((unpacked / "data" / "raw" / name / "croissant.json").read_text())
    assert load_params().datasets[name].title in croissant["description"]
