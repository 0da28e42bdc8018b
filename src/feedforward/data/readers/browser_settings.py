"""Settings for the script of the playground page, so that it encodes samples exactly as in training.

They contain the encoder's data, and the constants and regular expressions of `tokenizer`, `cells`, `columns` and
`image_preprocessing`, so that the script does not duplicate them.
"""

from typing import Any

from feedforward.data.readers import cells, columns, image_preprocessing, tokenizer
from feedforward.data.readers.encoders import Encoder
from feedforward.data.readers.row_encoder import RowEncoder
from feedforward.data.readers.text_encoder import TextEncoder


def script_settings(encoder: Encoder) -> dict[str, Any]:
    """The settings for this encoder, as JSON-serializable values, keyed by the names that the script uses."""
    if isinstance(encoder, TextEncoder):
        return _text_settings(encoder)
    if isinstance(encoder, RowEncoder):
        return _row_settings(encoder)
    thresholds = {"contrast": image_preprocessing.MIN_CONTRAST, "boxThreshold": image_preprocessing.BOX_THRESHOLD}
    return {**encoder.settings(), **thresholds}


def _text_settings(encoder: TextEncoder) -> dict[str, Any]:
    return {
        "kind": "words",
        "vocabulary": "\n".join(encoder.vocabulary.words),  # line breaks are in FILTERS, so no word contains one
        "first": tokenizer.RANK_OFFSET + 1,
        "start": tokenizer.START,
        "dropped": tokenizer.DROPPED,
        "softHyphen": tokenizer.SOFT_HYPHEN,
        "patterns": [
            tokenizer.SEPARATORS.pattern,
            tokenizer.APOSTROPHES.pattern,
            tokenizer.CHARACTER_WORDS.pattern,
            f"[{tokenizer.ESCAPED_FILTERS}]",
        ],
    }


def _row_settings(encoder: RowEncoder) -> dict[str, Any]:
    measured = encoder.measured
    patterns = {
        "plain": cells.PLAIN[measured.decimal].pattern,
        "grouped": cells.GROUPED[measured.decimal].pattern,
        "otherSign": cells.PLAIN[cells.OTHER_SIGN[measured.decimal]].pattern,
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
        "grouped": measured.grouped,
        "dates": measured.dates,
        "missingCategories": sorted(cells.missing_categories(measured.missing, measured.decimal)),
        "missingNumbers": sorted(cells.missing_numbers(measured.missing, measured.decimal)),
        "largest": columns.LARGEST,
        "alwaysMissing": sorted(cells.MISSING),
        "missingInNumbers": sorted(cells.MISSING_IN_NUMBERS),
        "infinite": sorted(cells.INFINITE),
        "invisible": cells.INVISIBLE,
        "patterns": patterns,
    }
