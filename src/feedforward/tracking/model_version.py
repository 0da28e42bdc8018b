"""A version of a registered model as a plain value; does not import MLflow."""

from dataclasses import dataclass

CHAMPION, CHALLENGER = "champion", "challenger"
SERVED = "served"  # folder of a version with the files that are served
DIGEST = "digest"  # tag: SHA-256 of that folder's manifest
CALIBRATION = "calibration"  # tag: temperature of the served network and its evidence, JSON
FIGURES = "evaluation"  # tag: figures of the evaluation, JSON
HOLDOUT_MODELS = "holdout_models"  # folder, and tag: [[seed, SHA-256 of the manifest], …], the model's own seed first


@dataclass(frozen=True)
class Version:
    """A version of the registered model `dataset`. location: URI of its artifact folder."""

    dataset: str
    number: int
    run_id: str
    location: str
    tags: dict[str, str]

    @property
    def name(self) -> str:
        """Name for messages, such as `imdb version 3`."""
        return f"{self.dataset} version {self.number}"

    @property
    def is_evaluated(self) -> bool:
        """Whether the version has figures and holdout models."""
        return FIGURES in self.tags and HOLDOUT_MODELS in self.tags
