"""Shell completion offers the names in params.yaml, and nothing if the file is invalid."""

from pathlib import Path

import pytest

from feedforward.cli import options
from feedforward.config.schema import Params


def test_names_that_start_with_what_was_typed_are_offered(small: Params) -> None:
    assert list(options.dataset_names("no")) == ["notes"]
    assert list(options.variant_names("l")) == ["larger", "l2"]
    assert list(options.served_names("")) == ["all", *small.variants]
    assert list(options.served_names("d")) == ["dropout"]


@pytest.mark.parametrize(
    "content", ["datasets: 5", "datasets: [5, 6]", "datasets: null", "datasets: text", "x", "a: ["]
)
def test_invalid_params_offer_nothing(small: Params, tmp_path: Path, content: str) -> None:
    (tmp_path / "params.yaml").write_text(content)
    assert list(options.dataset_names("")) == list(options.variant_names("")) == []


def test_names_that_yaml_reads_as_numbers_are_offered_as_text(small: Params, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("variants: {12: {}, 5: {}}")
    assert list(options.variant_names("1")) == ["12"]
