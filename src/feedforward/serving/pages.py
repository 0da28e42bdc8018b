"""The service's self-contained pages. A content security policy keeps them from loading anything from other hosts."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from feedforward.core.errors import FeedforwardError
from feedforward.data.readers.image_encoder import ImageEncoder
from feedforward.data.readers.row_encoder import RowEncoder
from feedforward.promotion.bundle import Servable
from feedforward.reports import html_page
from feedforward.reports.html_page import digests
from feedforward.serving.handlers import Handlers
from feedforward.serving.prediction import LoadedVersion


@dataclass(frozen=True)
class Page:
    """A self-contained HTML page."""

    text: str

    @functools.cached_property
    def headers(self) -> dict[str, str]:
        """A content security policy: only the page's own scripts, styles and images, and requests to this service."""
        scripts, styles = (" ".join(digests(self.text, tag)) or "'none'" for tag in ("script", "style"))
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


@functools.cache
def playground() -> Page:
    """The playground page."""
    return Page(_environment().get_template("playground.html").render())


def monitoring(values: dict[str, Any]) -> Page:
    """The monitoring page. values: see `serving.monitoring.values`."""
    return Page(_environment().get_template("monitoring.html").render(values))


def feedback(titles: Mapping[str, str]) -> Page:
    """The page for reviewing user-submitted samples. titles: the title of each dataset, by name."""
    return Page(_environment().get_template("feedback.html").render(titles=titles))


def interface(description: dict[str, Any], datasets: list[str]) -> Page:
    """The API documentation page. description: the OpenAPI document. datasets: the names of the datasets."""
    return Page(_environment().get_template("interface.html").render(api=description, datasets=datasets))


def offline_playground(**values: Any) -> str:
    """The HTML of the standalone playground file, with an embedded policy that forbids all network requests."""
    return html_page.with_policy(_environment().get_template("playground_file.html").render(values))


@functools.cache
def _environment() -> Environment:
    # page.html, which all templates extend, is in feedforward.reports
    loader = ChoiceLoader([PackageLoader("feedforward.serving"), PackageLoader("feedforward.reports")])
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)


def datasets(handlers: Handlers) -> dict[str, Any]:
    """The body of `GET /datasets`, for the playground: each dataset's title, labels, champion, variants and problem."""
    champions = handlers.models.champions()
    entries: dict[str, Any] = {}
    for name, dataset in handlers.datasets.items():
        entry: dict[str, Any] = {
            "title": dataset.title,
            "labels": dataset.labels,
            "champion": None,
            "sample_kind": None,
            "answers": None,
        }
        entry |= {"variants": {}, "problem": handlers.models.problems.get(name)}
        if name in champions:
            entry |= _serving_entry(champions[name])
        else:
            entry["problem"] = handlers.models.problem(name)
        entries[name] = entry
    return {"datasets": entries}


def entry(champion: LoadedVersion) -> dict[str, Any]:
    """The playground's entry for the champion's dataset: title, labels, champion and variants."""
    description = champion.served.description
    return {"title": description.title, "labels": description.labels, **_serving_entry(champion)}


def _serving_entry(champion: LoadedVersion) -> dict[str, Any]:
    """The part of a dataset's entry that depends on its champion."""
    served = champion.served
    entry: dict[str, Any] = {
        "sample_kind": served.encoder.sample_kind,
        "answers": served.description.task_definition.answers,
        "champion": {**_description(served), "version": champion.version.number},
    }
    if isinstance(served.encoder, RowEncoder):
        entry["columns"] = _columns(served.encoder)
    if isinstance(served.encoder, ImageEncoder):  # a drawing is not inverted unless all images are, as for MNIST
        entry["background"] = served.encoder.settings().get("background", "light")
    try:
        entry["variants"] = {name: _description(variant) for name, variant in champion.variants.items()}
    except FeedforwardError as error:  # the champion itself is intact and keeps serving
        entry["problem"] = str(error)
    return entry


def _columns(encoder: RowEncoder) -> list[dict[str, Any]]:
    """The form fields for a row: numeric columns with their means as examples, then columns with their categories."""
    decimal = encoder.measured.decimal
    numeric = [{"name": name, "example": mean, "decimal": decimal} for name, mean, _ in encoder.measured.numeric]
    categorical = [{"name": name, "categories": list(values)} for name, values in encoder.measured.categorical]
    return [*numeric, *categorical]


def _description(served: Servable) -> dict[str, Any]:
    """What the playground says about a network."""
    return {key: getattr(served.description, key) for key in ("variant", "seed", "epochs", "samples")}
