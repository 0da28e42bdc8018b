"""Describe validation errors of params.yaml in terms of YAML instead of Python."""

from collections.abc import Iterator
from typing import get_args

from pydantic import ValidationError

from feedforward.config import cross_checks
from feedforward.config.fields import Strict
from feedforward.core.redaction import shown

# Replacements for pydantic's messages that use Python terms
_WORDING = {
    "extra_forbidden": "unknown key",
    "missing": "is missing",
    "invalid_key": "a key must be text",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "dict_type": "must be keys and values",
    "model_type": "must be keys and values",
    "too_short": "its length must be at least {min_length}",
    "too_long": "its length must be at most {max_length}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "finite_number": "must be a finite number",
    "literal_error": "must be {expected}",
    "string_pattern_mismatch": "must match {pattern}",
    "union_tag_not_found": "needs a {discriminator}",
    "union_tag_invalid": "{discriminator} must be one of {expected_tags}, got {tag}",
    "value_error": "{error}",
}
# Errors whose messages do not show the value
_WITHOUT_VALUE = ("extra_forbidden", "missing", "invalid_key", "union_tag_not_found", "union_tag_invalid")


def explain(error: ValidationError) -> Iterator[str]:
    """Yield one line per mistake: the key, what it must be, the value, and for an unknown key, the most similar key."""
    for problem in error.errors(include_url=False):
        error_type, path, message = problem["type"], problem["loc"], problem["msg"]
        if not path:
            continue  # an error of `_check_across_keys`; `schema.check` repeats these checks on the values as read
        if path[0] == "datasets" and path[2:3] == ("reader",):
            path = path[:3] + path[4:]  # pydantic inserts `reader.kind`, which is not part of the path in the file
        bounds = {
            key: f"{value:.15g}" if isinstance(value, float) else value for key, value in problem.get("ctx", {}).items()
        }
        wording = _WORDING[error_type].format(**bounds) if error_type in _WORDING else message[:1].lower() + message[1:]
        got = "" if error_type in _WITHOUT_VALUE else f", got {shown(problem['input'])}"
        hint = _hint(path) if error_type == "extra_forbidden" else ""
        yield f"{'.'.join(shown(part) for part in path if part != '[key]')}: {shown(wording)}{got}{hint}"


def _hint(path: tuple[int | str, ...]) -> str:
    """A hint on an unknown key: where it belongs, or the most similar key."""
    owners = [model for model in _models(Strict) if path[-1] in model.model_fields]
    if not owners:
        return cross_checks.nearest(str(path[-1]), {key for model in _models(Strict) for key in model.model_fields})
    kinds = [get_args(model.model_fields["kind"].annotation)[0] for model in owners if "kind" in model.model_fields]
    is_reader = path[0] == "datasets" and path[2:3] == ("reader",)
    return (
        f"; it belongs to the kind {' or '.join(kinds)}" if is_reader and kinds else "; it belongs to another section"
    )


def _models(model: type[Strict]) -> Iterator[type[Strict]]:
    for subclass in model.__subclasses__():
        yield subclass
        yield from _models(subclass)
