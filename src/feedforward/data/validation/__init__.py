"""Great Expectations: one row per sample (`profile`), rules for them (`rules`), suites (`expectations`) and a summary.

Belongs here: the requirements for a vectorized dataset, and the page that shows whether they are met; the only use of
Great Expectations. Bounds come from `expectations` in params.yaml only.
Does not belong here: repairing data.
"""
