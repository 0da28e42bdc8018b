"""verify: are the bytes still those that were written, and does training make the same bytes again?"""

import hashlib
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from feedforward import experiment, paths, plans, provenance, results, storage
from feedforward.params import Params
from feedforward.results import RunResult


@dataclass(frozen=True)
class Difference:
    """A run that did not come out as before; `largest` is the largest difference of a metric, and `metric` its name."""

    run: str
    metric: str
    largest: float


@dataclass(frozen=True)
class Report:
    """What was found: damaged files of the DVC cache, and runs trained again that differ from those on record."""

    objects: int
    damaged: list[str]
    runs: int
    differences: list[Difference]
    recorded_cpu: str
    cpu: str
    notes: list[str] = field(default_factory=list)

    @property
    def same(self) -> bool:
        """Nothing damaged, and no difference that another kind of CPU would not explain."""
        return not self.damaged and (not self.differences or self.recorded_cpu != self.cpu)

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self) | {"same": self.same}

    def text(self) -> str:
        """For people."""
        lines = [f"{self.objects} objects of the DVC cache rehashed, {len(self.damaged)} damaged"]
        lines += [f"  {path}" for path in self.damaged]
        lines.append(f"{self.runs} runs trained again, {len(self.differences)} differ from those on record")
        lines += [f"  {d.run}: weights differ, {d.metric} by {d.largest:.2g}" for d in self.differences]
        if self.differences and self.recorded_cpu != self.cpu:
            lines.append(f"the runs on record were made on another kind of CPU ({self.recorded_cpu}, here {self.cpu})")
        return "\n".join(lines + self.notes)

    def problem(self) -> str:
        """One line: what is wrong and what to do."""
        if self.damaged:
            return f"{self.damaged[0]}: bytes changed since they were written; remove the file and run `dvc repro`"
        return f"{self.differences[0].run}: trained again, it is not the same; is a version or a parameter different?"


def verify(params: Params, datasets: Sequence[str], variants: Sequence[str], seeds: int) -> Report:
    """Rehash the cache; train the first `seeds` seeds of the variants again and compare digests and metrics.

    Raises:
        DataError: there are no results to compare with.
    """
    protocol = params.protocols[0]
    path = paths.trained(protocol)
    on_record = {_key(run): run for run in results.load(path)}
    objects, damaged = rehash(paths.dvc_cache())
    again = _train_again(params, protocol, datasets, variants, seeds)
    differences = [difference for run in again if (difference := _compare(on_record.get(_key(run)), run))]
    return Report(objects, damaged, len(again), differences, results.cpu(path), provenance.cpu_digest())


def rehash(cache: Path) -> tuple[int, list[str]]:
    """How many objects of a DVC cache there are, and those whose bytes do not have the MD5 of their name."""
    damaged, objects = [], 0
    for path in _objects(cache):
        objects += 1
        with path.open("rb") as file:
            found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if found != path.parent.name + path.name.removesuffix(".dir"):
            damaged.append(str(path.relative_to(cache.parents[3])))
    return objects, damaged


def _objects(cache: Path) -> Iterator[Path]:
    for folder in sorted(cache.glob("[0-9a-f][0-9a-f]")):
        yield from sorted(path for path in folder.iterdir() if re.fullmatch(r"[0-9a-f]{30}(\.dir)?", path.name))


def _train_again(
    params: Params, protocol: str, datasets: Sequence[str], variants: Sequence[str], seeds: int
) -> list[RunResult]:
    from feedforward import tracking

    with tempfile.TemporaryDirectory() as folder:
        os.environ["FEEDFORWARD_STORE"] = folder
        try:
            store = tracking.open_store()
            packs = plans.plan(params, protocol, datasets, variants, range(seeds))
            experiment.prepare(1)
            return [run for pack in packs for run in experiment.train_pack(pack, params, store)]
        finally:
            del os.environ["FEEDFORWARD_STORE"]


def _key(run: RunResult) -> tuple[str, ...]:
    return run.dataset, run.variant, str(run.seed), run.protocol, run.role


def _compare(before: RunResult | None, run: RunResult) -> Difference | None:
    name = "/".join(_key(run))
    if before is None:
        return Difference(name, "not on record", 0.0)
    if storage.digest(asdict(before)) == storage.digest(asdict(run)):
        return None
    gaps = {metric: abs(value - before.metrics.get(metric, 0.0)) for metric, value in run.metrics.items()}
    largest = max(gaps, key=gaps.__getitem__)
    return Difference(name, largest, gaps[largest])
