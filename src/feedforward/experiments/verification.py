"""Verify that the files in DVC's cache are undamaged, and that repeated training gives exactly the recorded results."""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from feedforward.analysis import run_result
from feedforward.analysis.run_result import RunResult
from feedforward.config import protocols
from feedforward.config.schema import Params
from feedforward.core import atomic_files, dvc_cache, paths, provenance
from feedforward.core.errors import DataError, ParamsError
from feedforward.experiments import plan, runner


@dataclass(frozen=True)
class Difference:
    """A run that differs from the record when it is trained again.

    metric: the metric that differs most, or None if the run is not on record. largest: by how much that metric differs;
    0 if no metric differs, but curves or weights do.
    """

    run: str
    metric: str | None
    largest: float

    def text(self) -> str:
        """The difference in one line of text."""
        if self.metric is None:
            return f"{self.run}: not on record"
        if not self.largest:
            return f"{self.run}: its metrics are those on record, but its curves or weights differ"
        return f"{self.run}: differs from the record, most in {self.metric}, by {self.largest:.2g}"


@dataclass(frozen=True)
class Report:
    """The result of a verification: damaged files in the DVC cache, and runs that differ when trained again.

    objects, runs: how many cached files were rehashed, and how many runs were trained again.
    """

    objects: int
    damaged: list[str]
    runs: int
    differences: list[Difference]
    recorded_cpu: str
    cpu: str

    @property
    def same(self) -> bool:
        """True if nothing is damaged, and if there are no differences or another kind of CPU explains them all."""
        return not self.damaged and not self._unexplained

    @property
    def _unexplained(self) -> list[Difference]:
        return [d for d in self.differences if d.metric is None or self.recorded_cpu == self.cpu]

    def as_json(self) -> dict[str, Any]:
        """The report as JSON-serializable values."""
        return asdict(self) | {"same": self.same}

    def text(self) -> str:
        """The report as text."""
        lines = [f"{self.objects} objects in the DVC cache rehashed, {len(self.damaged)} damaged"]
        lines += [f"  {path}" for path in self.damaged]
        lines.append(f"{self.runs} runs trained again, {len(self.differences)} differ from those on record")
        lines += [f"  {difference.text()}" for difference in self.differences]
        if self.differences and self.recorded_cpu != self.cpu:
            lines.append(f"the runs on record were made on another kind of CPU ({self.recorded_cpu}, here {self.cpu})")
        return "\n".join(lines)

    def problem(self) -> str:
        """The first problem and its remedy, in one line."""
        if self.damaged:
            return (
                f"{self.damaged[0]}: bytes changed since they were written; remove the file and run `feedforward run`"
            )
        first = self._unexplained[0]
        remedy = (
            "run `dvc repro` first" if first.metric is None else "check for different library versions or parameters"
        )
        return f"{first.text()}; {remedy}"


def verify(params: Params, datasets: Sequence[str], variants: Sequence[str], seeds: int) -> Report:
    """Rehash the cache; train runs with the first `seeds` seeds again and compare their results with those on record.

    Raises:
        ParamsError: a name is unknown, or no run is selected.
        DataError: there are no results to compare with, the cache is empty, or the data are damaged.
        TrainingError: a loss is not finite.
    """
    protocol = protocols.main(params)
    path = paths.trained(protocol)
    recorded = {_key(run): run for run in run_result.load(path)}
    packs = plan.plan(params, protocol, datasets, variants, range(min(seeds, params.seeds)))
    if not packs:
        key = "training.lecture" if protocol == "lecture" else "training.variants"
        raise ParamsError(
            [
                f"verify: `{key}` of each selected dataset excludes the selected variants, so no run would be trained"
                " again; name others"
            ]
        )
    cache = dvc_cache.folder()
    objects, damaged = rehash(cache)
    if not objects:
        raise DataError(f"{cache}: no file of DVC's cache to check; run `dvc repro`, which fills the cache")
    runs = _train_again(packs, params)
    differences = [difference for run in runs if (difference := _compare(recorded.get(_key(run)), run))]
    return Report(objects, damaged, len(runs), differences, run_result.cpu_kind(path), provenance.cpu_digest())


def rehash(cache: Path) -> tuple[int, list[str]]:
    """Count the objects in a DVC cache, and list the paths of those whose MD5 does not match their name."""
    dvc_folder = cache.parent.parent.parent  # `.dvc`, unless the cache was moved
    damaged, objects = [], 0
    for path in _objects(cache):
        objects += 1
        if dvc_cache.file_md5(path) != path.parent.name + path.name.removesuffix(".dir"):
            damaged.append(str(path.relative_to(dvc_folder.parent) if dvc_folder.name == ".dvc" else path))
    return objects, damaged


def _objects(cache: Path) -> Iterator[Path]:
    for folder in sorted(cache.glob("[0-9a-f][0-9a-f]")):
        yield from sorted(path for path in folder.iterdir() if re.fullmatch(r"[0-9a-f]{30}(\.dir)?", path.name))


def _train_again(packs: Sequence[plan.Pack], params: Params) -> list[RunResult]:
    from feedforward import tracking

    with tempfile.TemporaryDirectory() as folder, _environment(FEEDFORWARD_STORE=folder, MLFLOW_TRACKING_URI=None):
        store = tracking.open_store()
        runner.prepare(1)
        return [run for pack in packs for run in runner.train_pack(pack, params, store)]


@contextlib.contextmanager
def _environment(**values: str | None) -> Iterator[None]:
    """Set environment variables during the block; None unsets one."""
    before = {name: os.environ.get(name) for name in values}

    def assign(variables: Mapping[str, str | None]) -> None:
        for name, value in variables.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value

    assign(values)
    try:
        yield
    finally:
        assign(before)


def _key(run: RunResult) -> tuple[str, ...]:
    return run.dataset, run.variant, str(run.seed), run.protocol, run.role


def _compare(recorded: RunResult | None, run: RunResult) -> Difference | None:
    name = "/".join(_key(run))
    if recorded is None:
        return Difference(name, None, 0.0)
    if atomic_files.digest(asdict(recorded)) == atomic_files.digest(asdict(run)):
        return None
    gaps = {metric: abs(value - recorded.metrics.get(metric, 0.0)) for metric, value in run.metrics.items()}
    most_different = max(gaps, key=gaps.__getitem__)
    return Difference(name, most_different, gaps[most_different])
