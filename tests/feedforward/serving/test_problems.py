"""Messages for clients contain no folder of the machine."""

import pytest

from feedforward.core.errors import DataError, InputError
from feedforward.serving import problems


@pytest.mark.parametrize(
    ("message", "public"),
    [
        ("/srv/ann/a b/weights.npz: has changed; run `x`", "weights.npz: has changed; run `x`"),
        ("notes: not compared (No such file: '/srv/x/y.json')", "notes: not compared (No such file: 'y.json')"),
        ("cannot read file:///srv/ann/mlruns/m-1: damaged", "cannot read m-1: damaged"),
        ("sqlite:////srv/ann/mlruns/mlflow.db: cannot be read", "mlflow.db: cannot be read"),
        ("http://127.0.0.1:5000/a/b: see docs/x.md", "http://127.0.0.1:5000/a/b: see docs/x.md"),
        ("label must be and/or, got 1/2/3", "label must be and/or, got 1/2/3"),
    ],
)  # fmt: skip
def test_only_the_last_part_of_an_absolute_path_is_shown(message: str, public: str) -> None:
    assert problems.without_folders(message) == public


def test_the_log_names_the_path_that_an_error_response_leaves_out(caplog: pytest.LogCaptureFixture) -> None:
    assert problems.error_response(DataError("/srv/ann/x.npz: is damaged")).error == "x.npz: is damaged"
    assert "/srv/ann/x.npz: is damaged" in caplog.text
    own_text = problems.error_response(InputError("label", "must be one of a, got '/a/b/'"))
    assert own_text.error == "label: must be one of a, got '/a/b/'"
