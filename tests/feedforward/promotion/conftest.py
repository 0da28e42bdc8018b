"""Params with a promotion rule, and a dataset that can be served."""

import pytest
import registered

from feedforward.config.schema import Params, Promotion

RULE = Promotion(minimum_gain=0.001, class_accuracy=0.75, max_bytes=10**6, max_latency=100.0)


@pytest.fixture
def params(small: Params) -> Params:
    """The small params with a promotion rule; the `notes` dataset has a vocabulary, so that it can be served."""
    registered.write_vocabulary()
    return small.model_copy(update={"promotion": RULE})
