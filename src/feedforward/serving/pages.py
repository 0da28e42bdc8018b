"""The service's own pages: self-contained, nothing from elsewhere, nothing but their own script may run."""

import base64
import functools
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from feedforward.core.errors import FeedforwardError
from feedforward.serving.handlers import Lanes

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Page:
    """A page of one file."""

    text: str

    def headers(self) -> dict[str, str]:
        """A policy under which only the page's own script and style count, and only this service is asked."""
        scripts = " ".join(_digests(self.text, "script")) or "'none'"
        styles = " ".join(_digests(self.text, "style")) or "'none'"
        policy = {
            "default-src": "'none'",
            "script-src": scripts,
            "style-src": styles,
            "img-src": "data: blob:",
            "connect-src": "'self'",
            "base-uri": "'none'",
            "form-action": "'none'",
            "frame-ancestors": "'none'",
        }
        return {"content-security-policy": "; ".join(f"{key} {value}" for key, value in policy.items())}


def _digests(text: str, tag: str) -> list[str]:
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    return [f"'sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}'" for part in found]


@functools.cache
def playground() -> Page:
    """The page to play with."""
    return Page(_environment().get_template("playground.html").render())


def interface(description: dict[str, Any], datasets: list[str]) -> Page:
    """The OpenAPI description as a page."""
    return Page(_environment().get_template("interface.html").render(api=description, datasets=datasets))


def _environment() -> Environment:
    return Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True)


def datasets(lanes: Lanes) -> dict[str, Any]:
    """What the page must know: of each data set its title, labels, and what serves it."""
    champions = lanes.shelf.champions()
    told: dict[str, Any] = {}
    for name, dataset in lanes.datasets.items():
        entry: dict[str, Any] = {"title": dataset.title, "labels": dataset.labels, "champion": None, "takes": None}
        entry |= {"variants": {}, "problem": lanes.shelf.problems.get(name)}
        if name in champions:
            found = champions[name]
            entry |= {"takes": found.served.encoder.takes, "champion": _told(found.served.description)}
            entry["champion"]["version"] = found.version.number
            try:
                entry["variants"] = {key: _told(each.description) for key, each in found.variants.items()}
            except FeedforwardError as error:  # the champion itself is sound and answers
                entry["problem"] = str(error)
        else:
            entry["problem"] = lanes.shelf.problem(name)
        told[name] = entry
    return {"datasets": told}


def _told(description: Any) -> dict[str, Any]:
    return {key: getattr(description, key) for key in ("variant", "seed", "epochs", "samples")}
