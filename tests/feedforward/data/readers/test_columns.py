"""The measured columns of a table."""

from pathlib import Path

import numpy as np
import pytest
from own_tables import LABELS, Prepare, table

from feedforward.core import paths
from feedforward.data.readers import columns
from feedforward.data.splits import Split

UNITS = [1e-200, 1e-14, 1.0, 1e9]
VALUES = np.random.default_rng(0).normal(3.0, 0.5, 60)


@pytest.mark.proves(
    "Columns and targets whose numbers are very small, such as counts of molecules in mol, are standardized like others"
)
@pytest.mark.parametrize("unit", UNITS)
def test_numbers_are_standardized_whatever_their_unit(tmp_path: Path, prepare: Prepare, unit: float) -> None:
    numbers = [f"{value * unit:.17g}" for value in VALUES]
    prepare(table(tmp_path / "a.csv", level=numbers, label=LABELS))
    assert np.asarray(Split.load(paths.vectorized("own") / "train").features).std() == pytest.approx(1, abs=1e-6)
    _, dataset = prepare(table(tmp_path / "b.csv", level=[f"{k % 7}.5" for k in range(60)], target=numbers))
    assert dataset.task == "regression"
    assert np.asarray(Split.load(paths.vectorized("own") / "train").labels).std() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("values", [[0.1] * 7, [0.0, 0.0], [-1e200] * 3, [3e-300]])
def test_equal_values_have_scale_one_despite_rounding(values: list[float]) -> None:
    mean, scale = columns.mean_and_scale(np.array(values))
    assert (mean, scale) == (pytest.approx(values[0]), 1.0)


@pytest.mark.parametrize("unit", [*UNITS, 1e200])
def test_mean_and_scale_have_the_digits_that_numpy_computes(unit: float) -> None:
    mean, scale = columns.mean_and_scale(VALUES * unit)
    if 1e-100 < unit < 1e100:  # beyond these, NumPy's sum of squares is 0 or infinite
        assert (mean, scale) == ((VALUES * unit).mean(), (VALUES * unit).std())
    assert (mean / unit, scale / unit) == (pytest.approx(VALUES.mean()), pytest.approx(VALUES.std()))
