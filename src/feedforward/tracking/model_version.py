"""A version of a registered model as a plain value; does not import MLflow."""

from dataclasses import dataclass
from typing import Annotated, TypeVar

from pydantic import Field, FiniteFloat, TypeAdapter, ValidationError

from feedforward.config.fields import Name, Seed, Sha256
from feedforward.core.errors import DataError

CHAMPION, CHALLENGER = "champion", "challenger"
SERVED = "served"  # folder of a version with the files that are served
DIGEST = "digest"  # tag: SHA-256 of that folder's manifest
CALIBRATION = "calibration"  # tag: temperature of the served network and its effect on held-out samples, JSON
METRICS = "evaluation"  # tag: metrics of the evaluation, as JSON
VARIANTS = "variants"  # tag: variant → SHA-256 of its manifest, as JSON; the variant's folder is VARIANTS/NAME
HOLDOUT_MODELS = "holdout_models"  # folder, and tag: [[seed, SHA-256 of the manifest], …], the model's own seed first

T = TypeVar("T")
_DIGESTS = TypeAdapter(dict[Name, Sha256])
_SEEDS_AND_DIGESTS = TypeAdapter(Annotated[list[tuple[Seed, Sha256]], Field(min_length=1)])
_NUMBERS: TypeAdapter[dict[str, float]] = TypeAdapter(dict[str, int | FiniteFloat])


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
        """Whether the version has evaluation metrics and holdout models."""
        return METRICS in self.tags and HOLDOUT_MODELS in self.tags

    # Tags can be edited in MLflow. A tag that does not have the form that this project writes raises DataError.

    def variants(self) -> dict[str, str]:
        """SHA-256 of the manifest of each variant; empty if the version has none."""
        return self._read(VARIANTS, _DIGESTS) if VARIANTS in self.tags else {}

    def holdout_models(self) -> list[tuple[int, str]]:
        """Seed and SHA-256 of the manifest of each holdout model; the first has the version's own seed."""
        return self._read(HOLDOUT_MODELS, _SEEDS_AND_DIGESTS)

    def metrics(self) -> dict[str, float]:
        """The metrics of the evaluation."""
        return self._with_keys(METRICS, {"bytes", "latency_ms"})

    def calibration(self) -> dict[str, float]:
        """The temperature and its effect on held-out samples; empty if none was fitted."""
        return self._with_keys(CALIBRATION, {"temperature", "samples"}) if CALIBRATION in self.tags else {}

    def _with_keys(self, tag: str, required: set[str]) -> dict[str, float]:
        numbers = self._read(tag, _NUMBERS)
        if not required <= numbers.keys():
            raise self._damaged(tag)
        return numbers

    def _read(self, tag: str, kind: TypeAdapter[T]) -> T:
        try:
            return kind.validate_json(self.tags.get(tag, ""))
        except ValidationError:
            raise self._damaged(tag) from None

    def _damaged(self, tag: str) -> DataError:
        return DataError(
            f"{self.name}: its tag `{tag}` is damaged; delete this version in MLflow, then promote its run again"
        )
