"""Parts of the OpenAPI description that FastAPI cannot derive from signatures: bodies, statuses and examples."""

from collections.abc import Mapping
from typing import Any

from fastapi.responses import Response

from feedforward.config.schema import Dataset, Serving
from feedforward.serving.schemas import Answers, Body, Correction, Problem, Question, Stored

VERSION = "1"  # of the HTTP API
EXAMPLE_TEXT = "a short text"
EXAMPLE_IMAGE = [[0, 0, 0], [0, 255, 0], [0, 0, 0]]
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Problem, "description": description}
    for status, description in {
        400: "Not a valid HTTP request.",
        403: "The Host or Origin header is not allowed.",
        404: "Unknown dataset; the error lists the valid names.",
        408: "The request took too long to arrive.",
        413: "The body is too large.",
        415: "The body is compressed.",
        422: "A field is invalid; `field` says which one.",
        503: "There is no champion (the error gives the command that creates one), or the service is too busy.",
    }.items()
}
STATE: dict[str, Any] = {"tags": ["state"], "responses": {403: REFUSALS[403]}}
READY: dict[str, Any] = {
    "tags": ["state"],
    "responses": {403: REFUSALS[403], 503: {"description": "No champion is loaded.", "model": dict[str, Any]}},
}
METRICS: dict[str, Any] = {
    "tags": ["state"],
    "response_class": Response,
    "responses": {403: REFUSALS[403], 200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
}


def predict(datasets: Mapping[str, Dataset], bounds: Serving) -> dict[str, Any]:
    """Keyword arguments for the decorator of the `/predict/{dataset}` route."""
    schema = _schema(Question, {"samples": [_example(datasets)]})
    schema["properties"]["samples"]["maxItems"] = bounds.max_samples
    binary = {"schema": {"type": "string", "format": "binary"}}
    raw = dict.fromkeys(("text/plain", "image/png", "image/jpeg"), binary)
    return _route(schema, Answers, REFUSALS, raw)


def incoming(datasets: Mapping[str, Dataset]) -> dict[str, Any]:
    """Keyword arguments for the decorator of the `/incoming/{dataset}` route."""
    labels = _example_dataset(datasets).labels if datasets else ["label"]
    schema = _schema(Correction, {"sample": _example(datasets), "label": labels[-1]})
    storage_errors: dict[int | str, dict[str, Any]] = {
        507: {"model": Problem, "description": "The feedback file is full or cannot be written."}
    }
    return _route(schema, Stored, REFUSALS | storage_errors, {})


def _route(schema: dict[str, Any], response: type, refusals: dict[int | str, Any], raw: Any) -> dict[str, Any]:
    body = {"required": True, "content": {"application/json": {"schema": schema}, **raw}}
    return {
        "response_model": response,
        "response_model_exclude_unset": True,
        "responses": refusals,
        "openapi_extra": {"requestBody": body},
        "tags": ["answers"],
    }


def _schema(model: type[Body], example: dict[str, Any]) -> dict[str, Any]:
    return {**model.model_json_schema(), "examples": [example]}


def _example_dataset(datasets: Mapping[str, Dataset]) -> Dataset:
    """A text dataset if there is one, because its example is the easiest to read; otherwise the first dataset."""
    texts = [dataset for dataset in datasets.values() if dataset.reader.kind == "labeled_text"]
    return [*texts, *datasets.values()][0]


def _example(datasets: Mapping[str, Dataset]) -> Any:
    kind = _example_dataset(datasets).reader.kind if datasets else "labeled_text"
    return {"labeled_text": EXAMPLE_TEXT, "table": {"column": 1.5}}.get(kind, EXAMPLE_IMAGE)
