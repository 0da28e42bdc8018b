"""Checks the arguments of public functions: Python does not, and errors from further inside would mislead a user."""

import functools
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, ForwardRef, Literal, ParamSpec, SupportsIndex, TypeVar, get_args, get_origin

from feedforward.core.errors import ParamsError

P = ParamSpec("P")
R = TypeVar("R")
MAX_SHOWN = 40  # characters of a value in a message
NAMES = {
    "str": "a text",
    "int": "an integer",
    "NoneType": "None",
    "Params": "what `ff.load_params` returns",
    "Findings": "a result of `ff.compare`",
    "RunResult": "a result of `ff.train`",
}


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """The function; it raises ParamsError if it is called with an argument that does not have the annotated type."""
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            arguments = signature.bind(*args, **kwargs).arguments
        except TypeError:  # an argument is missing or unknown: Python says so, with the function's name
            return function(*args, **kwargs)
        for name, value in arguments.items():
            if problem := _problem(signature.parameters[name].annotation, value):
                raise ParamsError([f"{function.__name__}: {name}: {problem}"])
        return function(*args, **kwargs)

    return call


def _problem(annotation: Any, value: Any) -> str:
    """Why the value does not have the type, in one line; empty if it has."""
    inner = get_args(annotation)
    if get_origin(annotation) is Literal:
        is_one = isinstance(value, str) and value in inner
        return "" if is_one else f"must be one of {', '.join(inner)}, got {_shown(value)}"
    if isinstance(get_origin(annotation), type) and issubclass(get_origin(annotation), Iterable):
        if isinstance(value, str):
            return f"must be a list, got {_shown(value)}; write [{_shown(value)}]"
        is_one_sample = isinstance(value, bytes) or (isinstance(value, Mapping) and inner[0] is Any)
        is_scalar = getattr(value, "ndim", 1) == 0  # of NumPy: iterable by type only
        if is_one_sample or is_scalar or not isinstance(value, Iterable):
            return f"must be a list, got {_shown(value)}"
        elements = value if isinstance(value, Collection) else ()  # a generator's elements can be read only once
        problems = (f"each element {problem}" for element in elements if (problem := _problem(inner[0], element)))
        return next(problems, "")
    if isinstance(annotation, str | ForwardRef):  # a class that this module cannot import, because it loads slowly
        name = annotation if isinstance(annotation, str) else annotation.__forward_arg__
        return "" if type(value).__name__ == name else f"must be {NAMES[name]}, got {_shown(value)}"
    if annotation is Any or isinstance(value, SupportsIndex if annotation is int else annotation):
        return ""  # NumPy's integers are integers
    expected = " or ".join(NAMES.get(option.__name__, option.__name__) for option in inner or (annotation,))
    return f"must be {expected}, got {_shown(value)}"


def _shown(value: Any) -> str:
    is_plain = value is None or isinstance(value, str | int | float)
    return repr(value)[:MAX_SHOWN] if is_plain else f"an object of type {type(value).__name__}"
