"""Measures how long short requests wait while a large one is answered: `python -m bench.interference`, or `make bench`.

One client on loopback keeps asking for the label of a short text, over one connection. Another client sends a large
request once per round. The slowest answer to the short text shows for how long the large request blocks the event loop.
Writes reports/bench/interference.json.
"""

import asyncio
import base64
import io
import itertools
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from PIL import Image

from bench import clients, measure, serving, terminal
from bench.bench import Target
from feedforward.config.schema import Params, load_params
from feedforward.core import atomic_files
from feedforward.core.errors import NothingToServe
from feedforward.serving import prediction

PAUSE = 0.002  # s between short requests
LEAD = 0.1  # s before and after each large request in which only short ones are sent
SIDE = 4096  # pixels: the largest image that the service accepts
SHORT_BODY = {"samples": ["a fine film"]}
TARGET = Target("{}: slowest answer to a short text, ms", 50.0)

Body = Mapping[str, Any]


def main() -> None:
    """Measure, write, print."""
    parser = terminal.parser("interference", __doc__, "one round")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    report = measure_all(1 if options.quick else options.rounds) | {"quick": options.quick}
    if not report["rows"]:  # the reason has been printed
        return
    atomic_files.write_json(options.json, report)
    print(terminal.text(report, table(report), targets_table(report)))


def measure_all(rounds: int) -> dict[str, Any]:
    """Send each large request `rounds` times; short requests go to the first text dataset that has a champion."""
    machine, params, rows = measure.machine(), load_params(), dict[str, Any]()
    # the first dataset for each kind of sample
    datasets = {kind: name for name in reversed(params.datasets) if (kind := _sample_kind(name))}
    if "text" in datasets:
        with serving.feedforward_server() as service:
            short = clients.request(service.port, f"/predict/{datasets['text']}", SHORT_BODY)
            for name, (kind, body) in large_requests(params).items():
                if kind in datasets:
                    large = clients.request(service.port, f"/predict/{datasets[kind]}", body())
                    rows[name] = [asyncio.run(_measure_round(service.port, short, large)) for _ in range(rounds)]
                    print(name, rows[name][-1], flush=True)
    return {"machine": machine, "rounds": rounds, "rows": rows}


def _sample_kind(name: str) -> str:
    """The kind of sample that a dataset's champion takes; empty if there is no champion."""
    try:
        return prediction.champion(name).served.encoder.sample_kind
    except NothingToServe as error:
        print(error, flush=True)
        return ""


def large_requests(params: Params) -> dict[str, tuple[str, Callable[[], Body]]]:
    """The large requests by description: for each, the kind of sample, and a function that creates the body."""
    bounds = params.serving
    count, words = bounds.max_samples, [f"word{k}" for k in range(bounds.max_text_bytes)]
    longest = " ".join(words)[: bounds.max_text_bytes]
    text, image = " ".join(words[:230]), _image("L", 28)
    return {
        f"{count} one-letter texts, explained": ("text", lambda: {"samples": ["a"] * count, "explain": True}),
        f"{count} texts, all variants": ("text", lambda: {"samples": [text] * count, "variants": True}),
        "one text of the maximum size, explained": ("text", lambda: {"samples": [longest], "explain": True}),
        "a million numbers instead of texts": ("text", lambda: {"samples": [1] * 10**6}),
        f"{count} images, explained": ("image", lambda: {"samples": [image] * count, "explain": True}),
        f"a grayscale image of {SIDE} × {SIDE} pixels": ("image", lambda: {"samples": [_image("L", SIDE)]}),
        f"a transparent image of {SIDE} × {SIDE} pixels": ("image", lambda: {"samples": [_image("RGBA", SIDE)]}),
        "an array of 900 × 900 gray levels": ("image", lambda: {"samples": [[[0] * 899 + [255]] * 900]}),
    }


def _image(mode: str, side: int) -> str:
    """A bright rectangle on a black or transparent background, as a PNG in base64."""
    levels = np.zeros((side, side, len(mode)), np.uint8)
    levels[side // 4 : side // 2, side // 4 : side // 3] = 255
    buffer = io.BytesIO()
    Image.fromarray(levels.squeeze(), mode).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


async def _measure_round(port: int, short: bytes, large: bytes) -> dict[str, float]:
    """Send a large request while short ones are sent.

    seconds: duration of the large request. idle, slowest: ms of the slowest short request before it, and from its start
    until LEAD after its end.
    """
    waits: list[float] = []
    short_requests = asyncio.create_task(_keep_asking(port, short, waits))
    await asyncio.sleep(LEAD)
    before, began = len(waits), time.perf_counter()
    await clients.ask(*await asyncio.open_connection("127.0.0.1", port, limit=2**26), large)
    seconds = time.perf_counter() - began
    await asyncio.sleep(LEAD)
    short_requests.cancel()
    return {"seconds": seconds, "idle": 1000 * max(waits[:before]), "slowest": 1000 * max(waits[before:])}


async def _keep_asking(port: int, short: bytes, waits: list[float]) -> None:
    connection = await asyncio.open_connection("127.0.0.1", port)
    for _ in itertools.count():
        began = time.perf_counter()
        await clients.ask(*connection, short)
        waits.append(time.perf_counter() - began)
        await asyncio.sleep(PAUSE)


def _medians(report: Mapping[str, Any], name: str) -> dict[str, float]:
    rounds = report["rows"][name]
    return {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}


def table(report: Mapping[str, Any]) -> list[list[str]]:
    """A header and a row for each large request; medians over the rounds."""
    rows = [["large request", "s", "slowest short request before it, ms", "slowest during it, ms"]]
    for name in report["rows"]:
        row = _medians(report, name)
        rows.append([name, f"{row['seconds']:.2f}", f"{row['idle']:.1f}", f"{row['slowest']:.1f}"])
    return rows


def targets_table(report: Mapping[str, Any]) -> list[list[str]]:
    """A header and a row for each large request, with the target for the short ones."""
    rows = [["target", "limit", "measured", ""]]
    for name in report["rows"]:
        slowest = _medians(report, name)["slowest"]
        rows.append([TARGET.name.format(name), f"{TARGET.limit:g}", f"{slowest:.1f}", TARGET.verdict(slowest)])
    return rows


if __name__ == "__main__":
    main()
