"""The `feedforward` command line: arguments and printing only.

Belongs here: commands, options, help texts with examples, exit codes.
Does not belong here: anything that a notebook might call; the commands call other packages and `pipelines`.
"""
