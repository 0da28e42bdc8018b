"""`feedforward diff` compares two results: what determined them, their metrics, and where their predictions differ.

Belongs here: describing a run, a model version or a commit as a `Side`, and comparing two sides.
Does not belong here: statistics over seeds (`analysis`), or comparing variants (`experiments.comparison`).
"""
