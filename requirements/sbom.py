"""Write a software bill of materials (CycloneDX 1.6): python requirements/sbom.py [cpu|gpu|cluster|dev] [FILE].

It lists the packages that requirements/NAME.txt installs on this kind of machine, with the hashes from that lock file.
It also lists the champion of each dataset (the model version that answers requests), after verifying it, with the
digests of its files and data, and the contents of its model card.
"""

import importlib.metadata
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from feedforward.config.schema import Dataset, Params, load_params
from feedforward.core import atomic_files, environment, paths
from feedforward.core.errors import FeedforwardError, NothingToServe
from feedforward.promotion import bundle, model_card, signatures
from feedforward.serving import prediction
from feedforward.serving.prediction import LoadedVersion
from feedforward.tracking import model_version, model_versions, settings

HERE = Path(__file__).resolve().parent
PROJECT = "feedforward"


@dataclass(frozen=True)
class Package:
    """A package in the lock file. hashes: SHA-256 (hex) of each file of this version; one of the files is installed."""

    name: str
    version: str
    hashes: tuple[str, ...]


def locked_packages(text: str) -> Iterator[Package]:
    """Yield the packages that a requirements file installs on this machine."""
    for entry in re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]:
        requirement = Requirement(re.split(r"\s*\\\n|\n", entry, maxsplit=1)[0])
        if requirement.marker is None or requirement.marker.evaluate():
            [pin] = requirement.specifier
            hashes = tuple(sorted(re.findall(r"--hash=sha256:([0-9a-f]{64})", entry)))
            yield Package(canonicalize_name(requirement.name), pin.version, hashes)


def _component(package: Package) -> Component:
    purl = PackageURL("pypi", name=package.name, version=package.version)
    reference = str(purl)
    files = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(reference),
        comment="hashes of the files of this version, one of which is installed",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in package.hashes],
    )
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.LIBRARY,
        purl=purl,
        bom_ref=reference,
        external_references=[files],
        licenses=[LicenseFactory().make_from_string(text) for text in _licenses(package.name)],
    )


def _licenses(name: str) -> list[str]:
    """Return the license that an installed package declares, such as an SPDX expression; empty if there is none."""
    try:
        metadata = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return []
    declared = metadata.get("License-Expression") or metadata.get("License") or ""
    if not declared or "\n" in declared or len(declared) > 100:  # some packages give the whole text of the license
        classifiers = [line for line in metadata.get_all("Classifier") or [] if line.startswith("License ::")]
        declared = classifiers[0].rpartition(" :: ")[2] if classifiers else ""
    return [declared] if declared else []


def _required_packages(name: str, locked: Mapping[str, Component]) -> list[Component]:
    """Return the locked packages that an installed package requires on this machine, without extras."""
    try:
        lines = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    requirements = (Requirement(line) for line in lines)
    names = {
        canonicalize_name(requirement.name)
        for requirement in requirements
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
    }
    return [locked[other] for other in sorted(names & locked.keys())]


# --- models ----------------------------------------------------------------------------------


def _sha256(digest: str) -> list[HashType]:
    return [HashType(alg=HashAlgorithm.SHA_256, content=digest)]


def _data_component(name: str, dataset: Dataset, digest: str) -> Component:
    """Return the vectorized data of a dataset, with the source files whose SHA-256 is in params.yaml."""
    sources = [
        Component(name=key, type=ComponentType.FILE, bom_ref=f"source:{name}/{key}", hashes=_sha256(file.sha256))
        for key, file in dataset.files.items()
        if file.sha256
    ]
    return Component(
        name=dataset.title,
        type=ComponentType.DATA,
        bom_ref=f"data:{name}@{digest[:12]}",
        hashes=_sha256(digest),
        components=sources,
    )


def _model_component(name: str, champion: LoadedVersion) -> Component:
    description = champion.served.description
    folder = model_versions.folder(champion.version, model_version.SERVED)
    contents = {file: entry["sha256"] for file, entry in atomic_files.read_json(folder / bundle.MANIFEST).items()}
    contents[bundle.MANIFEST] = champion.served.digest
    reference = f"model:{name}@{champion.version.number}"
    facts = {
        "variant": description.variant, "seed": description.seed, "epochs": description.epochs,
        "run": description.run_id, "fingerprint": description.fingerprint, "weights": description.weights_digest,
        "signed": str(signatures.required() is not None).lower(),
    }  # fmt: skip
    return Component(
        name=name,
        version=str(champion.version.number),
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=reference,
        description=description.title,
        hashes=_sha256(champion.served.digest),
        properties=[Property(name=f"{PROJECT}:{key}", value=str(value)) for key, value in facts.items()],
        components=[
            Component(name=file, type=ComponentType.FILE, bom_ref=f"{reference}/{file}", hashes=_sha256(digest))
            for file, digest in contents.items()
        ],
    )


def _model_card(champion: LoadedVersion, data: str, metrics: Mapping[str, float], test_samples: int) -> dict[str, Any]:
    """Return the model card as CycloneDX defines it; the library does not support model cards yet."""
    served, description = champion.served, champion.served.description
    sizes = [served.network.columns, *(layer.kernel.shape[1] for layer in served.network.layers)]
    parameters = {
        "approach": {"type": "supervised"},
        "task": description.task_name,
        "architectureFamily": "feedforward network",
        "modelArchitecture": "dense " + "-".join(map(str, sizes)),
        "datasets": [{"ref": data}],
        "inputs": [{"format": served.encoder.sample_kind}],
        "outputs": [{"format": f"{description.task_definition.answers}: {', '.join(description.labels)}"}],
    }
    performance = []
    for key, value in sorted(metrics.items()):
        entry: dict[str, Any] = {"type": key, "value": f"{value:.6g}"}
        if key.startswith("test_"):
            entry["slice"] = f"test split, {test_samples} samples"
        elif key.startswith("seen_"):
            entry["slice"] = "validation split, which was also used to train this model"
        if key == "test_accuracy" and test_samples and description.task_definition.answers == "class":
            low, high = model_card.wilson(value, test_samples)
            entry["confidenceInterval"] = {"lowerBound": f"{low:.6g}", "upperBound": f"{high:.6g}"}
        performance.append(entry)
    return {
        "modelParameters": parameters,
        "quantitativeAnalysis": {"performanceMetrics": performance},
        "considerations": {"technicalLimitations": list(model_card.LIMITATIONS[served.encoder.sample_kind])},
    }


def _metrics(champion: LoadedVersion) -> dict[str, float]:
    """Return the test metrics of the champion's run, and the metrics of its evaluation before the promotion."""
    from feedforward.tracking.registry import Registry

    runs = {run.run_id: run for run in Registry().find_runs(champion.version.dataset, role="final")}
    run = runs.get(champion.version.run_id)
    tested = {key: value for key, value in run.metrics.items() if key.startswith("test_")} if run else {}
    return tested | json.loads(champion.version.tags.get("evaluation", "{}"))


def _add_models(bom: Bom, params: Params) -> dict[str, dict[str, Any]]:
    """Add the champions and their data; return the model cards by reference."""
    cards = {}
    settings.apply()
    for name, dataset in params.datasets.items():
        try:
            champion = prediction.champion(name, dataset=dataset)
        except NothingToServe as error:
            print(f"no model listed for {name}: {error}")
            continue
        model = _model_component(name, champion)
        data = _data_component(name, dataset, champion.served.description.data_digest)
        for component in (model, data):
            bom.components.add(component)
        bom.register_dependency(model, [data])
        manifest = paths.vectorized(name) / "manifest.json"
        samples = atomic_files.read_json(manifest)["samples"]["test"] if manifest.is_file() else 0
        cards[str(model.bom_ref)] = _model_card(champion, str(data.bom_ref), _metrics(champion), samples)
    return cards


def make(lock: Path, params: Params) -> str:
    """Return the bill of materials as JSON.

    Raises:
        FeedforwardError: a champion's files have changed, the registry does not answer, or the result is invalid.
    """
    bom = Bom()
    bom.metadata.component = Component(
        name=PROJECT, version=importlib.metadata.version(PROJECT), type=ComponentType.APPLICATION, bom_ref=PROJECT,
        licenses=[LicenseFactory().make_from_string("MIT")],
    )  # fmt: skip
    packages = {package.name: _component(package) for package in locked_packages(lock.read_text(encoding="utf-8"))}
    for component in packages.values():
        bom.components.add(component)
    for name, component in packages.items():
        bom.register_dependency(component, _required_packages(name, packages))
    bom.register_dependency(bom.metadata.component, _required_packages(PROJECT, packages))
    cards = _add_models(bom, params)
    content = json.loads(JsonV1Dot6(bom).output_as_string())
    for component in content["components"]:
        if component["bom-ref"] in cards:
            component["modelCard"] = cards[component["bom-ref"]]
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    if problem := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        raise FeedforwardError(f"the bill of materials does not conform to CycloneDX 1.6: {problem}"[:500])
    return text


def main(name: str = "cpu", file: str = "") -> int:
    """Write the file (default: reports/sbom.cdx.json), and return the exit code."""
    environment.prepare()
    try:
        text = make(HERE / f"{name}.txt", load_params())
        target = Path(file) if file else paths.root() / "reports" / "sbom.cdx.json"
        atomic_files.write_text(target, text)
    except FeedforwardError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    kinds = [component["type"] for component in json.loads(text)["components"]]
    models = kinds.count("machine-learning-model")
    print(f"{target}: {kinds.count('library')} packages, {models} {'model' if models == 1 else 'models'}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
