"""Great Expectations: one row per sample (`profile`), expectation suites (`expectations`), and their summary.

Belongs here: what must hold of a vectorized data set, and the page that says whether it does; the only use of Great
Expectations (`expectations`). Bounds come from `expectations` in params.yaml and from nowhere else.
Does not belong here: repairing data.
"""
