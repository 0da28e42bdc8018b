"""What a script in a page needs to encode samples as training did: the encoder's data and the readers' own rules.

Regular expressions and constants are those of `tokenizer`, `cells`, `columns` and `image_preprocessing`, so that the
script has no copy of them.
"""

from typing import Any

from feedforward.data.readers import cells, columns, image_preprocessing, tokenizer
from feedforward.data.readers.encoders import Encoder
from feedforward.data.readers.row_encoder import RowEncoder
from feedforward.data.readers.text_encoder import TextEncoder


def of(encoder: Encoder) -> dict[str, Any]:
    """JSON values."""
    if isinstance(encoder, TextEncoder):
        return _words(encoder)
    if isinstance(encoder, RowEncoder):
        return _cells(encoder)
    frame = {"contrast": image_preprocessing.MIN_CONTRAST, "share": image_preprocessing.BOX_THRESHOLD}
    return {**encoder.settings(), **frame}


def _words(encoder: TextEncoder) -> dict[str, Any]:
    filters = "".join(f"\\x{ord(character):02x}" for character in tokenizer.FILTERS)
    return {
        "kind": "words",
        "vocabulary": "\n".join(encoder.vocabulary.words),  # no word contains a line break: that is a filter
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
