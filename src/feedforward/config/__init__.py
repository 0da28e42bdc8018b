"""params.yaml as frozen objects: reading the file, the schema, checks across keys, and the table of tasks.

Belongs here: every key of params.yaml with its type, bounds and default, and which keys contradict each other.
Does not belong here: code that uses the values. Nothing here reads data, trains or plots.
Imports only `core`.
"""
