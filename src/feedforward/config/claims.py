"""`datasets.*.claims`: statements about variants that are judged across seeds."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from feedforward.config.fields import Line, Name, Strict

StatisticName = Literal[
    "best_val_cross_entropy",
    "best_epoch",
    "best_val_accuracy",
    "best_val_mae",
    "last_val_cross_entropy",
    "last_val_accuracy",
    "last_val_mae",
    "last_calibration_error",
    "last_brier_score",
    "generalization_gap",
    "slope",
    "rise",
    "test_loss",
    "test_accuracy",
    "test_auc",
    "test_f1",
    "test_mae",
    "test_r2",
]

Margins = dict[StatisticName, Annotated[float, Field(gt=0)]]


class Claim(Strict):
    """A claim to judge: the statistic of `left` is lower than, higher than, or equal to that of `right`, or to `value`.

    "Equal" means that the difference, in either direction, is at most `tolerance`.
    """

    text: Annotated[Line, Field(min_length=1)]  # the statement in words
    statistic: StatisticName  # the statistic that is compared ([comparison.md](comparison.md))
    left: Name  # the variant that the claim is about
    # whether the statistic of `left` is lower than, higher than, or equal to `right` or `value`
    direction: Literal["lower", "higher", "equal"]
    right: Name | None = None  # the variant that `left` is compared with
    # a constant, in the statistic's unit, to compare `left` with instead of `right`
    value: Annotated[float | None, Field(validate_default=True)] = None
    # maximum difference that counts as equal, for `direction: equal`
    tolerance: Annotated[float | None, Field(gt=0, validate_default=True)] = None

    @field_validator("right")
    @classmethod
    def _check_right(cls, right: str | None, info: ValidationInfo) -> str | None:
        if right is not None and right == info.data.get("left"):
            raise ValueError("must differ from `left`")
        return right

    @field_validator("value")
    @classmethod
    def _check_value(cls, value: float | None, info: ValidationInfo) -> float | None:
        if "right" in info.data and (info.data["right"] is None) == (value is None):
            raise ValueError("a claim needs either `right` (a variant) or `value` (a number)")
        return value

    @field_validator("tolerance")
    @classmethod
    def _check_tolerance(cls, tolerance: float | None, info: ValidationInfo) -> float | None:
        if "direction" in info.data and (info.data["direction"] == "equal") != (tolerance is not None):
            raise ValueError("is required with `direction: equal`, and not allowed otherwise")
        return tolerance
