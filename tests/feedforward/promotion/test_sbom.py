"""`make sbom` writes a valid CycloneDX file that lists the locked packages and the verified champions."""

import html
import json
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import registered
import scripts
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from markdown_it import MarkdownIt
from registered import NAME
from small_data import TEST

from feedforward.config.schema import Params
from feedforward.promotion import bundle, model_card
from feedforward.promotion.bundle import Description
from feedforward.promotion.policy import Decision, Evidence
from feedforward.tracking import model_version, model_versions
from feedforward.tracking.registry import Registry

if TYPE_CHECKING:
    from feedforward.tracking import Store

pytestmark = pytest.mark.slow

REQUIREMENTS = Path(__file__).parents[3] / "requirements"


@pytest.fixture(scope="module")
def sbom() -> ModuleType:
    return scripts.load(REQUIREMENTS / "sbom.py")


def test_sbom_is_valid_and_lists_packages_and_champions(
    sbom: ModuleType, params: Params, small_store: "Store", tmp_path: Path
) -> None:
    registry = Registry()
    run = registered.final_run(small_store, params)
    version = registered.version(registry, run, 1.0)
    registry.set_alias(version, "champion")
    target = tmp_path / "sbom.json"
    assert sbom.main("cpu", str(target)) == 0
    text = target.read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    content = json.loads(text)
    components: dict[str, Any] = {component["name"]: component for component in content["components"]}

    lock = (REQUIREMENTS / "cpu.txt").read_text()
    numpy = components["numpy"]
    assert f"numpy=={numpy['version']}" in lock
    assert all(entry["content"] in lock for entry in numpy["externalReferences"][0]["hashes"])
    assert "BSD" in json.dumps(numpy["licenses"])
    dependencies = {entry["ref"]: entry.get("dependsOn", []) for entry in content["dependencies"]}
    assert numpy["purl"] in dependencies["feedforward"]
    assert numpy["purl"] in dependencies[components["scipy"]["purl"]]

    model = components[NAME]
    assert (model["type"], model["version"]) == ("machine-learning-model", str(version.number))
    assert model["hashes"] == [{"alg": "SHA-256", "content": version.tags["digest"]}]
    files = {file["name"] for file in model["components"]}
    assert files == {p.name for p in model_versions.folder(version, model_version.SERVED).iterdir()}
    card = model["modelCard"]
    assert card["modelParameters"]["task"] == "binary"
    [dataset] = [component for component in content["components"] if component["type"] == "data"]
    assert card["modelParameters"]["datasets"] == [{"ref": dataset["bom-ref"]}]
    assert dataset["hashes"][0]["content"] == run.tags["data_digest"]
    metrics = {entry["type"]: entry for entry in card["quantitativeAnalysis"]["performanceMetrics"]}
    assert metrics["test_accuracy"]["value"] == "0.9"
    low, _ = model_card.wilson(0.9, TEST)
    assert float(metrics["test_accuracy"]["confidenceInterval"]["lowerBound"]) == pytest.approx(low, abs=1e-5)
    assert card["considerations"]["technicalLimitations"] == list(model_card.LIMITATIONS["text"])


def test_no_sbom_is_written_if_a_champion_was_tampered_with(
    sbom: ModuleType, small: Params, small_store: "Store", tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = registered.champion(small_store, small)
    (model_versions.folder(version, model_version.SERVED) / bundle.DESCRIPTION).write_text("{}")
    assert sbom.main("cpu", str(tmp_path / "sbom.json")) == 1
    assert "has changed since it was registered" in capsys.readouterr().err
    assert not (tmp_path / "sbom.json").exists()


def test_sbom_without_a_champion_lists_no_model(
    sbom: ModuleType, small: Params, small_store: "Store", tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sbom.main("cpu", str(tmp_path / "sbom.json")) == 0
    assert "packages, 0 models" in capsys.readouterr().out


def test_lock_file_entries_for_other_platforms_are_left_out(sbom: ModuleType) -> None:
    text = (
        f"one==1.0 \\\n    --hash=sha256:{'a' * 64} \\\n    --hash=sha256:{'b' * 64}\n    # via two\n"
        f"other==2 ; sys_platform == 'no-such' \\\n    --hash=sha256:{'c' * 64}\n"
        f"Two_X==3 ; python_version > '3' \\\n    --hash=sha256:{'d' * 64}\n"
    )
    packages = list(sbom.locked_packages(text))
    assert [(package.name, package.version) for package in packages] == [("one", "1.0"), ("two-x", "3")]
    assert packages[0].hashes == ("a" * 64, "b" * 64)


def test_the_card_says_if_a_temperature_did_not_lower_the_cross_entropy() -> None:
    description = Description("d", "D", ("no", "yes"), "original", 0, 2, 90, "r", "f", "d", "w", temperature=1.2)
    for scaled, is_said in ((0.19, False), (0.21, True)):
        [line] = model_card._calibration(description, {"scaled_cross_entropy": scaled, "cross_entropy": 0.2})
        assert ("cross-entropy was not lower with a temperature than without" in line) == is_said


def test_the_card_shows_names_from_data_as_they_are() -> None:
    names = ("<b>bold</b>", "*star* _it_", "~~x~~ a|b", "[link](http://x)", "`code` &amp; \\*", "# @me www.x.org")
    description = Description("d", names[0], names, "original", 0, 2, 90, "r", "f", "d", "w", task="multiclass")
    facts = model_card.Facts(
        "v", "text", description, {}, {}, [{}], {}, {"latency_ms": 1.0, "bytes": 1e6}, {},
        Evidence(np.array([[0.1]]), np.array([True])), Decision(False, f"worse on {names[3]}", None, (0.5,) * 6),
    )  # fmt: skip
    page = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(model_card.write(facts))
    assert f"It predicts one of the classes {html.escape(', '.join(names))}." in page
    assert f"worse on {html.escape(names[3])}." in page
    assert f"<h1>v: {html.escape(names[0])}</h1>" in page
    assert all(f"<td>validation accuracy on {html.escape(name)}</td>" in page for name in names)
    assert "http://x" not in model_card.write(facts)  # MLflow's page makes links of such text


def facts_of(metrics: list[dict[str, float]], evidence: Evidence) -> model_card.Facts:
    description = Description("d", "D", ("no", "yes"), "original", 0, 2, 90, "r", "f", "d", "w", task="binary")
    decision = Decision(True, "", None, ())
    return model_card.Facts(
        "v", "text", description, {"samples": {"test": 10}}, {}, metrics, metrics[0], {}, {}, evidence, decision
    )


@pytest.mark.parametrize(("samples", "has_interval"), [(1, False), (2, True)])
def test_the_card_has_no_interval_for_a_loss_on_a_single_sample(samples: int, has_interval: bool) -> None:
    evidence = Evidence(np.tile([[0.1], [0.2], [0.3]], samples), np.ones(samples, bool))
    own, mean = model_card._validation_metrics(facts_of([{}], evidence))[:2]
    assert (own[1], mean[1], bool(mean[2])) == ("0.1000", "0.2000", has_interval)


@pytest.mark.parametrize("others", [(0.94, 0.93), (0.95, 0.94), ()])
def test_the_card_has_the_mean_over_seeds_even_if_several_have_the_same_accuracy(
    others: tuple[float, ...],
) -> None:
    metrics = [{"test_accuracy": accuracy, "test_loss": 0.2, "test_loss_se": 0.01} for accuracy in (0.95, *others)]
    measured = model_card._test_metrics(facts_of(metrics, Evidence(np.array([[0.1]]), np.array([True]))))
    rows = {row[0]: bool(row[2]) for row in measured if row[3].startswith("mean over")}
    # all losses are equal, which does not show how much seeds vary
    assert rows == ({"test accuracy": True, "test loss": False} if others else {})
    [own] = [row for row in measured if row[0] == "test loss" and "this model" in row[3]]
    assert own[2] == "[0.1774, 0.2226]"  # 9 degrees of freedom
