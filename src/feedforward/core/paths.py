"""Paths of all artifacts in the workspace (the folder that contains params.yaml), one function per artifact."""

import os
from pathlib import Path

from feedforward.core.errors import ParamsError

UNSUPPORTED_CHARACTERS = '%?#"\\\n'


def root() -> Path:
    """The workspace: $FEEDFORWARD_ROOT, or else the current folder or its nearest parent that contains params.yaml.

    Raises:
        ParamsError: there is no such folder, or its path contains a character that MLflow misreads in database and
            artifact addresses.
    """
    override = os.environ.get("FEEDFORWARD_ROOT")
    start = Path(override) if override else Path.cwd()
    for folder in [start] if override else [start, *start.parents]:
        if (folder / "params.yaml").is_file():
            return _require_supported(folder.resolve())
    if override:
        remedy = "set FEEDFORWARD_ROOT to a folder that contains it, or unset the variable"
        raise ParamsError([f"params.yaml: not found in {start}; {remedy}"])
    raise ParamsError([f"params.yaml: not found in {start} or above; change into a checkout of the project"])


def _require_supported(folder: Path) -> Path:
    if unsupported := [character for character in UNSUPPORTED_CHARACTERS if character in str(folder)]:
        characters = " ".join(unsupported)
        raise ParamsError(
            [f"{folder}: the path of a workspace must not contain {characters}, which MLflow misreads; rename it"]
        )
    return folder


def params() -> Path:
    """File with the parameters of all stages."""
    return root() / "params.yaml"


def raw(dataset: str) -> Path:
    """Folder of verified source files."""
    return root() / "data" / "raw" / dataset


def shards(location: str) -> str:
    """URL or path of the folder with text shards; a relative `location` is resolved against the workspace."""
    return location if "://" in location else str(root() / location)


def vectorized(dataset: str) -> Path:
    """Folder with the splits `train` and `test`, the vocabulary, the profile and the manifest."""
    return root() / "data" / "vectorized" / dataset


def validation(dataset: str) -> Path:
    """Folder with the validation summary."""
    return root() / "reports" / "validation" / dataset


def data_docs(dataset: str) -> Path:
    """Folder with Great Expectations pages; they contain timestamps, so DVC does not track them."""
    return root() / "reports" / "data_docs" / dataset


def trained(protocol: str) -> Path:
    """File that the `train` stage writes: curves, metrics and weight digests of every run (`run_result.load`)."""
    return root() / "data" / "trained" / f"{protocol}.json"


def baselines(dataset: str) -> Path:
    """File that the `baselines` stage writes: the results of simple models (`run_result.load`)."""
    return root() / "data" / "baselines" / f"{dataset}.json"


def comparison() -> Path:
    """Folder with the tables, figures and metrics of the comparison."""
    return root() / "reports" / "comparison"


def decision(dataset: str) -> Path:
    """Folder with the verdicts of the last `feedforward decide` command."""
    return root() / "reports" / "decisions" / dataset


def backtest(dataset: str) -> Path:
    """Folder with the figure and the table of the last backtest."""
    return root() / "reports" / "backtests" / dataset


def sweeps() -> Path:
    """Folder with one folder for each sweep."""
    return root() / "reports" / "sweeps"


def sweep(dataset: str, fields: str) -> Path:
    """Folder with the figure and the table of the last sweep. fields: names of the swept fields, joined by "+"."""
    return sweeps() / f"{dataset}-{fields}"


def dvc_cache(workspace: Path | None = None) -> Path:
    """Default folder of DVC's cached files, below the workspace or its nearest parent with a `.dvc`.

    `core.dvc_cache` finds the configured folder. workspace: default: the current one.
    """
    start = workspace or root()
    project = next((folder for folder in [start, *start.parents] if (folder / ".dvc").is_dir()), start)
    return project / ".dvc" / "cache" / "files" / "md5"


def store() -> Path:
    """Folder of the MLflow store: $FEEDFORWARD_STORE, or else `mlruns` in the workspace."""
    override = os.environ.get("FEEDFORWARD_STORE")
    return Path(override).resolve() if override else root() / "mlruns"


def audit() -> Path:
    """The log of promotions: one JSON object per line, append-only."""
    return store() / "audit.jsonl"


def incoming(dataset: str) -> Path:
    """Labeled samples that users submitted, kept for retraining: one JSON object per line, append-only."""
    return root() / "data" / "incoming" / f"{dataset}.jsonl"


def reviews(dataset: str) -> Path:
    """Reviewers' decisions on user-submitted samples: one JSON object per line, append-only."""
    return root() / "data" / "incoming" / f"{dataset}.reviews.jsonl"


def collected(dataset: str) -> Path:
    """Snapshot of the users' labeled samples that training reads: checked, deduplicated, tracked by DVC."""
    return root() / "data" / "collected" / f"{dataset}.jsonl"


def shadow(dataset: str) -> Path:
    """Shadow results: how challengers answered requests that were sent to champions."""
    return store() / "shadow" / f"{dataset}.json"


def requests(dataset: str) -> Path:
    """The latest window of encoded requests; it contains no raw samples."""
    return root() / "data" / "requests" / f"{dataset}.npz"


def request_drift(dataset: str) -> Path:
    """Drift distances of the latest request windows: one JSON object per line."""
    return root() / "data" / "requests" / f"{dataset}.jsonl"


def request_alerts() -> Path:
    """The request windows for which an alert was sent."""
    return root() / "data" / "requests" / "alerts.json"


def notifications() -> Path:
    """Messages from Prefect automations: one JSON object per line, append-only."""
    return store() / "notifications.jsonl"


def retrainings() -> Path:
    """The log of retraining attempts, performed or skipped: one JSON object per line, append-only."""
    return store() / "retrainings.jsonl"


def retraining() -> Path:
    """Folder with the page about the latest retraining."""
    return root() / "reports" / "retraining"


def lock(job: str) -> Path:
    """Lock file of a job; only one process at a time can hold it and run the job."""
    return root() / ".locks" / f"{job}.lock"
