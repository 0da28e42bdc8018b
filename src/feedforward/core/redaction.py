"""Keep secrets out of everything that is stored or shown: one filter for tags, parameters, messages and logs."""

import functools
import json
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

MASK = "***"
MIN_LENGTH = 6  # characters; shorter secrets are not masked, because they occur in ordinary words

_SECRET_NAME = re.compile(
    r"((^|[._-])(KEYS?|TOKENS?|PASS|PWD|PAT|JWT|CREDENTIALS?)|(API|ACCESS|PRIVATE|SECRET)_?KEYS?"
    r"|SECRETS?|PASSPHRASE|PASSWORDS?|PASSWD)\d*([._-]|$)",
    re.IGNORECASE,
)
_SHELL_STATE = {"PWD", "OLDPWD"}  # working directories, not passwords
# In URLs of databases, a password may contain / and @, so everything up to the last @ is masked. In HTTP URLs, an @ may
# belong to the path: a user name ends at the last @ before the path, and a password with a slash at the first @. Digits
# between a colon and a slash are a port, not a password.
_URL_USER = re.compile(
    r"(?<=://)(?:(?<!http://)(?<!https://)[^/:@\s'\"]*:(?!\d+/)[^\s'\"]{1,200}"
    r"|[^/\s'\"]+|[^/:@\s'\"]*:(?!\d+/)[^@\s'\"]{1,200})(?=@)"
)
_URL_FIELD = re.compile(
    r"(?i)([?&;#](?:[\w.-]*(?:password|passwd|passphrase|secret|(?:api|access|private|secret)_?key)|(?:[\w.-]*[_-])?"
    r"(?:key|token|pass|pwd|auth|jwt|signature|sig|credential))=)[^&#\s'\"]+"
)
# An HTTP header, or a dictionary entry with one
_AUTHORIZATION = re.compile(r"(?i)(\bauthorization['\"]?\s*[:=]\s*['\"]?(?:bearer|basic|token)\s+)[^\s'\",;]+")


# Words that must stay readable: values of tags, and the texts in params.yaml (see `allow`), which git keeps anyway. If
# they were masked, runs could not be compared, and exported files could not be read. A secret that is one of them, or
# part of one, is not masked anywhere.
_public_texts = frozenset({
    "variant", "replica", "final", "sweep", "trial", "study", "fair", "lecture", "finished", "failed", "killed",
    "running", "binary", "multiclass", "multilabel", "regression", "unit_regression", "training", "validation",
})  # fmt: skip


def allow(names: Iterable[str]) -> None:
    """Keep these names readable: a secret that is one of them, or part of one, is no longer masked."""
    global _public_texts
    _public_texts |= frozenset(names)  # a new set, because other threads may iterate over the old one


@functools.lru_cache(maxsize=4096)
def is_secret_name(name: str) -> bool:
    """Whether a variable or parameter with this name is assumed to contain a secret."""
    return name not in _SHELL_STATE and _SECRET_NAME.search(name) is not None


def redact(text: str) -> str:
    """`text` without the values of secret environment variables and without credentials in URLs and HTTP headers.

    >>> redact("postgresql://user:password@host/db")
    'postgresql://***@host/db'
    >>> redact("Authorization: Bearer eyJhbGciOi.J9")
    'Authorization: Bearer ***'
    """
    for value in _secrets():
        text = text.replace(value, MASK)
    text = _AUTHORIZATION.sub(rf"\g<1>{MASK}", text)
    return _URL_FIELD.sub(rf"\g<1>{MASK}", _URL_USER.sub(MASK, text))


def redact_json(text: str) -> str:
    """`text`, redacted. In a JSON object or array, only string values change, so that programs can still read it.

    >>> redact_json('{"mirror": "https://user:password@host", "samples": 3}')
    '{"mirror": "https://***@host", "samples": 3}'
    """
    redacted = redact(text)
    if redacted == text:
        return text
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return redacted
    if isinstance(value, str):
        return redacted
    return json.dumps(_redact_strings(value), ensure_ascii=False)


def _redact_strings(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _redact_strings(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_redact_strings(entry) for entry in value]
    return redact(value) if isinstance(value, str) else value


def has_credentials(address: str) -> bool:
    """Whether a URL contains a user name, or a query field with a name such as `token`."""
    return any(pattern.search(address) for pattern in (_URL_USER, _URL_FIELD))


def redact_values(values: Mapping[str, object]) -> dict[str, str]:
    """The values as redacted text; if a key is the name of a secret, its value is masked entirely."""
    return {key: MASK if is_secret_name(key) else redact(str(value)) for key, value in values.items()}


def shown(value: object, max_length: int = 200) -> str:
    """`value` as text for a message: redacted, on one line, and at most `max_length` characters long."""
    text = redact(str(value))
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= max_length else text[: max_length - 3] + "..."


def _secrets() -> list[str]:
    """The values to mask: those of secret environment variables, plain and URL-encoded, longest first."""
    values = {
        value
        for name, value in os.environ.items()
        if is_secret_name(name) and len(value) >= MIN_LENGTH and not any(value in text for text in _public_texts)
    }
    return sorted(values | {quote(value, safe="") for value in values}, key=len, reverse=True)
