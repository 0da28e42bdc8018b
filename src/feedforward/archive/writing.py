"""Write an archive as a folder, or as a ZIP file whose bytes depend only on its content."""

import hashlib
import io
import os
import subprocess
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from feedforward.archive import contents, croissant, layout, ro_crate
from feedforward.archive.layout import DIGESTS, FORMAT, MAX_BYTES, MAX_FILES
from feedforward.config.schema import Params
from feedforward.core import atomic_files, paths, provenance
from feedforward.core.errors import DataError
from feedforward.data import manifest

RENAME = (
    "rename it (letters, digits, spaces and @=+,.-_; ending in one of"
    f" {' '.join(layout.ENDINGS)}), or move it out of reports"
)
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a ZIP file can store
README = """# A result of feedforward

`reports/comparison/index.html` is the report; it opens offline in any browser.
`feedforward import NAME`, where NAME is this folder or ZIP file, checks the files and shows the comparison in a
terminal, without training.
`params.yaml` contains every parameter of the experiment, `data/trained` the curves of every run, and `models` the
champions. `ro-crate-metadata.json` and `data/raw/*/croissant.json` are machine-readable descriptions of the archive and
its data.
"""


def collect(params: Params) -> dict[str, bytes]:
    """The content of each file of the archive by name, including metadata and digests.

    Raises:
        DataError: there are no results yet, they do not belong to params.yaml or are too large, a model was tampered
            with, or `import` would refuse the name of a file.
        ParamsError: dvc.lock cannot be read.
        TrackingError: the registry does not answer.
    """
    files, published = contents.gather(params), _publication_date()
    for name, dataset in params.datasets.items():
        description = croissant.describe(name, dataset, manifest.load(name), published)
        files[f"data/raw/{name}/croissant.json"] = _json(description)
    files[ro_crate.README] = README.encode()
    titles = {name: dataset.title for name, dataset in params.datasets.items()}
    sizes = {name: len(content) for name, content in files.items()}
    version = provenance.installed_version("feedforward")
    files[ro_crate.METADATA] = _json(ro_crate.describe(sizes, titles, published, version))
    digests = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} for name, content in files.items()
    }
    files[DIGESTS] = _json({"format": FORMAT, "files": digests})
    layout.check_names(paths.root(), list(files), RENAME)
    if len(files) > MAX_FILES or sum(map(len, files.values())) > MAX_BYTES:
        raise DataError(
            f"{paths.root()}: an archive has at most {MAX_FILES} files and {MAX_BYTES} bytes, got {len(files)} and"
            f" {sum(map(len, files.values()))}; move files that do not belong in it out of reports"
        )
    return dict(sorted(files.items()))


def write(files: Mapping[str, bytes], target: Path) -> str:
    """Write a ZIP file if the name ends in .zip, otherwise a folder; return the SHA-256 (hex) of digests.json.

    Raises:
        DataError: the folder exists and contains something other than an archive, or is or contains the current folder.
    """
    if target.suffix.lower() == ".zip":
        target = Path(os.path.realpath(target))  # so that a link is followed rather than replaced
        with atomic_files.writing(target, "export") as file:
            file.write(_zip(files))
    else:
        layout.write_folder(files, target, "export", "name another folder, or a file ending in .zip")
    return hashlib.sha256(files[DIGESTS]).hexdigest()


def _zip(files: Mapping[str, bytes]) -> bytes:
    """The files as an uncompressed ZIP file.

    Different releases of zlib would write different bytes, and pictures and weights would hardly shrink.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system, entry.external_attr = 3, 0o644 << 16  # a regular Unix file, whatever the system
            archive.writestr(entry, content)
    return buffer.getvalue()


def _publication_date() -> str:
    """The date of the commit, or outside a repository the date of the results; never the date of the export."""
    command = ["git", "-C", str(paths.root()), "log", "-1", "--format=%cs"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        done = None
    if done and done.returncode == 0 and done.stdout.strip():
        return done.stdout.strip()
    newest = max((paths.root() / "data" / "trained").glob("*.json"), key=lambda path: path.stat().st_mtime)
    return datetime.fromtimestamp(newest.stat().st_mtime, UTC).date().isoformat()


def _json(value: object) -> bytes:
    return (atomic_files.canonical_json(value, indent=2) + "\n").encode()
