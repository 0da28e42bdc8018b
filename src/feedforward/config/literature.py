"""`datasets.*.literature`: published results on the same test split, drawn beside our own."""

from typing import Annotated, Literal

from pydantic import Field

from feedforward.config.fields import Line, Strict

TestStatistic = Literal["test_loss", "test_accuracy", "test_auc", "test_f1", "test_mae", "test_r2"]


class Published(Strict):
    """A published result. The best of a dataset is its ceiling: results above it are flagged, because data may leak."""

    model: Annotated[Line, Field(min_length=1)]  # what was trained
    features: Annotated[Line, Field(min_length=1)]  # what it was trained on
    statistic: TestStatistic = "test_accuracy"  # the statistic that was published
    value: float  # its value on the test split
    standard_error: Annotated[float, Field(gt=0)]  # of `value`, from the number of test samples
    source: Annotated[Line, Field(min_length=1)]  # where it was published
