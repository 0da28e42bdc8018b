"""Whether the next `vectorize` draws other test rows of a table, because the reader lists other columns than before."""

from feedforward.config.schema import Dataset, TableReader
from feedforward.core import paths
from feedforward.data.readers import columns
from feedforward.data.readers.row_encoder import COLUMNS


def is_drawn_again(name: str, dataset: Dataset) -> bool:
    """Whether the hash of the rows of a table, which decides on the test split, changes with the columns of the reader.

    False if the dataset has not been vectorized, or if it has a test file.
    """
    reader = dataset.reader
    if not isinstance(reader, TableReader) or reader.test_file is not None:
        return False
    try:
        before = columns.from_json((paths.vectorized(name) / COLUMNS).read_bytes())
    except (OSError, ValueError, KeyError, TypeError):
        return False
    numeric, categorical = ({column[0] for column in listed} for listed in (before.numeric, before.categorical))
    return (numeric, categorical, before.decimal) != ({*reader.numeric}, {*reader.categorical}, reader.decimal)
