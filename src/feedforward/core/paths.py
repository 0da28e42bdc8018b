"""Where each artifact lives, one function each, below the folder that holds params.yaml."""

import os
from pathlib import Path

from feedforward.core.errors import ParamsError


def root() -> Path:
    """The workspace: $FEEDFORWARD_ROOT, or the nearest folder upwards that holds params.yaml.

    Raises:
        ParamsError: no such folder.
    """
    named = os.environ.get("FEEDFORWARD_ROOT")
    here = Path(named) if named else Path.cwd()
    for folder in [here] if named else [here, *here.parents]:
        if (folder / "params.yaml").is_file():
            return folder.resolve()
    raise ParamsError(
        [f"params.yaml: not found in {here}{'' if named else ' or above'}; change into a checkout of the project"]
    )


def params() -> Path:
    """The parameters of all stages."""
    return root() / "params.yaml"


def raw(dataset: str) -> Path:
    """Folder of verified source files."""
    return root() / "data" / "raw" / dataset


def shards(location: str) -> str:
    """URL of the store of shards; a folder counts from the root."""
    return location if "://" in location else str(root() / location)


def vectorized(dataset: str) -> Path:
    """Folder with the splits `train` and `test`, the vocabulary, the profile and the manifest."""
    return root() / "data" / "vectorized" / dataset


def validation(dataset: str) -> Path:
    """Folder with the validation summary."""
    return root() / "reports" / "validation" / dataset


def data_docs(dataset: str) -> Path:
    """Folder of Great Expectations' own pages (they carry times, so DVC does not track them)."""
    return root() / "reports" / "data_docs" / dataset


def trained(protocol: str) -> Path:
    """What the train stage leaves: curves, metrics and weight digests of every run (results.load)."""
    return root() / "data" / "trained" / f"{protocol}.json"


def comparison() -> Path:
    """Folder with the tables, figures and metrics of the comparison."""
    return root() / "reports" / "comparison"


def sweep(dataset: str, fields: str) -> Path:
    """Folder with the figure and the table of the last sweep over these fields."""
    return root() / "reports" / "sweeps" / f"{dataset}-{fields}"


def dvc_cache() -> Path:
    """Folder of the files that DVC keeps; the demo shares that of the checkout around it."""
    home = root()
    found = next((folder for folder in [home, *home.parents] if (folder / ".dvc").is_dir()), home)
    return found / ".dvc" / "cache" / "files" / "md5"


def store() -> Path:
    """Folder of the MLflow store: $FEEDFORWARD_STORE, or mlruns."""
    named = os.environ.get("FEEDFORWARD_STORE")
    return Path(named).resolve() if named else root() / "mlruns"


def audit() -> Path:
    """The log of promotions: one JSON object a line, only ever appended to."""
    return store() / "audit.jsonl"


def incoming(dataset: str) -> Path:
    """Labelled samples that users gave, kept for retraining: one JSON object a line, only ever appended to."""
    return root() / "data" / "incoming" / f"{dataset}.jsonl"


def collected(dataset: str) -> Path:
    """Incoming samples that training reads: checked, each once, as a snapshot that DVC keeps."""
    return root() / "data" / "collected" / f"{dataset}.jsonl"


def retrainings() -> Path:
    """The log of retrainings, done or not: one JSON object a line, only ever appended to."""
    return store() / "retrainings.jsonl"


def retraining() -> Path:
    """Folder of the page on the latest retraining."""
    return root() / "reports" / "retraining"


def lock(job: str) -> Path:
    """The lock that a job holds, so that it is done by one process at a time."""
    return root() / ".locks" / f"{job}.lock"
