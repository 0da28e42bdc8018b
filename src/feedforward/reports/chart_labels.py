"""Names next to charts: how wide they are, and how they are shortened to the available width."""

import unicodedata
from collections.abc import Iterable

from markupsafe import Markup, escape


def text_width(text: str) -> int:
    """About the width of a text, in pixels; Chinese characters, for example, are twice as wide as letters."""
    return sum(14 if unicodedata.east_asian_width(character) in "WF" else 7 for character in text)


def name_width(names: Iterable[str], chart_width: int) -> int:
    """The width to reserve for names next to a chart, so that most of its width is left for the chart."""
    return min(max(map(text_width, names), default=0), round(0.4 * chart_width))


def shortened(name: str, width: float) -> Markup:
    """The content of a <text> element: a name of at most `width` pixels, with the full name as tooltip if shortened."""
    if text_width(name) <= width:
        return escape(name)
    longest = min(len(name), int(width // 7))
    kept = next((k for k in range(longest, 1, -1) if text_width(name[:k] + "…") <= width), 1)
    return Markup("{}…<title>{}</title>").format(name[:kept], name)
