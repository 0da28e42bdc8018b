"""From sources to vectorized, validated datasets: download, readers, splits, Great Expectations, user feedback.

    preparation.fetch → preparation.vectorize → preparation.validate

Belongs here: everything that touches raw data or features: `sources` (bytes), `readers` (files → features and
labels), `validation` (expectations), and the entry of params.yaml that `feedforward init` infers from a user's files.
Does not belong here: models, training, runs. Code outside `readers` does not depend on which dataset it works on.
"""
