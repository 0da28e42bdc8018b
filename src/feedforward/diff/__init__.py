"""`feedforward diff`: what decided two results, what came out, and where their predictions differ.

Belongs here: a run, a model version or a commit as a `Side`, and the comparison of two sides.
Does not belong here: statistics over seeds (`analysis`), and the comparison of variants (`experiments.comparison`).
"""
