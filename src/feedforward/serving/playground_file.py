"""The playground as a single file that needs no service: networks, preprocessing and a script that computes answers.

The file looks and works like the service's page, but templates/answers*.js computes the answers instead of the service.
"""

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
from markupsafe import Markup

from feedforward.core.errors import DataError
from feedforward.data import manifest
from feedforward.data.readers import browser_settings
from feedforward.data.splits import Features
from feedforward.models import browser_network
from feedforward.promotion.bundle import Servable
from feedforward.serving import pages
from feedforward.serving.prediction import LoadedVersion

MAX_BYTES = 5_000_000  # of the file, by default
TOLERANCE = 0.002  # if rounding would change any probability by more than this, the network is not rounded
SAMPLES = 1000  # number of test samples on which that change is measured


@dataclass(frozen=True)
class PlaygroundFile:
    """A playground page. text: its HTML. left_out: bytes that each omitted variant would have added.

    largest_change: the largest change of a probability by rounding the weights, on the first test samples; None if it
    was not measured.
    """

    text: str
    variants: tuple[str, ...]
    left_out: Mapping[str, int]
    largest_change: float | None


@dataclass(frozen=True)
class _PackedNetwork:
    network: dict[str, Any]  # JSON-serializable
    largest_change: float | None

    @property
    def bytes(self) -> int:
        return len(_json(self.network))


def build(champion: LoadedVersion, max_bytes: int = MAX_BYTES) -> PlaygroundFile:
    """Build the page for a champion, with as many variants as fit into `max_bytes`, smallest first.

    The champion is always included, even if it does not fit.

    Raises:
        DataError: a variant was tampered with.
    """
    samples = _test_samples(champion.served)
    packed = {name: _pack(served, samples) for name, served in champion.select("all").items()}
    by_size = sorted(champion.variants, key=lambda name: packed[name].bytes)
    kept = len(by_size)
    while (page := _page(champion, packed, by_size[kept:])) and kept and len(page.text.encode()) > max_bytes:
        kept -= 1
    return page


def _page(champion: LoadedVersion, packed: Mapping[str, _PackedNetwork], omitted: list[str]) -> PlaygroundFile:
    served = champion.served
    kept = {name: item for name, item in packed.items() if name not in omitted}
    left_out = {name: packed[name].bytes for name in omitted}
    changes = [item.largest_change for item in kept.values() if item.largest_change is not None]
    largest_change = max(changes, default=None)
    entry = pages.entry(champion)
    entry["variants"] = {name: variant for name, variant in entry["variants"].items() if name in kept}
    model = {
        "name": served.description.dataset,
        "entry": entry,
        "encoder": browser_settings.script_settings(served.encoder),
        "networks": {name: item.network for name, item in kept.items()},
    }
    scripts = "\n".join(_script(name) for name in ("answers", f"answers_{served.encoder.sample_kind}"))
    page = pages.offline_playground(
        title=served.description.title,
        model=Markup(_json(model).replace("<", "\\u003c")),  # noqa: S704  the JSON contains no tags
        script=Markup(scripts),  # noqa: S704  scripts of this package
        left_out=", ".join(f"{name} ({size / 1e6:.1f} MB)" for name, size in left_out.items()),
        rounded=any(layer["kernel"]["bits"] == 16 for item in kept.values() for layer in item.network["layers"]),
        largest_change=f"{math.ceil(1e4 * largest_change) / 1e4:g}" if largest_change else None,  # rounded up
    )
    return PlaygroundFile(page, tuple(entry["variants"]), left_out, largest_change)


def _pack(served: Servable, samples: Features | None) -> _PackedNetwork:
    scaling = {"target": served.description.target or (0.0, 1.0), "temperature": served.network.temperature}
    rounded, largest_change = browser_network.round_kernels(served.network), None
    if served.description.task_definition.answers == "value":  # values may have any unit, so TOLERANCE does not apply
        rounded = served.network
    elif samples is not None:
        rounded_model = dataclasses.replace(served, network=rounded)
        largest_change = float(np.abs(rounded_model.predict(samples) - served.predict(samples)).max())
        rounded, largest_change = (served.network, 0.0) if largest_change > TOLERANCE else (rounded, largest_change)
    return _PackedNetwork({**browser_network.to_json(rounded), **scaling}, largest_change)


def _test_samples(served: Servable) -> Features | None:
    """Features of the first test samples; None unless the data that the network was trained on is available."""
    name = served.description.dataset
    try:
        if manifest.load(name)["data_digest"] != served.description.data_digest:
            return None
        test = manifest.load_split(name, "test")
    except DataError:
        return None
    return test.rows(0, min(SAMPLES, len(test))).features


def _script(name: str) -> str:
    return resources.files("feedforward.serving").joinpath("templates", f"{name}.js").read_text(encoding="utf-8")


def _json(values: object) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))
