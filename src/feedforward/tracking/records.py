"""Runs as plain values and as folders in the spool; does not import MLflow."""

import dataclasses
import logging
import math
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, Protocol

from feedforward.analysis.run_result import RunResult
from feedforward.core import atomic_files, paths, provenance
from feedforward.core.errors import TrainingError
from feedforward.core.redaction import redact, redact_json, redact_values
from feedforward.tracking import names, sessions

_logger = logging.getLogger("feedforward.tracking")

# Training reuses every finished run, so a run whose model is lost must be deleted before it is trained again.
TRAIN_AGAIN = "delete the run in MLflow, then train it again with `feedforward train`"
RESULT = "result.json"  # artifact: the RunResult, which is read if the finished run is reused
# variant, finals, components: parent of a variant's replicas, final runs, or components (runs that vary only one source
# of randomness). In a sweep, confirmation is the parent of a trial's replicas with fresh seeds, and sweep_test the
# parent of the winner's final runs.
Role = Literal[
    "variant", "replica", "finals", "final", "components", "component", "comparison",
    "sweep", "trial", "confirmation", "sweep_test",
]  # fmt: skip
Status = Literal["FINISHED", "FAILED", "KILLED"]
Point = tuple[str, float, int, int]  # name, value, time (ms since 1970), step


class Figure(Protocol):
    """The part of a matplotlib figure that is used here."""

    def savefig(self, fname: Any, *, format: str) -> Any:
        """Write the figure to a file."""


Content = Path | str | bytes | Figure


@dataclass(frozen=True)
class RunTags:
    """The tags by which people and scripts find a run; `fingerprint` comes from provenance.fingerprint."""

    dataset: str
    variant: str
    protocol: str
    role: Role
    fingerprint: str
    data_digest: str
    seed: int | None = None

    def tags(self) -> dict[str, str]:
        """Tags as MLflow stores them: as text, without tags that are None."""
        return {key: str(value) for key, value in dataclasses.asdict(self).items() if value is not None}


@dataclass(frozen=True)
class DataInput:
    """A part of the data that a run used, with a `name` that is unique within the run.

    digest: SHA-256 (hex); MLflow's field contains the first 36 digits, and an input tag all of them. source: relative
    path or URL.
    """

    name: str
    digest: str
    context: Literal["training", "validation", "test"]
    source: str


@dataclass(frozen=True)
class Sample:
    """System metrics at one point in time: `time` in ms since 1970, `values` by name without `system/`."""

    time: int
    values: dict[str, float]


@dataclass(frozen=True)
class Run:
    """A run that is being logged: plain values, so that it can be passed to another process."""

    id: str  # ID of the record, which MLflow stores in the tag `record_id`
    dataset: str
    experiment: str  # name; a waiting record may be sent by a job of another project
    name: str
    tags: dict[str, str]
    parent: "Run | None"
    started: int  # ms since 1970

    @classmethod
    def of(cls, value: dict[str, Any]) -> "Run":
        """Restore a run from the result of dataclasses.asdict."""
        fields = {**value, "parent": cls.of(value["parent"]) if value["parent"] else None}
        if "experiment" not in fields:  # a record of an earlier release
            fields["experiment"] = names.experiment(fields["dataset"])
        return cls(**fields)


@dataclass(frozen=True)
class LoggedRun:
    """A run as read from the store; `metrics` contains the last value of each metric."""

    run_id: str
    name: str
    status: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]
    artifact_uri: str


@dataclass(frozen=True)
class StoredResult:
    """The result of a finished run; evaluation: digest of the code that computed its metrics; run: None if unsent."""

    result: RunResult
    evaluation: str
    run: LoggedRun | None


@dataclass(frozen=True)
class SyncResult:
    """Result of `Store.sync`: records sent, records that still wait, and one line per problem."""

    sent: int
    waiting: int
    problems: list[str]


@dataclass(frozen=True)
class Record:
    """Content of `record.json`: a run without its files, which are in the folders `files` and `model` next to it."""

    run: Run
    status: Status
    ended: int  # ms since 1970
    tags: dict[str, str]
    params: dict[str, str]
    points: list[Point]
    inputs: list[DataInput]

    @classmethod
    def load(cls, folder: Path) -> "Record":
        """Read the record in `folder`; OSError if there is none."""
        fields = atomic_files.read_json(folder / "record.json")
        fields["run"] = Run.of(fields["run"])
        fields["points"] = [(str(key), float(value), int(ms), int(step)) for key, value, ms, step in fields["points"]]
        fields["inputs"] = [DataInput(**entry) for entry in fields["inputs"]]
        return cls(**fields)


def now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def new_id() -> str:
    """The ID of a record that is logged once."""
    return uuid.uuid4().hex


def lasting_id(tags: RunTags) -> str:
    """The ID of a record that later jobs update: a digest of its experiment and tags, so that it is found again."""
    return atomic_files.digest({**tags.tags(), "dataset": names.experiment(tags.dataset)})[:32]


def new_run(tags: RunTags, name: str, parent: Run | None, identity: str, git: provenance.GitState) -> Run:
    """A run with all its tags, redacted. identity: from `new_id` or `lasting_id`."""
    origin_tags = {
        "record_id": identity,
        "git_commit": git.commit or "none",
        "git_dirty": str(git.dirty).lower(),
        "cpu": provenance.cpu_digest(),
        **sessions.tags(),
        "mlflow.source.name": "feedforward",
        "mlflow.source.type": "LOCAL",
    }
    if git.commit:
        origin_tags["mlflow.source.git.commit"] = git.commit
    origin_tags |= {f"version.{library}": provenance.installed_version(library) for library in provenance.LIBRARIES}
    identifying_tags = {key: redact_json(value) for key, value in tags.tags().items()}
    experiment, all_tags = names.experiment(tags.dataset), origin_tags | identifying_tags
    return Run(identity, tags.dataset, experiment, redact(name), all_tags, parent, now())


def points(
    name: str,
    result: RunResult | None,
    metrics: Mapping[str, float],
    samples: Sequence[Sample],
    ended: int,
    curves: Mapping[str, Sequence[float]] = MappingProxyType({}),
) -> list[Point]:
    """The points of the curves (steps 1, 2, … are epochs), the run's metrics (step 0) and the system metrics.

    System metrics that are not finite are left out. name: the run's name, for the message. ended: the time of all
    points except those of system metrics.

    Raises:
        TrainingError: a value of a curve or of the run's metrics is not finite.
    """
    curves = {**(result.curves if result else {}), **curves}
    scalars = {**(result.metrics if result else {}), **metrics}
    measured: list[Point] = [
        (key, float(value), ended, step) for key, curve in curves.items() for step, value in enumerate(curve, 1)
    ]
    measured += [(key, float(value), ended, 0) for key, value in scalars.items()]
    for key, value, _, step in measured:
        if not math.isfinite(value):
            where = f" at epoch {step}" if step else ""
            raise TrainingError(
                f"{name}: {key} must be finite, got {value}{where}; lower the learning rate or check the data"
            )
    system = [
        (f"system/{key}", float(value), sample.time, step)
        for step, sample in enumerate(samples)
        for key, value in sample.values.items()
    ]
    return measured + [point for point in system if math.isfinite(point[1])]


def write(folder: Path, record: Record, files: Mapping[str, Content]) -> None:
    """Write `record.json` and the files into the (temporary) `folder`."""
    for name, content in files.items():
        path = folder / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            shutil.copyfile(content, path)
        elif isinstance(content, str | bytes):
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        else:
            content.savefig(path, format=path.suffix[1:])
    fields = vars(record) | {"run": dataclasses.asdict(record.run), "inputs": [vars(entry) for entry in record.inputs]}
    atomic_files.write_text(folder / "record.json", atomic_files.canonical_json(fields))


def redact_all(
    run: Run, params: Mapping[str, object], tags: Mapping[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """The params, and the run's tags together with `tags`; secrets are redacted."""
    return redact_values(params), run.tags | {key: redact_json(value) for key, value in tags.items()}


def spool() -> Path:
    """Folder of the records that wait to be sent, one subfolder per record."""
    return paths.store() / "spool"


def waiting_records() -> Iterator[tuple[Path, Record]]:
    """The records in the spool; runs without a parent come first, and earlier runs before later ones."""
    entries = []
    for path in spool().glob("*/record.json"):
        if not path.parent.name.endswith(atomic_files.TEMPORARY_SUFFIX):
            try:
                entries.append((path.parent, Record.load(path.parent)))
            except FileNotFoundError:
                continue  # sent meanwhile
            except (OSError, ValueError, TypeError, KeyError) as error:
                _logger.warning("%s: cannot be read (%s); move it away", path.parent, error)
    yield from sorted(
        entries, key=lambda entry: (entry[1].run.parent is not None, entry[1].run.started, entry[1].run.id)
    )
