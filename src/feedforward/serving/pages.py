"""The service's self-contained pages. Their policy permits only their own scripts, and requests to this service."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from feedforward.core.errors import FeedforwardError
from feedforward.data.readers.row_encoder import RowEncoder
from feedforward.promotion.bundle import Servable
from feedforward.reports import html_page
from feedforward.reports.html_page import digests
from feedforward.serving.handlers import Handlers
from feedforward.serving.prediction import Champion


@dataclass(frozen=True)
class Page:
    """A self-contained HTML page."""

    text: str

    def headers(self) -> dict[str, str]:
        """A content security policy that permits the page's own script and style, and requests to this service."""
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
    """The playground."""
    return Page(_environment().get_template("playground.html").render())


def monitoring(values: dict[str, Any]) -> Page:
    """The page about challengers and requests."""
    return Page(_environment().get_template("monitoring.html").render(values))


def feedback(titles: Mapping[str, str]) -> Page:
    """The page of samples from users. titles: of the datasets, by name."""
    return Page(_environment().get_template("feedback.html").render(titles=titles))


def interface(description: dict[str, Any], datasets: list[str]) -> Page:
    """The OpenAPI description as a page."""
    return Page(_environment().get_template("interface.html").render(api=description, datasets=datasets))


def offline(**values: Any) -> str:
    """The playground for a file, with a policy in it that forbids every request."""
    return html_page.with_policy(_environment().get_template("playground_file.html").render(values))


def _environment() -> Environment:
    loader = ChoiceLoader([PackageLoader("feedforward.serving"), PackageLoader("feedforward.reports")])  # page.html
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)


def datasets(handlers: Handlers) -> dict[str, Any]:
    """The body of `GET /datasets`: title, labels, champion and variants of each dataset, for the playground."""
    champions = handlers.models.champions()
    entries: dict[str, Any] = {}
    for name, dataset in handlers.datasets.items():
        entry: dict[str, Any] = {
            "title": dataset.title,
            "labels": dataset.labels,
            "champion": None,
            "takes": None,
            "answers": None,
        }
        entry |= {"variants": {}, "problem": handlers.models.problems.get(name)}
        if name in champions:
            entry |= _served(champions[name])
        else:
            entry["problem"] = handlers.models.problem(name)
        entries[name] = entry
    return {"datasets": entries}


def entry(champion: Champion) -> dict[str, Any]:
    """Title, labels, champion and variants of the champion's dataset."""
    description = champion.served.description
    return {"title": description.title, "labels": description.labels, **_served(champion)}


def _served(champion: Champion) -> dict[str, Any]:
    served = champion.served
    entry: dict[str, Any] = {
        "takes": served.encoder.takes,
        "answers": served.description.row.answers,
        "champion": {**_description(served), "version": champion.version.number},
    }
    if isinstance(served.encoder, RowEncoder):
        entry["columns"] = _columns(served.encoder)
    try:
        entry["variants"] = {name: _description(variant) for name, variant in champion.variants.items()}
    except FeedforwardError as error:  # the champion itself is sound and answers
        entry["problem"] = str(error)
    return entry


def _columns(encoder: RowEncoder) -> list[dict[str, Any]]:
    """The columns of a form: categories where there are any, else a number with its mean as an example."""
    numeric = [{"name": name, "example": mean} for name, mean, _ in encoder.measured.numeric]
    categorical = [{"name": name, "categories": list(values)} for name, values in encoder.measured.categorical]
    return [*numeric, *categorical]


def _description(served: Servable) -> dict[str, Any]:
    return {key: getattr(served.description, key) for key in ("variant", "seed", "epochs", "samples")}
