"""One version of a registered model, as the rest of the product knows it; nothing here imports MLflow."""

from dataclasses import dataclass

CHAMPION, CHALLENGER = "champion", "challenger"
SERVED = "served"  # the folder of a version that holds what is served
DIGEST = "digest"  # tag: SHA-256 of that folder's manifest


@dataclass(frozen=True)
class Version:
    """A version of the registered model `dataset`. location: URI of its folder of artifacts."""

    dataset: str
    number: int
    run_id: str
    location: str
    tags: dict[str, str]

    @property
    def name(self) -> str:
        """What people read."""
        return f"{self.dataset} version {self.number}"
