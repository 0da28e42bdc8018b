"""From sources to validated, vectorized data sets: download, readers, splits, Great Expectations, user feedback.

    preparation.fetch → preparation.vectorize → preparation.validate

Belongs here: everything that touches raw data or features: `sources` (bytes), `readers` (files → features and
labels), `validation` (expectations), and the guess that `feedforward init` makes of a user's files.
Does not belong here: models, training, runs. Past `readers` no code knows which data set it works on.
"""
