"""A commit as a side of a comparison: read from git, DVC's cache and the tracking store, without a checkout."""

import csv
import io
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from feedforward.analysis import run_result
from feedforward.analysis.run_result import RunResult
from feedforward.config.schema import Dataset, load_params
from feedforward.core import atomic_files, dvc_lock, provenance
from feedforward.core.dvc_lock import mapping
from feedforward.core.errors import DataError, FeedforwardError
from feedforward.data import consistency, sample_digests
from feedforward.data.splits import Split
from feedforward.diff import dvc_outputs, sides
from feedforward.diff.predictions import shorten
from feedforward.diff.repository import Repository
from feedforward.diff.run_side import CHARACTERS, target_of
from feedforward.diff.sides import Answers, Figure, Model, Side
from feedforward.models import network_files

if TYPE_CHECKING:
    from feedforward.tracking.registry import Registry

DATA = ("data/raw/", "data/collected/", "data/vectorized/")
TRAINED, COMPARISON = "data/trained/", "reports/comparison/"
OpenRegistry = Callable[[], "Registry"]
T = TypeVar("T")


def commit_side(commit: str, name: str, repository: Repository, open_registry: OpenRegistry) -> Side:
    """The side for a commit, with the results recorded at that commit.

    open_registry: opens the tracking store, which is needed only to compare predictions.
    """
    lock, values, pipeline = (
        dvc_outputs.read_yaml(repository, commit, name) for name in ("dvc.lock", "params.yaml", "dvc.yaml")
    )
    outputs = dvc_outputs.digests(lock)
    results = _RecordedResults(commit, repository, outputs)
    table, verdicts = results.figures(), results.verdicts()
    figures = results.main_figures() if table is None else table
    models = results.models(open_registry)
    return Side(
        title=f"commit {commit[:8]} ({name})",
        params=dict(_flatten(values)),
        data={path: digest for path, digest in outputs.items() if path.startswith(DATA)},
        environment=_libraries(repository, commit),
        commit=commit,
        figures=figures,
        only_main_figures=table is None,
        verdicts=verdicts,
        models=models,
        remarks=(*_not_run(commit, values, dvc_lock.current(lock, pipeline)), *results.remarks),
    )


def _not_run(commit: str, values: Mapping[Any, Any], stages: Iterable[tuple[str, Mapping[Any, Any]]]) -> list[str]:
    """A remark if the results of the commit were computed with other parameters than those of its params.yaml."""
    params = dict(_flatten(values))
    protocols = values.get("protocols")
    items = {"", *mapping(values.get("datasets")), *map(str, protocols if isinstance(protocols, list) else ())}
    for name, stage in stages:
        if name.partition("@")[2] not in items:
            continue  # DVC also keeps stages of former datasets and protocols
        for key, value in mapping(mapping(stage.get("params")).get("params.yaml")).items():
            used = dict(_flatten(value, str(key)))
            now = {name: text for name, text in params.items() if f"{name}.".startswith(f"{key}.")}
            if changed := sorted(name for name in used.keys() | now.keys() if used.get(name) != now.get(name)):
                name = changed[0]
                with_value = f"with {name} {used[name]}" if name in used else f"without {name}"
                remedy = "check out the commit, run `feedforward run`, and commit dvc.lock"
                problem = f"were computed {with_value}, not with its params.yaml"
                return [f"results of commit {commit[:8]}: {problem}; {remedy}"]
    return []


def _flatten(values: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield (dotted key, value as text) for each value in nested mappings; a list counts as one value."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            yield from _flatten(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, values if isinstance(values, str) else json.dumps(values, ensure_ascii=False, default=str)


def _libraries(repository: Repository, commit: str) -> dict[str, str]:
    """The locked versions of the libraries that determine the exact results of a run."""
    lines = (repository.content(commit, "requirements/cpu.txt") or b"").decode("utf-8", "replace").splitlines()
    pins = dict(line.split(" ")[0].split("==", 1) for line in lines if "==" in line.split(" ")[0])
    names = {name: next((key for key in (name, f"{name}-cpu") if key in pins), None) for name in provenance.LIBRARIES}
    return {name: pins[key] for name, key in names.items() if key}


class _RecordedResults:
    """The results that the pipeline recorded at a commit; None for those that cannot be read, with a remark why."""

    def __init__(self, commit: str, repository: Repository, outputs: Mapping[str, str]) -> None:
        self._commit, self._repository, self._outputs = commit, repository, outputs
        self.remarks: list[str] = []

    def figures(self) -> dict[str, Figure] | None:
        """The report's means with intervals over seeds."""
        return self._read(f"{COMPARISON}table.csv", "intervals", _figures_from_table)

    def main_figures(self) -> dict[str, Figure] | None:
        """The means that the report's metrics.json lists, which is in git; they have no intervals."""
        path = f"{COMPARISON}metrics.json"
        try:
            content = self._repository.content(self._commit, path)
            if content is None:
                raise DataError(f"{path}: is not in the commit; run `dvc repro` and commit it")
            return {key.replace(".", " "): Figure(float(value)) for key, value in _flatten(json.loads(content))}
        except DataError as error:
            problem = str(error)
        except ValueError as error:
            problem = f"{path}: cannot be read (ValueError: {error})"
        self.remarks.append(f"metrics of commit {self._commit[:8]}: {problem}")
        return None

    def verdicts(self) -> dict[str, str] | None:
        """Claim → outcome."""
        return self._read(f"{COMPARISON}verdicts.json", "verdicts", _outcomes)

    def models(self, open_registry: OpenRegistry) -> dict[str, Model]:
        """For each dataset, the final model that was trained with the lowest seed."""
        models: dict[str, Model] = {}
        for path in sorted(path for path in self._outputs if path.startswith(TRAINED)):
            try:
                results = run_result.load(dvc_outputs.find_cached(self._outputs[path], path))
            except DataError as error:
                self.remarks.append(f"predictions of commit {self._commit[:8]}: {error}")
                continue
            for run in sorted((run for run in results if run.role == "final"), key=lambda run: run.seed):
                data_digest = self._outputs.get(f"data/vectorized/{run.dataset}", "")
                models.setdefault(run.dataset, self._model(run, data_digest, open_registry))
        return models

    def _model(self, run: RunResult, data_digest: str, open_registry: OpenRegistry) -> Model:
        return Model(f"{run.weights_digest} {data_digest}", lambda: self._answers(run, open_registry))

    def _answers(self, run: RunResult, open_registry: OpenRegistry) -> Answers:
        """The predictions of this commit's final model for this commit's test samples."""
        name = run.dataset
        registry = open_registry()
        logged_runs = registry.find_runs(name, role="final", weights_digest=run.weights_digest)
        if not logged_runs:
            raise DataError(
                f"predictions of {name}: the tracking store lacks the run of commit {self._commit[:8]}'s final model"
            )
        logged_run = logged_runs[0]
        network = network_files.read(registry.model_files(logged_run), logged_run.name)
        sides.check_weights(network, run.weights_digest, f"run {logged_run.run_id[:8]}")
        with tempfile.TemporaryDirectory() as temporary:
            folder = self._link(f"data/vectorized/{name}", Path(temporary) / "vectorized")
            test, manifest = Split.load(folder / "test"), _manifest(folder / "manifest.json")
            dataset = self._dataset(name, Path(temporary))
            kind, target = sides.kind_of(dataset.task), target_of(manifest)
            outputs = sides.outputs_of(network, test.features, kind, target)
            truth = np.array(sides.truth(test, kind, target))
            source = sample_digests.of_test_samples(folder)
        return Answers(
            dataset.labels, kind, outputs, truth, source, lambda rows: self._show(name, dataset, manifest, rows)
        )

    def _show(self, name: str, dataset: Dataset, manifest: Mapping[str, Any], rows: Sequence[int]) -> list[str]:
        with tempfile.TemporaryDirectory() as temporary:
            try:
                raw = self._link(f"data/raw/{name}", Path(temporary) / "raw")
                return shorten(consistency.raw_samples(dataset, raw, manifest, rows), CHARACTERS)
            except (FeedforwardError, OSError):
                return ["(no matching raw data in DVC's cache)"] * len(rows)

    def _dataset(self, name: str, folder: Path) -> Dataset:
        """The dataset as configured in the commit's params.yaml."""
        (folder / "params.yaml").write_bytes(self._repository.content(self._commit, "params.yaml") or b"")
        return load_params(folder / "params.yaml").dataset(name)

    def _link(self, path: str, target: Path) -> Path:
        if path not in self._outputs:
            raise DataError(f"predictions: dvc.lock of commit {self._commit[:8]} has no {path}")
        return dvc_outputs.link(self._outputs[path], path, target)

    def _read(self, path: str, title: str, parse: Callable[[str], dict[str, T]]) -> dict[str, T] | None:
        """Return the parsed content of an output; if it is missing or damaged, add a remark and return None."""
        try:
            if path not in self._outputs:
                raise DataError(f"{path}: is not in dvc.lock; run `dvc repro` and commit dvc.lock")
            return parse(dvc_outputs.find_cached(self._outputs[path], path).read_text(encoding="utf-8"))
        except DataError as error:
            problem = str(error)
        except (OSError, ValueError, KeyError, TypeError) as error:
            problem = f"{path}: cannot be read ({type(error).__name__}: {error})"
        self.remarks.append(f"{title} of commit {self._commit[:8]}: {problem}")
        return None


def _figures_from_table(text: str) -> dict[str, Figure]:
    return {
        f"{row['dataset']} {row['variant']} {row['statistic']}": Figure(
            float(row["mean"]), *(float(row[key]) if row[key] else None for key in ("low", "high"))
        )
        for row in csv.DictReader(io.StringIO(text))
    }


def _outcomes(text: str) -> dict[str, str]:
    entries = json.loads(text)
    titles = [f"{entry['dataset']}: {entry['claim']['text']}" for entry in entries]
    counts = Counter(titles)
    return {
        title if counts[title] == 1 else f"{title} ({_comparison(entry['claim'])})": str(entry["outcome"])
        for title, entry in zip(titles, entries, strict=True)
    }


def _comparison(claim: Mapping[str, Any]) -> str:
    """What a claim compares, to tell it from others with the same text."""
    other = claim["right"] if "right" in claim else claim.get("value")  # verdicts.json has only one of them
    return f"{claim['statistic']} of {claim['left']} {claim['direction']} {other}"


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = atomic_files.read_json(path)
        target_of(manifest)
        return manifest
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path.name}: cannot be read ({error}); run `dvc repro vectorize`") from None
