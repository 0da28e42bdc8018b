"""ro-crate-metadata.json: the archive as a Workflow Run RO-Crate (https://w3id.org/ro/wfrun/workflow/0.5).

The workflow is pipeline.yaml, a copy of dvc.yaml; its run turned params.yaml and the data into the results and the
report.
"""

import mimetypes
from collections.abc import Mapping, Sequence
from typing import Any

METADATA = "ro-crate-metadata.json"
CRATE = "https://w3id.org/ro/crate/1.1"
WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    WORKFLOW_CRATE: ("Workflow RO-Crate", "1.0"),
}
BIOSCHEMAS = "https://bioschemas.org/profiles"
WORKFLOW, PARAMETERS, REPORT, README = "pipeline.yaml", "params.yaml", "reports/comparison/index.html", "README.md"
LICENSE = "The pipeline is under the MIT license; data and results belong to their authors."
FORMATS = {
    ".yaml": "application/yaml",
    ".lock": "application/yaml",
    ".jsonl": "application/jsonlines",
    ".md": "text/markdown",
}
ABOUT = {
    PARAMETERS: "Every parameter of the experiment.",
    WORKFLOW: "The pipeline, a copy of dvc.yaml: fetch, vectorize, validate, train, baselines, compare.",
    "dvc.lock": "Digests of the files that each stage read and wrote.",
    REPORT: "The comparison of the variants, with intervals and verdicts.",
    "versions.json": "Commit; libraries and kind of CPU that computed the results.",
}
# What the run wrote; sweeps, verdicts of `decide` and promotions come from other commands
RESULTS = ("data/baselines/", "data/trained/", "reports/comparison/", "reports/validation/")
Entity = dict[str, Any]


def describe(sizes: Mapping[str, int], datasets: Mapping[str, str], published: str, software: str) -> Entity:
    """The metadata, serializable as JSON.

    sizes: size in bytes of each file, by name. datasets: titles by name. published: an ISO 8601 date. software: the
    version of feedforward.
    """
    results = sorted(name for name in sizes if name.startswith(RESULTS))
    inputs = [PARAMETERS, *(f"data/raw/{name}/croissant.json" for name in datasets)]
    files = [_file(name, size) for name, size in sorted(sizes.items())]
    return {
        "@context": [f"{CRATE}/context", "https://w3id.org/ro/terms/workflow-run/context"],
        "@graph": [
            _descriptor(),
            _root(sorted(sizes), datasets, published),
            *(
                {"@id": key, "@type": "CreativeWork", "name": name, "version": version}
                for key, (name, version) in PROFILES.items()
            ),
            *_add_roles(files, software),
            *_parameters(),
            _run(inputs, results),
            {"@id": "https://dvc.org", "@type": "ComputerLanguage", "name": "DVC", "url": "https://dvc.org"},
        ],
    }


def _descriptor() -> Entity:
    conforms = [{"@id": CRATE}, {"@id": WORKFLOW_CRATE}]
    return {"@id": METADATA, "@type": "CreativeWork", "about": {"@id": "./"}, "conformsTo": conforms}


def _root(names: Sequence[str], datasets: Mapping[str, str], published: str) -> Entity:
    return {
        "@id": "./",
        "@type": "Dataset",
        "name": f"Feedforward networks compared on {', '.join(datasets.values())}",
        "description": "Variants of feedforward networks, trained with several seeds and compared with intervals:"
        " parameters, pipeline, curves of every run, verdicts, report and models.",
        "datePublished": published,
        "license": LICENSE,
        "conformsTo": _references(PROFILES),
        "mainEntity": {"@id": WORKFLOW},
        "mentions": {"@id": "#run"},
        "hasPart": _references(names),
    }


def _file(name: str, size: int) -> Entity:
    suffix = f".{name.rpartition('.')[2]}"
    kind = FORMATS.get(suffix) or mimetypes.types_map.get(suffix, "application/octet-stream")
    about = {"description": ABOUT[name]} if name in ABOUT else {}
    return {"@id": name, "@type": "File", "name": name, "encodingFormat": kind, "contentSize": str(size), **about}


def _add_roles(files: Sequence[Entity], software: str) -> list[Entity]:
    """Add the roles that the workflow, parameters, report and README have in the crate; return all files."""
    by_name = {entity["@id"]: entity for entity in files}
    by_name[WORKFLOW] |= {
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
        "conformsTo": {"@id": f"{BIOSCHEMAS}/ComputationalWorkflow/1.0-RELEASE"},
        "name": "The feedforward pipeline",
        "license": "https://spdx.org/licenses/MIT",
        "version": software,
        "programmingLanguage": {"@id": "https://dvc.org"},
        "input": {"@id": "#parameters"},
        "output": {"@id": "#comparison"},
    }
    by_name[PARAMETERS]["exampleOfWork"] = {"@id": "#parameters"}
    if REPORT in by_name:
        by_name[REPORT]["exampleOfWork"] = {"@id": "#comparison"}
    if README in by_name:
        by_name[README]["about"] = {"@id": "./"}
    return list(by_name.values())


def _parameters() -> list[Entity]:
    slots = {"#parameters": ("parameters", PARAMETERS), "#comparison": ("comparison", REPORT)}
    return [
        {
            "@id": key,
            "@type": "FormalParameter",
            "additionalType": "File",
            "conformsTo": {"@id": f"{BIOSCHEMAS}/FormalParameter/1.0-RELEASE"},
            "name": name,
            "workExample": {"@id": example},
        }
        for key, (name, example) in slots.items()
    ]


def _run(inputs: Sequence[str], results: Sequence[str]) -> Entity:
    return {
        "@id": "#run",
        "@type": "CreateAction",
        "name": "Training and comparison of all variants",
        "description": "dvc repro",
        "instrument": {"@id": WORKFLOW},
        "object": _references(inputs),
        "result": _references(results),
        "actionStatus": "http://schema.org/CompletedActionStatus",
    }


def _references(names: Sequence[str] | Mapping[str, Any]) -> list[Entity]:
    return [{"@id": name} for name in names]
