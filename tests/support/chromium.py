"""The installed Chromium, driven by Playwright. EXECUTABLE: its path, or None if it is not installed."""

import contextlib
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page

sync = pytest.importorskip("playwright.sync_api")

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
EXECUTABLE = next(filter(None, map(shutil.which, BROWSERS)), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(EXECUTABLE is None, reason=f"none of {', '.join(BROWSERS)} is installed"),
]

TIMEOUT_MS = 20_000  # the playground polls the service every 3 s, and a busy machine is slow
sync.expect.set_options(timeout=TIMEOUT_MS)
# JavaScript that returns the lowest contrast between a visible text and its background, and that text.
CONTRAST = """() => {
  const dot = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d");
  const over = (color, below) => {
    dot.fillStyle = `rgb(${below})`; dot.fillRect(0, 0, 1, 1);
    dot.fillStyle = color; dot.fillRect(0, 0, 1, 1);
    return [...dot.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  };
  const luminance = (rgb) => rgb.map((x) => x / 255)
    .map((x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4))
    .reduce((sum, x, k) => sum + x * [0.2126, 0.7152, 0.0722][k], 0);
  const background = (at) =>
    at ? over(getComputedStyle(at).backgroundColor, background(at.parentElement)) : [255, 255, 255];
  let lowest = [99, ""];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const at = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !at.checkVisibility() || at.closest("script, :disabled, .veiled")) continue;
    const behind = background(at), front = over(getComputedStyle(at).color, behind);
    const levels = [luminance(behind), luminance(front)];
    const ratio = (Math.max(...levels) + 0.05) / (Math.min(...levels) + 0.05);
    if (ratio < lowest[0]) lowest = [ratio, texts.currentNode.data.trim()];
  }
  return lowest;
}"""


def watched_page(context: "BrowserContext", *allowed: str) -> tuple["Page", list[str]]:
    """Open a page, and return it with a list that collects errors and requests to addresses that are not `allowed`."""
    page, problems = context.new_page(), list[str]()
    page.set_default_timeout(TIMEOUT_MS)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: None if request.url.startswith(allowed) else problems.append(request.url))
    return page, problems


@contextlib.contextmanager
def silent_page(context: "BrowserContext", address: str) -> Iterator["Page"]:
    """Open the file at `address`, and check after the block that the page used no network and reported no error."""
    page, problems = watched_page(context, "file:", "data:")
    page.goto(address)
    yield page
    context.close()
    assert not problems
