"""A version of a registered model as a plain value; does not import MLflow."""

from dataclasses import dataclass
from typing import Annotated, NamedTuple, TypeVar

from pydantic import Field, FiniteFloat, TypeAdapter, ValidationError

from feedforward.config.fields import Name, Seed, Sha256
from feedforward.core.errors import DataError

CHAMPION, CHALLENGER = "champion", "challenger"
SERVED = "served"  # folder of a version with the files that are served
DIGEST = "digest"  # tag: SHA-256 of that folder's manifest
CALIBRATION = "calibration"  # tag: temperature of the served network and its effect on held-out samples, JSON
METRICS = "evaluation"  # tag: metrics of the evaluation, as JSON
VARIANTS = "variants"  # tag: variant → SHA-256 of its manifest, as JSON; the variant's folder is VARIANTS/NAME
HOLDOUT_MODELS = "holdout_models"  # folder, and tag: a list of HoldoutModel, the model's own seed first

T = TypeVar("T")


class HoldoutModel(NamedTuple):
    """A holdout model of a version. digest: SHA-256 of its manifest. evaluation: the folder of all models of one
    evaluation, so that a new evaluation leaves the earlier models as they are; empty in versions of release 0.2.
    """

    seed: Seed
    digest: Sha256
    evaluation: Annotated[str, Field(pattern=r"^([0-9a-f]{12})?$")] = ""

    @property
    def folder(self) -> str:
        """The folder of the model among the version's artifacts."""
        return "/".join(filter(None, (HOLDOUT_MODELS, self.evaluation, str(self.seed))))


_DIGESTS = TypeAdapter(dict[Name, Sha256])
_HOLDOUT_MODELS = TypeAdapter(Annotated[list[HoldoutModel], Field(min_length=1)])
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

    # Tags can be edited in MLflow. These methods raise DataError if a tag is not in the form that this project writes.

    def variants(self) -> dict[str, str]:
        """SHA-256 of the manifest of each variant; empty if the version has none."""
        return self._read(VARIANTS, _DIGESTS) if VARIANTS in self.tags else {}

    def holdout_models(self) -> list[HoldoutModel]:
        """The holdout models; the first has the version's own seed."""
        return self._read(HOLDOUT_MODELS, _HOLDOUT_MODELS)

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
