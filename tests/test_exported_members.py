"""The public API: `feedforward.__all__` is sorted and complete, and importing it is cheap."""

import subprocess
import sys

import pytest
from heavy_libraries import HEAVY_LIBRARIES

import feedforward
from feedforward import api


def test_all_is_sorted_and_has_no_duplicates() -> None:
    names = feedforward.__all__
    assert names == sorted(set(names), key=lambda name: (not name.isupper(), not name[0].isupper(), name))


@pytest.mark.parametrize("name", feedforward.__all__)
def test_every_public_name_has_a_value_and_every_callable_a_docstring(name: str) -> None:
    value = getattr(feedforward, name)
    assert value is not None
    if callable(value):
        assert value.__doc__, f"feedforward.{name}: has no docstring"


def test_every_function_in_the_api_module_is_exported() -> None:
    assert set(api.__all__) <= set(feedforward.__all__)
    public = {name for name, value in vars(api).items() if getattr(value, "__module__", "") == api.__name__}
    assert {name for name in public if name[0].islower()} <= set(api.__all__)


def test_an_unknown_name_raises_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'runner_of_all'"):
        _ = feedforward.runner_of_all


def test_importing_the_package_and_load_params_imports_no_heavy_library() -> None:
    script = f"import sys, feedforward; feedforward.load_params; print(*sorted({HEAVY_LIBRARIES!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
