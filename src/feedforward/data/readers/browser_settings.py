"""The settings with which a page's script encodes samples as in training: the encoder's data and the readers' rules.

Regular expressions and constants are taken from `tokenizer`, `cells`, `columns` and `image_preprocessing`, so that the
script needs no copy of them.
"""

from typing import Any

from feedforward.data.readers import cells, columns, image_preprocessing, tokenizer
from feedforward.data.readers.encoders import Encoder
from feedforward.data.readers.row_encoder import RowEncoder
from feedforward.data.readers.text_encoder import TextEncoder


def of(encoder: Encoder) -> dict[str, Any]:
    """The settings for this encoder, as JSON-serializable values."""
    if isinstance(encoder, TextEncoder):
        return _words(encoder)
    if isinstance(encoder, RowEncoder):
        return _cells(encoder)
    thresholds = {"contrast": image_preprocessing.MIN_CONTRAST, "share": image_preprocessing.BOX_THRESHOLD}
    return {**encoder.settings(), **thresholds}


def _words(encoder: TextEncoder) -> dict[str, Any]:
    filters = "".join(f"\\x{ord(character):02x}" for character in tokenizer.FILTERS)
    return {
        "kind": "words",
        "vocabulary": "\n".join(encoder.vocabulary.words),  # no word contains a line break, which is a filter
        "first": tokenizer.RANK_OFFSET + 1,
        "start": tokenizer.START,
        "dropped": tokenizer.DROPPED,
        "patterns": [tokenizer.BLANK.pattern, tokenizer.UNSPACED.pattern, f"[{filters}]"],
    }


def _cells(encoder: RowEncoder) -> dict[str, Any]:
    measured = encoder.measured
    patterns = {
        "plain": cells.PLAIN[measured.decimal].pattern,
        "grouped": cells.GROUPED[measured.decimal].pattern,
        "canonical": cells.CANONICAL[measured.decimal].pattern,
        "date": cells.ISO_DATE.pattern,
        "symbol": cells.SYMBOL.pattern,
    }
    return {
        "kind": "columns",
        "numeric": measured.numeric,
        "categorical": measured.categorical,
        "decimal": measured.decimal,
        "missing": measured.missing,
        "largest": columns.LARGEST,
        "nothing": sorted(cells.MISSING),
        "noNumber": sorted(cells.NO_NUMBER),
        "infinite": sorted(cells.INFINITE),
        "invisible": cells.INVISIBLE,
        "patterns": patterns,
    }
