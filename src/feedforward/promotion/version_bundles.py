"""Read the bundles of registered versions: each by its role in the version and the digest that its tag records.

On a machine other than the tracking server's, a version's files are copies. A damaged copy says nothing about the
version, so it is downloaded again before the version is refused.
"""

from pathlib import Path

from feedforward.core.errors import DataError
from feedforward.promotion import bundle
from feedforward.promotion.bundle import Servable
from feedforward.tracking import model_version, model_versions
from feedforward.tracking.model_version import HoldoutModel, Version


def served(version: Version) -> Servable:
    """Verify and read the network that the version serves; raises as `read` does."""
    return read(version, model_version.SERVED, version.tags.get(model_version.DIGEST, ""))


def holdout_model(version: Version, model: HoldoutModel) -> Servable:
    """Verify and read a holdout model of the version; raises as `read` does."""
    return read(version, model.folder, model.digest)


def variant(version: Version, name: str, digest: str) -> Servable:
    """Verify and read the version's replica of a variant; raises as `read` does."""
    return read(version, f"{model_version.VARIANTS}/{name}", digest)


def read(version: Version, name: str, digest: str) -> Servable:
    """Verify and read the bundle in the version's folder `name`. digest: the SHA-256 that its manifest must have.

    Raises:
        DataError: see `bundle.read`. TrackingError: the store does not answer.
    """
    files = read_verified(version, name, digest)
    return bundle.parse(model_versions.folder(version, name), files, digest)


def read_verified(version: Version, name: str, digest: str) -> dict[str, bytes]:
    """The verified content of each file of a bundle of the version, by name; raises as `read` does."""
    if not digest:  # then someone else chose the location, so nothing is fetched from it
        raise DataError(f"{version.name}: is not the result of a promotion; promote a run, and do not use this version")
    folder, role = model_versions.folder(version, name), _role(name)
    try:
        return bundle.read_verified(folder, digest, role)
    except DataError:
        if not model_versions.repair_copy(version, name, lambda path: _is_intact(path, digest, role)):
            raise
    return bundle.read_verified(folder, digest, role)


def _role(name: str) -> str:
    """The role that a bundle was signed with. The folder of a holdout model also names its evaluation."""
    kind, *rest = name.split("/")
    return f"{kind}/{rest[-1]}" if rest else kind


def check(version: Version) -> None:
    """Verify all bundles of the version: its network, its variants, and its holdout models if it was evaluated.

    Raises:
        DataError: a file or tag was changed, or is not signed. TrackingError: the store does not answer.
    """
    digests = {model_version.SERVED: version.tags.get(model_version.DIGEST, "")}
    digests |= {f"{model_version.VARIANTS}/{name}": digest for name, digest in version.variants().items()}
    if version.is_evaluated:
        digests |= {model.folder: model.digest for model in version.holdout_models()}
    for name, digest in digests.items():
        read_verified(version, name, digest)


def _is_intact(folder: Path, digest: str, role: str) -> bool:
    try:
        bundle.read_verified(folder, digest, role)
    except DataError:
        return False
    return True
