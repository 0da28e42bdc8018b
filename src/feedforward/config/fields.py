"""The base of all sections of params.yaml, and the types of their values."""

import re
import zoneinfo
from datetime import UTC, datetime
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

T = TypeVar("T")


class Strict(BaseModel):
    """A frozen section; unknown keys, strings in place of numbers, NaN and infinity are rejected."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _check_distinct(values: tuple[T, ...]) -> tuple[T, ...]:
    if len(set(values)) < len(values):
        raise ValueError("must not contain duplicates")
    return values


def _check_order(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError("must be the lowest value, then the highest")
    return pair


def _check_time_zone(name: str) -> str:
    try:
        return zoneinfo.ZoneInfo(name).key
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("must be a time zone, for instance Europe/Berlin") from None


def _check_cron(expression: str) -> str:
    """Return the cron expression, after checking that it matches at least one point in time."""
    from cronsim import CronSim, CronSimError

    try:
        CronSim(expression, datetime.now(UTC))
    except CronSimError:
        raise ValueError(
            'must be a cron expression that matches some date, for instance "0 3 * * *" (minute hour day month weekday)'
        ) from None
    return expression


def _check_public_key(text: str) -> str:
    """Return the text, after checking that it has the form of a P-256 public key.

    That is the base64 of a DER-encoded SubjectPublicKeyInfo (RFC 5480), which always starts with the same characters.
    """
    if not re.fullmatch(r"MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE[A-Za-z0-9+/]{86}==", text):
        raise ValueError("must be a public key as printed by `feedforward keys`")
    return text


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
# No slash, so that the file cannot be outside its folder
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]{0,127}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Line = Annotated[str, Field(pattern=r"^[^\p{Cc}\p{Zl}\p{Zp}]*$")]  # shown in tables and headings
Location = Annotated[str, Field(pattern=r"^[^\x00-\x1f]+$")]  # a folder or URL
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Positive = Annotated[int, Field(gt=0, lt=2**31)]
Bytes = Annotated[int, Field(gt=0, le=2**50)]
Distinct = Annotated[tuple[T, ...], AfterValidator(_check_distinct)]
Span = Annotated[tuple[T, T], AfterValidator(_check_order)]  # lowest and highest, both inclusive
TimeZone = Annotated[str, AfterValidator(_check_time_zone)]
Cron = Annotated[str, Field(max_length=200, pattern=r"^\S+( \S+){4}$"), AfterValidator(_check_cron)]
Block = Annotated[str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")]  # TYPE/NAME
PublicKey = Annotated[str, AfterValidator(_check_public_key)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
