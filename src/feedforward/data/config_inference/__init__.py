"""Turns a user's folder or file into an entry of params.yaml, with a reason for each guess, for `feedforward init`.

`sources` picks the module for the kind of file, `folders` and `tables` make the guesses, `column_roles` classifies the
columns of a table, and `entry` writes the result. Files are read with the same functions that `readers` uses later.
"""

from feedforward.data.config_inference.column_roles import Column
from feedforward.data.config_inference.entry import Guess, name_of, write
from feedforward.data.config_inference.sources import guess

__all__ = ["Column", "Guess", "guess", "name_of", "write"]
