"""A user's folder or file → an entry of params.yaml with the reason for each guess, for `feedforward init`.

`sources` chooses by the kind of file, `folders` and `tables` guess, `column_roles` looks at the columns of a table, and
`entry` writes the result. Whatever is written here is read again by `readers` with the same functions.
"""

from feedforward.data.config_inference.column_roles import Column
from feedforward.data.config_inference.entry import Guess, name_of, write
from feedforward.data.config_inference.sources import guess

__all__ = ["Column", "Guess", "guess", "name_of", "write"]
