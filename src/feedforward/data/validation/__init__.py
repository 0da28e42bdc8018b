"""Validation with Great Expectations: a row per sample (`profile`), rules for the rows (`expectations`), the checks
(`validator`), and a `summary`.

Belongs here: the requirements for a vectorized dataset, and the page that shows whether they are met; the only code
that uses Great Expectations.
Does not belong here: repairing data.
"""
