"""Request and response schemas: request bodies are checked field by field, and answers are serialized to JSON.

All checks take time linear in the size of the body (see `json_body`), and checking stops at the first problem, so a
list of a million invalid samples yields one problem, not a million.
"""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import pydantic_core
from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema

from feedforward.config.schema import Serving
from feedforward.core.errors import InputError
from feedforward.data.readers import image_decoding, image_encoder
from feedforward.data.splits import Features
from feedforward.promotion.bundle import Servable
from feedforward.serving import json_body, prediction
from feedforward.serving.feedback_log import FeedbackLog
from feedforward.serving.prediction import LoadedVersion

JSON = "application/json"
MAX_PIXELS = 2**26  # in all images of a request together
MAX_EXPLAINED_BYTES = 2**20  # in all texts of a request that asks for explanations
MAX_ANSWER_BYTES = 2**23  # of all probabilities and gray levels; a larger answer is possible only for a single sample
NUMBER_BYTES, LEVEL_BYTES = 24, 4  # of a probability in JSON, besides its label, and of a gray level
SAMPLE_SCHEMA = {
    "anyOf": [
        {"type": "string"},
        {"type": "array", "items": {"type": "array", "items": {"type": "number", "minimum": 0, "maximum": 255}}},
        {"type": "object", "additionalProperties": {"type": ["number", "string", "boolean", "null"]}},
    ],
    "description": "A text, an image (base64, a data URL, or rows of gray levels from 0 to 255), or a table row.",
}
Sample = Annotated[Any, WithJsonSchema(SAMPLE_SCHEMA)]  # checked by the model's encoder
PROBLEMS = {  # messages by pydantic's error type
    "missing": "is missing",
    "list_type": "must be an array",
    "too_short": "must have at least 1 item",
    "bool_type": "must be true or false",
    "string_type": "must be a string",
}


class Body(BaseModel):
    """A request body. Unknown fields are refused, so that a misspelled option is not silently ignored."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Question(Body):
    """Samples to predict."""

    samples: Annotated[list[Sample], Field(min_length=1)]
    variants: Annotated[bool, Field(description="Also return each variant's answer.")] = False
    explain: Annotated[
        bool, Field(description="Also return the words that drive the answer, or the image as the network sees it.")
    ] = False


class Correction(Body):
    """A sample and its true label."""

    sample: Sample
    label: str


BodyType = TypeVar("BodyType", bound=Body)


class Answer(BaseModel):
    """An answer: a label with its probability, labels, or a value, depending on the task; other fields are optional."""

    label: str | None = None
    probability: float | None = None
    probabilities: dict[str, float] | None = None
    labels: list[str] | None = None
    value: float | None = None
    warnings: list[str] | None = None
    variants: dict[str, "Answer"] | None = None
    words: dict[str, Any] | None = None
    seen: dict[str, Any] | None = None


class Answers(BaseModel):
    """One answer per sample, and the model's version. canary: true if the challenger answered."""

    dataset: str
    version: int
    canary: bool | None = None
    predictions: list[Answer]


class Stored(BaseModel):
    """Whether the sample was stored; false if it had already been stored with this label."""

    stored: bool


class Problem(BaseModel):
    """A one-line description of the problem; `field` is the request field at fault, if there is one."""

    error: str
    field: str | None = None


def question(sample_kind: str, kind: str, body: bytes, max_samples: int) -> Question:
    """Parse the question in a request body. sample_kind: of the model. kind: the body's media type.

    Raises:
        InputError: as in `parse_question`, or the model does not accept the media type.
    """
    if kind == JSON:
        return parse_question(body, max_samples)
    if kind.startswith(f"{sample_kind}/") or kind == "application/octet-stream":
        sample: Any = body
        return Question.model_construct(samples=[sample])
    raise InputError("Content-Type", f"must be {JSON} or {sample_kind}/*, got {kind[:60]!r}")


def parse_question(body: bytes, max_samples: int) -> Question:
    """Parse the JSON body as a question.

    Raises:
        InputError: as in `parse`, or there are more than `max_samples` samples.
    """
    question = parse(Question, body)
    if len(question.samples) > max_samples:
        raise InputError("samples", f"must have at most {max_samples} items, got {len(question.samples)}")
    return question


def parse(model: type[BodyType], body: bytes) -> BodyType:
    """Parse and validate the body; samples remain plain JSON values, which the encoder checks.

    Raises:
        InputError: see `json_body.parse`, or a field is invalid; the error names the field.
    """
    value = json_body.parse(body)
    if not isinstance(value, dict):
        raise InputError("body", "must be a JSON object")
    fields = ", ".join(model.model_fields)
    if (unknown := next((key for key in value if key not in model.model_fields), None)) is not None:
        raise InputError(unknown[:60] or "body", f"is not a known field; the known fields are {fields}")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(map(str, first["loc"]))
        raise InputError(field, PROBLEMS.get(first["type"]) or first["msg"]) from None


def answer(
    champion: LoadedVersion,
    question: Question,
    bounds: Serving,
    record: Callable[[Features], None] = lambda _: None,
    canary: bool = False,
) -> bytes:
    """Answer a question; return the JSON of `Answers`.

    record: called with the encoded samples. canary: whether to mark the answers as a challenger's.

    Raises:
        InputError: a sample is invalid, or the answer would be too large. DataError: a variant was tampered with.
    """
    served = champion.served
    size = bytes_per_answer(champion, question)
    limit = max(1, MAX_ANSWER_BYTES // size)
    if len(question.samples) > limit:
        error = f"must have at most {limit} items, since each answer takes {size} bytes"
        raise InputError("samples", f"{error}; got {len(question.samples)}")
    samples = check_samples(served, question, bounds)
    features = served.encoder.encode(samples)
    answers = prediction.as_answers(served, served.predict(features))
    answers = prediction.with_warnings(served, samples, features, answers)
    if question.variants:
        for name, variant in champion.variants.items():
            variant_answers = prediction.as_answers(variant, variant.predict(features))
            for entry, variant_answer in zip(answers, variant_answers, strict=True):
                entry.setdefault("variants", {})[name] = variant_answer
    if question.explain:
        for entry, sample in zip(answers, samples, strict=True):
            entry |= explanation(served, sample)
    dataset, version = served.description.dataset, champion.version.number
    record(features)
    mark = {"canary": True} if canary else {}
    return as_json({"dataset": dataset, "version": version, **mark, "predictions": answers})


def explanation(served: Servable, sample: Any) -> dict[str, Any]:
    """The words with their effects on the answer, or the image as the network sees it; empty for a row."""
    if served.encoder.sample_kind == "text":
        towards, words = prediction.explain(served, sample)
        return {"words": {"towards": towards, "effects": [prediction.as_json(word) for word in words]}}
    if served.encoder.sample_kind == "row":
        return {}
    settings = served.encoder.settings()
    return {"seen": {"height": settings["height"], "width": settings["width"], "levels": sample.tolist()}}


def bytes_per_answer(champion: LoadedVersion, question: Question) -> int:
    """The approximate number of bytes that the probabilities and gray levels for one sample take in the response."""
    served = champion.served
    networks = 1 + (len(champion.variants) if question.variants else 0)
    size = networks * sum(len(label.encode()) + NUMBER_BYTES for label in served.description.labels)
    if question.explain and served.encoder.sample_kind == "image":
        size += served.encoder.feature_count * LEVEL_BYTES
    return size


def check_samples(served: Servable, question: Question, bounds: Serving) -> list[Any]:
    """Return the samples, checked and converted by the encoder.

    Raises:
        InputError: a sample is too large or invalid, or the samples together exceed a limit.
    """
    samples, sample_kind = question.samples, served.encoder.sample_kind
    if sample_kind == "image" and len(samples) > 1 and (pixels := image_encoder.picture_pixels(samples)) > MAX_PIXELS:
        raise InputError("samples", f"must have at most {MAX_PIXELS} pixels in total, got {pixels}")
    checked = [_check(served, sample, f"samples.{index}", bounds) for index, sample in enumerate(samples)]
    if sample_kind == "text" and question.explain:
        size = sum(len(text.encode()) for text in checked)
        if size > MAX_EXPLAINED_BYTES:
            raise InputError("explain", f"takes at most {MAX_EXPLAINED_BYTES} bytes of text in total, got {size}")
    return checked


def _check(served: Servable, sample: Any, field: str, bounds: Serving) -> Any:
    if served.encoder.sample_kind == "text" and isinstance(sample, str | bytes):
        size = len(sample.encode("utf-8", "replace")) if isinstance(sample, str) else len(sample)
        if size > bounds.max_text_bytes:
            raise InputError(field, f"must have at most {bounds.max_text_bytes} bytes, got {size}")
    if served.encoder.sample_kind == "image" and isinstance(sample, bytes):  # for local files, the limit is larger
        try:
            image_decoding.check_size(sample)
        except ValueError as error:
            raise InputError(field, str(error)) from None
    return served.encoder.check(sample, field)


def store(answering: LoadedVersion, correction: Correction, feedback_log: FeedbackLog, bounds: Serving) -> bool:
    """Store a sample with its true label; return False if it was already stored.

    answering: the version whose answer the user saw.

    Raises:
        InputError: the sample or label is invalid, or the file is full. FeedbackLogUnwritable: writing failed.
        FeedbackLocked: another process keeps a lock.
    """
    served = answering.served
    if served.encoder.sample_kind == "row" or served.description.task_definition.answers != "class":
        error = "cannot be stored: it must be a text or an image with a single label; add it to the dataset's source"
        raise InputError("sample", error)
    sample = _check(served, correction.sample, "sample", bounds)
    [predicted] = prediction.answers(served, [sample])
    return feedback_log.append(served.encoder, sample, correction.label, answering.version.number, predicted["label"])


def as_json(value: Any) -> bytes:
    """The value, serialized to JSON."""
    return bytes(pydantic_core.to_json(value))
