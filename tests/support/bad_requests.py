# ruff: noqa: E501
"""Requests that the service must reject, with the expected status, field and a part of the message.

The service has the `notes` dataset (texts), the `tones` dataset (images) and the limits of live_service.SERVING.
"""

import base64
import io
import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

FIELDS = ("samples", "sample", "label", "variants", "explain")
JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class BadRequest:
    """A request that must be refused. content: the body, sent as JSON unless it is bytes.

    error_field: the value of `field` in the answer. message: a part of the error message.
    """

    path: str
    content: Any = field(repr=False)
    status: int
    error_field: str | None
    message: str = ""
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)

    @property
    def body(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else json.dumps(self.content).encode()


def notes(content: Any, error_field: str, message: str = "", status: int = 422, **more: Any) -> BadRequest:
    return BadRequest("/predict/notes", content, status, error_field, message, **more)


def text(sample: Any, message: str = "", error_field: str = "samples.0") -> BadRequest:
    return notes({"samples": [sample]}, error_field, message)


def picture(sample: Any, message: str = "") -> BadRequest:
    return BadRequest("/predict/tones", {"samples": [sample]}, 422, "samples.0", message)


def feedback(content: Any, error_field: str, message: str = "", dataset: str = "notes") -> BadRequest:
    return BadRequest(f"/incoming/{dataset}", content, 422, error_field, message)


def png(width: int, height: int, pixels: bytes = b"") -> str:
    """Return a PNG in base64 whose header claims this width and height."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    image = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return base64.b64encode(image).decode()


def image_file(level: int, kind: str = "PNG") -> bytes:
    """Return an image file in which all pixels have the same gray level."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((20, 20), level, np.uint8)).save(buffer, kind)
    return buffer.getvalue()


REQUESTS = (
    # --- bodies that are not requests for predictions
    notes(b"", "body", "must be JSON"),
    notes(b" \n", "body", "must be JSON"),
    notes(b"{", "body", "must be JSON"),
    notes(b"\xff\xfe", "body", "must be JSON"),
    notes(b"\xef\xbb\xbf{}", "body", "must be JSON"),
    notes(b"[" * 50_000, "body", "must be JSON"),
    notes(b'{"samples":' * 10_000, "body", "must be JSON"),
    notes(b'{"samples": ["a"]} {}', "body", "must be JSON"),
    notes(b"{'samples': ['a']}", "body", "must be JSON"),
    notes(b"samples=a", "body", "must be JSON"),
    notes(b"\x1f\x8b\x08\x00", "body", "must be JSON"),
    notes(b"<samples/>", "body", "must be JSON"),
    notes([], "body", "must be a JSON object"),
    notes(None, "body"),
    notes(3, "body"),
    notes("word1", "body"),
    # --- fields
    notes({}, "samples", "is missing"),
    notes({"sample": "word1"}, "sample", "is not a known field; the known fields are samples, variants, explain"),
    notes({"samples": []}, "samples", "at least 1"),
    notes({"samples": None}, "samples", "must be an array"),
    notes({"samples": "word1"}, "samples", "must be an array"),
    notes({"samples": {"0": "word1"}}, "samples", "must be an array"),
    notes({"samples": ["word1"], "sample": 1}, "sample", "is not a known field; the known fields are samples, variants, explain"),
    notes({"samples": ["word1"], "__proto__": {}}, "__proto__", "is not a known field"),
    notes(b'{"samples": ["word1"], "samples": ["word2"]}', "body", "key 'samples' occurs twice in an object"),
    notes(b'{"samples": ["word1"], "ex\\u0070lain": true, "explain" : false}', "body", "key 'explain' occurs twice"),
    notes(b'{"samples": [{"text": "word1", "text": "word2"}]}', "body", "key 'text' occurs twice in an object"),
    feedback(b'{"sample": "word1", "label": "sad", "label": "glad"}', "body", "key 'label' occurs twice in an object"),
    notes({"samples": ["word1"], "variants": "maybe"}, "variants", "must be true or false"),
    notes({"samples": ["word1"], "explain": 3}, "explain", "must be true or false"),
    notes({"samples": ["word1"], "explain": None}, "explain", "must be true or false"),
    notes({"samples": ["word1"] * 6}, "samples", "must have at most 5 items, got 6"),
    notes({"samples": ["word1", ""]}, "samples.1", "must contain at least one word"),
    # --- texts
    text("", "must contain at least one word"),
    text(" \t\n", "must contain at least one word"),
    text("...!?", "must contain at least one word"),
    text("x" * 3000, "must have at most 2000 bytes, got 3000"),
    text("ß" * 1500, "must have at most 2000 bytes, got 3000"),
    text(3), text(None), text(True), text({"text": "word1"}), text(["word1"]),
    text([[1, 2], [3, 4]], "must be text, got a list"),
    notes(b'{"samples": [NaN]}', "samples.0"),
    notes(b'{"samples": [1e999]}', "samples.0"),
    notes(b'{"samples": ["\\ud800"]}', "body", "must be JSON"),
    notes({"samples": ["x" * 10**6]}, "body", "must have at most 200000 bytes", status=413),
    # --- pictures
    picture("word1", "base64"),
    picture("", "must be an image"),
    picture("data:image/png;base64,", "must be an image"),
    picture("data:text/html;base64,PGI+", "base64"),
    picture("http://127.0.0.1/digit.png", "base64"),
    picture("file:///etc/passwd", "base64"),
    picture(base64.b64encode(b"<svg onload='alert(1)'/>").decode(), "must be an image"),
    picture(base64.b64encode(b"GIF89a").decode()),
    picture(base64.b64encode(image_file(90)[:60]).decode()),
    picture(base64.b64encode(image_file(90, "TIFF")).decode(), "must be an image"),
    picture(base64.b64encode(image_file(90)).decode(), "is blank"),
    picture(base64.b64encode(image_file(0, "JPEG")).decode(), "is blank"),
    picture(png(0, 0)),
    picture(png(60_000, 60_000), "must have at most 16777216 pixels"),
    picture(png(2**31 - 1, 2**31 - 1), "pixels"),
    picture(png(4000, 4000, bytes(9)), "cannot be read as an image"),
    picture([], "must be rows of gray levels, not empty and all of the same length"),
    picture([[]], "must be rows of gray levels, not empty and all of the same length"),
    picture([[0, 1], [2]], "of the same length"),
    picture([[0, 300], [2, 3]], "from 0 to 255, got 0 to 300"),
    picture([[-1, 0], [2, 3]], "from 0 to 255"),
    picture([[7, 7], [7, 7]], "is blank"),
    picture([["a", 1], [2, 3]]), picture([[None, 1], [2, 3]]), picture([[[0, 1], [1, 0]], [[0, 1], [1, 0]]]),
    picture([0, 255]),
    BadRequest("/predict/tones", b'{"samples": [[[NaN, 1], [2, 3]]]}', 422, "samples.0", "finite"),
    BadRequest("/predict/tones", b'{"samples": [[[0, -Infinity], [2, 3]]]}', 422, "samples.0", "finite"),
    BadRequest("/predict/tones", b'{"samples": [[[0, 1e400], [2, 3]]]}', 422, "samples.0"),
    BadRequest("/predict/tones", b'{"samples": [[[0, ' + b"9" * 5000 + b"], [2, 3]]]}", 422, "body", "number out of range"),
    BadRequest("/predict/tones", b"no picture", 422, "samples.0", "must be an image", headers={"content-type": "image/png"}),
    BadRequest("/predict/tones", image_file(90), 422, "samples.0", "is blank", headers={"content-type": "application/octet-stream"}),
    # --- other content types
    notes(b"word1", "Content-Type", "must be application/json or text/*", headers={"content-type": "application/x-www-form-urlencoded"}),
    notes(image_file(90), "Content-Type", headers={"content-type": "image/png"}),
    notes(b"word1", "Content-Type", headers={"content-type": ""}),
    notes(b"word1", "Content-Type", headers={"content-type": "multipart/form-data; boundary=x"}),
    notes(b"word1", "Content-Type", headers={"content-type": "x" * 5000}),
    BadRequest("/predict/tones", b"word1", 422, "Content-Type", "image/*", headers={"content-type": "text/plain"}),
    BadRequest("/incoming/notes", b"word1", 422, "Content-Type", "must be application/json", headers={"content-type": "text/plain"}),
    # --- corrections
    feedback({}, "sample", "is missing"),
    feedback({"sample": "word1"}, "label", "is missing"),
    feedback({"sample": "word1", "label": "happy"}, "label", "must be one of sad, glad, got 'happy'"),
    feedback({"sample": "word1", "label": 1}, "label"),
    feedback({"sample": "word1", "label": None}, "label"),
    feedback({"sample": "word1", "label": ["glad"]}, "label"),
    feedback({"sample": "", "label": "glad"}, "sample", "must contain at least one word"),
    feedback({"sample": "x" * 3000, "label": "glad"}, "sample", "at most 2000 bytes"),
    feedback({"sample": "word1", "label": "glad", "version": 1}, "version", "is not a known field"),
    feedback({"sample": "word1", "label": "dark"}, "sample", "base64", dataset="tones"),
    # --- paths and methods
    BadRequest("/predict/nots", {"samples": ["x"]}, 404, None, "must be one of tones, notes"),
    BadRequest("/predict/NOTES", {"samples": ["x"]}, 404, None, "must be one of tones, notes"),
    BadRequest("/predict/%2e%2e%2fetc", {"samples": ["x"]}, 404, None),
    BadRequest("/predict/%00", {"samples": ["x"]}, 404, None),
    BadRequest("/predict/%ff%fe", {"samples": ["x"]}, 404, None),
    BadRequest("/predict/%0a%1b[31m", {"samples": ["x"]}, 404, None),
    BadRequest("/predict/" + "x" * 5000, {"samples": ["x"]}, 404, None),
    BadRequest("/predict/notes/more", {"samples": ["x"]}, 404, None, "not found"),
    BadRequest("/predict", {}, 404, None, "not found"),
    BadRequest("/predict/", {}, 404, None, "not found"),
    BadRequest("/incoming/nots", {"sample": "x", "label": "glad"}, 404, None, "must be one of tones, notes"),
    BadRequest("/elsewhere", {}, 404, None, "not found"),
    BadRequest("/health", {}, 405, None, "does not support POST"),
    BadRequest("/predict/notes", b"", 405, None, "does not support GET", method="GET"),
    BadRequest("/predict/notes", {"samples": ["word1"]}, 405, None, "does not support PUT", method="PUT"),
    BadRequest("/predict/notes", b"", 405, None, "does not support DELETE", method="DELETE"),
    BadRequest("/predict/notes", b"", 405, None, "does not support TRACE", method="TRACE"),
    BadRequest("/incoming/notes", b"", 405, None, "does not support GET", method="GET"),
    # --- Host and Origin
    notes({"samples": ["word1"]}, "Host", "Host: must be one of", 403, headers={**JSON, "host": "evil.example"}),
    notes({"samples": ["word1"]}, "Host", "Host: must be one of", 403, headers={**JSON, "host": "127.0.0.1.evil.example"}),
    notes({"samples": ["word1"]}, "Host", "Host: must be one of", 403, headers={**JSON, "host": "[::1"}),
    notes({"samples": ["word1"]}, "Host", "Host: must be one of", 403, headers={**JSON, "host": ""}),
    notes({"samples": ["word1"]}, "Origin", "Origin: must be this service", 403, headers={**JSON, "origin": "http://evil.example"}),
    notes({"samples": ["word1"]}, "Origin", "Origin: must be this service", 403, headers={**JSON, "origin": "null"}),
    notes({"samples": ["word1"]}, "Origin", "Origin: must be this service", 403, headers={**JSON, "origin": "http://[bad"}),
)  # fmt: skip
