"""`datasets.*.literature`: published results on the same test split, plotted next to the project's results."""

from typing import Annotated, Literal

from pydantic import Field

from feedforward.config.fields import Line, Strict

TestStatistic = Literal["test_loss", "test_accuracy", "test_auc", "test_f1", "test_mae", "test_r2"]


class Published(Strict):
    """A published result. Runs that clearly beat the best published result are reported as possible leakage."""

    model: Annotated[Line, Field(min_length=1)]  # the model that was trained
    features: Annotated[Line, Field(min_length=1)]  # the features it was trained on
    statistic: TestStatistic = "test_accuracy"  # the published statistic
    value: float  # the published value on the test split
    standard_error: Annotated[float, Field(gt=0)]  # standard error of `value` over the test samples
    source: Annotated[Line, Field(min_length=1)]  # the publication
