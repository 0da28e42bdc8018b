"""What an archive contains: files of the workspace under their original names, and models from the registry.

    params.yaml, dvc.lock, requirements/             parameters, recorded digests and locked versions
    pipeline.yaml                                    dvc.yaml, renamed so that DVC does not run it where it is unpacked
    LICENSE                                          license of the pipeline
    data/trained/PROTOCOL.json, data/baselines/      curves and metrics of every run, and of the baselines
    data/vectorized/NAME/manifest.json               digests of the data, not the data
    reports/                                         comparison, validation; sweeps and verdicts of `decide`
    models/NAME/NUMBER/                              the champion and its card
    models/NAME/decisions.jsonl                      every promotion decision for the dataset
    versions.json                                    commit; libraries and kind of CPU that computed the results

Sweeps, verdicts and baselines of other parameters, claims, data or datasets than those of params.yaml are left out.
The files of a model and its card are copied unchanged. In all other text files, secrets and local absolute paths are
replaced.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from feedforward.analysis import run_result
from feedforward.archive import last_run, ro_crate
from feedforward.config import protocols
from feedforward.config.schema import Params
from feedforward.core import atomic_files, dvc_cache, paths, provenance
from feedforward.core.errors import DataError
from feedforward.core.redaction import redact_json
from feedforward.experiments import decision, sweep_basis
from feedforward.promotion import audit_log, version_bundles
from feedforward.tracking import model_version, model_versions

PIPELINE = "dvc.yaml"
RENAMED = {PIPELINE: ro_crate.WORKFLOW}
SINGLE_FILES = ("params.yaml", PIPELINE, "dvc.lock", "LICENSE", "requirements/cpu.txt", "requirements/gpu.txt")
FOLDERS = ("reports/comparison", "reports/validation")
TEXT_SUFFIXES = (".csv", ".html", ".json", ".jsonl", ".lock", ".md", ".txt", ".yaml")
# Ending of a file → pattern of what is not changed: scripts, whose digests a page's security policy lists; line breaks
SEPARATORS = {".html": re.compile(r"(<script>.*?</script>)", re.DOTALL), ".jsonl": re.compile(r"(\n)")}
CARD = "card"  # folder among a version's artifacts; contains card.md


def gather(params: Params) -> dict[str, bytes]:
    """The content of each file by name, sorted by name.

    Raises:
        DataError: there are no results yet, they were not made with the current params.yaml, code and data, or a model
            was tampered with.
        ParamsError: dvc.lock cannot be read.
        TrackingError: the registry does not answer.
    """
    results = paths.trained(protocols.main(params))
    if missing := [path for path in (paths.root() / PIPELINE, results) if not path.is_file()]:
        raise DataError(
            f"{missing[0]}: is missing, so there are no results to export; run `feedforward run` in a checkout of the"
            " project"
        )
    last_run.check(params, PIPELINE)
    local = _local_paths(params)
    cleaned = {name: _clean(name, content, local) for name, content in _workspace_files(params)}
    models = dict(file for name in params.datasets for file in _registry_files(name, local))
    versions = (atomic_files.canonical_json(_versions(params), indent=2) + "\n").encode()
    return dict(sorted({**cleaned, **models, "versions.json": versions}.items()))


def _workspace_files(params: Params) -> Iterator[tuple[str, bytes]]:
    root = paths.root()
    candidates = [root / name for name in SINGLE_FILES]
    candidates += [paths.trained(protocol) for protocol in params.protocols]
    candidates += [paths.baselines(name) for name in params.datasets]
    candidates += [paths.vectorized(name) / "manifest.json" for name in params.datasets]
    decided = [paths.decision(name) for name in params.datasets if decision.is_current(params, name)]
    sweeps = [path.parent for path in sorted(paths.sweeps().glob("*/sweep.json"))]
    swept = [folder for folder in sweeps if sweep_basis.is_current(folder, params)]
    for folder in (*(root / name for name in FOLDERS), *decided, *swept):
        candidates += sorted(folder.rglob("*"))
    for path in candidates:
        name = path.relative_to(root).as_posix()
        is_ours = not any(
            part.startswith(".") or part.endswith(atomic_files.TEMPORARY_SUFFIX) for part in name.split("/")
        )
        if path.is_file() and is_ours and not _leads_outside(path):  # not .gitignore, .DS_Store
            yield RENAMED.get(name, name), path.read_bytes()


def _leads_outside(path: Path) -> bool:
    """Whether a file is a link to a file outside the workspace and DVC's cache, to which outputs may be links."""
    if not path.is_symlink():
        return False
    return not any(path.resolve().is_relative_to(folder.resolve()) for folder in (paths.root(), dvc_cache.folder()))


def _registry_files(dataset: str, local: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    """The dataset's entries in the audit log, the verified files of its champion, and the champion's card."""
    if decisions := audit_log.entries(dataset):
        lines = "".join(f"{atomic_files.canonical_json(entry)}\n" for entry in decisions)
        yield f"models/{dataset}/decisions.jsonl", _clean("decisions.jsonl", lines.encode(), local)
    champion = model_versions.find(dataset)
    if champion is None:
        return
    version_bundles.read_verified(champion, model_version.SERVED, champion.tags.get(model_version.DIGEST, ""))
    folder = model_versions.folder(champion, model_version.SERVED)
    for path in [*sorted(folder.iterdir()), *_card_files(champion)]:
        yield f"models/{dataset}/{champion.number}/{path.name}", path.read_bytes()


def _card_files(champion: model_version.Version) -> list[Path]:
    try:
        return sorted(model_versions.folder(champion, CARD).iterdir())
    except DataError:  # a version that was registered by hand has no card
        return []


def _versions(params: Params) -> dict[str, Any]:
    """The commit whose code wrote the results (last_run.check compares the code), and what computed them."""
    state = provenance.git_state(paths.root())
    trained = {protocol: paths.trained(protocol) for protocol in params.protocols}
    return {
        "commit": state.commit,
        "uncommitted_changes": state.dirty,
        "feedforward": provenance.installed_version("feedforward"),
        "computed_by": {protocol: run_result.fact(path, "computed_by") for protocol, path in trained.items()},
    }


def _clean(name: str, content: bytes, local: Mapping[str, str]) -> bytes:
    """Replace secrets and the paths in `local` in the content of a text file; return other content unchanged."""
    if not name.endswith(TEXT_SUFFIXES):
        return content
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return content
    separator = SEPARATORS.get(Path(name).suffix)
    parts = separator.split(text) if separator else [text]
    parts[::2] = [_without_paths(redact_json(part), local) for part in parts[::2]]  # the others are separators
    return "".join(parts).encode()


def _without_paths(text: str, local: Mapping[str, str]) -> str:
    """Replace the paths in `local`, but neither a part of a longer path nor `/code` in the HTML tag `</code>`."""
    for path, shown in local.items():
        pattern = "".join(map(_as_written, path))
        text = re.sub(rf"(?<![\w.~/<-]){pattern}(?![\w-])", shown, text)
    return text


def _as_written(character: str) -> str:
    """A pattern for a character of a path: YAML may break the line at a space, write `'` twice, or escape a letter."""
    if character == " ":
        return r"(?: |\\?\n\s*(?:\\ )?)"
    if character == "'":
        return "''?"
    return rf"(?:{re.escape(character)}|\\(?i:[xu]0*{ord(character):x}))"


def _local_paths(params: Params) -> Mapping[str, str]:
    """Absolute path that a text may contain → its replacement, longest path first.

    Only the places of files are paths; a label or a column may also start with a slash.
    """
    replacements = {str(paths.root()): ".", str(paths.store()): "mlruns", str(Path.home()): "~"}
    files = [file for dataset in params.datasets.values() for file in dataset.files.values()]
    for location in (params.shards, *params.mirrors, *(url for file in files for url in file.urls)):
        if location.startswith(("/", "file:/")) and len(Path(location).parts) > 1:
            replacements[location] = Path(location).name
    return {path: replacements[path] for path in sorted(replacements, key=len, reverse=True) if len(path) > 1}
