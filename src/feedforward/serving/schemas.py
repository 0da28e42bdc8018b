"""What can be asked of the service: bodies of requests, checked field by field, and their answers as JSON bytes."""

from typing import Annotated, Any, TypeVar

import pydantic_core
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from feedforward.config.schema import Serving
from feedforward.core.errors import DataError, InputError
from feedforward.promotion.bundle import Servable
from feedforward.serving import prediction
from feedforward.serving.feedback_log import Inbox
from feedforward.serving.prediction import Champion

TEXT_EXAMPLE = "A wonderful film: touching, and never boring."
Rows = list[list[float]]
Cells = dict[str, float | str | None]
Sample = Annotated[
    str | Rows | Cells,
    Field(
        description="A text; a picture, in base64, as a data URL, or as rows of gray levels 0–255; or a table's row."
    ),
]


class Body(BaseModel):
    """Unknown fields are refused: a misspelt option must not be lost silently."""

    model_config = ConfigDict(extra="forbid")


class Question(Body):
    """Samples to answer."""

    samples: Annotated[list[Sample], Field(min_length=1)]
    variants: Annotated[bool, Field(description="Also what each variant of the comparison answers.")] = False
    explain: Annotated[bool, Field(description="Also the words that push the answer, or the pixels as seen.")] = False

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"samples": [TEXT_EXAMPLE]}]})


class Correction(Body):
    """A sample and what it actually is."""

    sample: Sample
    label: str

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"sample": TEXT_EXAMPLE, "label": "positive"}]}
    )


Asked = TypeVar("Asked", bound=Body)


class Answer(BaseModel):
    """What the task answers: a label with its probability, labels, or a value; others where they were asked for."""

    label: str | None = None
    probability: float | None = None
    probabilities: dict[str, float] | None = None
    labels: list[str] | None = None
    value: float | None = None
    variants: dict[str, "Answer"] | None = None
    words: dict[str, Any] | None = None
    seen: dict[str, Any] | None = None


class Answers(BaseModel):
    """One answer a sample, and the version that gave them."""

    dataset: str
    version: int
    predictions: list[Answer]


class Kept(BaseModel):
    """stored: false if just that sample with that label was kept before."""

    stored: bool


class Problem(BaseModel):
    """What was wrong, in one line; `field` where a field of the request was."""

    error: str
    field: str | None = None


def parse(model: type[Asked], body: bytes) -> Asked:
    """The body as `model`.

    Raises:
        InputError: it is not JSON, or a field is not what it must be; the field is named.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = [str(part) for part in first["loc"] if part != "str" and "[" not in str(part)]
        kind, said = first["type"], first["msg"]
        if kind == "json_invalid":
            raise InputError("body", f"must be JSON: {said.removeprefix('Invalid JSON: ')}") from None
        known = f"is not known; fields are {', '.join(model.model_fields)}"
        wording = {"extra_forbidden": known, "missing": "is missing"}.get(kind, said[:1].lower() + said[1:])
        raise InputError(".".join(place) or "body", wording) from None


def answer(champion: Champion, question: Question, bounds: Serving) -> bytes:
    """The answers to a question.

    Raises:
        InputError: a sample cannot be taken, or there are too many. DataError: a variant was touched.
    """
    served = champion.served
    checked = checked_samples(served, question.samples, bounds)
    features = served.encoder.encode(checked)
    answers = prediction.described(served, served.ask(features))
    if question.variants:
        for name, variant in champion.variants.items():
            if variant.encoder != served.encoder:
                raise DataError(f"{champion.version.name}: variant {name} was made with other preprocessing")
            for each, found in zip(answers, prediction.described(variant, variant.ask(features)), strict=True):
                each.setdefault("variants", {})[name] = found
    if question.explain:
        for each, sample in zip(answers, checked, strict=True):
            each |= explanation(served, sample)
    told = {"dataset": served.description.dataset, "version": champion.version.number, "predictions": answers}
    return as_json(told)


def explanation(served: Servable, sample: Any) -> dict[str, Any]:
    """The words with their effects, or the picture as the network sees it."""
    if served.encoder.takes == "text":
        towards, words = prediction.explained(served, sample)
        return {"words": {"towards": towards, "effects": [prediction.as_json(word) for word in words]}}
    if served.encoder.takes == "row":
        return {}
    settings = served.encoder.settings()
    return {"seen": {"height": settings["height"], "width": settings["width"], "levels": sample.tolist()}}


def checked_samples(served: Servable, samples: list[Any], bounds: Serving) -> list[Any]:
    """The samples as the encoder takes them.

    Raises:
        InputError: too many, too large, or not what the encoder takes.
    """
    if len(samples) > bounds.max_samples:
        raise InputError("samples", f"must be at most {bounds.max_samples}, got {len(samples)}")
    return [_checked(served, sample, f"samples.{place}", bounds) for place, sample in enumerate(samples)]


def _checked(served: Servable, sample: Any, field: str, bounds: Serving) -> Any:
    if served.encoder.takes == "text" and isinstance(sample, str | bytes):
        size = len(sample.encode("utf-8", "replace")) if isinstance(sample, str) else len(sample)
        if size > bounds.max_text_bytes:
            raise InputError(field, f"must have at most {bounds.max_text_bytes} bytes, got {size}")
    return served.encoder.check(sample, field)


def keep(champion: Champion, correction: Correction, inbox: Inbox, bounds: Serving) -> bool:
    """Keep a sample with its true label; False if it was kept before.

    Raises:
        InputError: sample or label cannot be taken. Full: no room is left.
    """
    served = champion.served
    if served.encoder.takes == "row" or served.description.row.answers != "class":
        raise InputError("sample", "is not kept: only texts and pictures of one class are; add rows to the file itself")
    sample = _checked(served, correction.sample, "sample", bounds)
    [said] = prediction.answers(served, [sample])
    return inbox.keep(served.encoder, sample, correction.label, champion.version.number, said["label"])


def as_json(value: Any) -> bytes:
    """JSON bytes."""
    return bytes(pydantic_core.to_json(value))
