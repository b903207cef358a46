"""The error for an invalid command line, and the values of options."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Final

import click

from ..drawing.text import shorten
from ..errors import LionprideError

__all__ = [
    "UsageError",
    "count_from_zero",
    "finite_number",
    "future_time",
    "grace_seconds",
    "length_of_time",
    "past_time",
    "port_number",
    "positive_seconds",
    "queue_name",
    "whole_number",
]

DAY = 86_400.0
UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": DAY}


class UsageError(LionprideError):
    """The command cannot be carried out as given; nothing was run. One line, with the remedy."""

    default_message = "cannot do that"
    default_retryable = False


def queue_name(text: str) -> str:
    """Read the name of a queue."""
    if not text.strip():
        raise click.BadParameter("a queue has a name: leave the option out for the default")
    return text


def whole_number(text: str) -> int:
    """Read a count of at least 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise click.BadParameter(f"{shorten(text, 40)!r} is not a whole number of at least 1")
    return number


def count_from_zero(text: str) -> int:
    """Read a number of at least 0."""
    return 0 if text.strip() == "0" else whole_number(text)


def port_number(text: str) -> int:
    """Read a port: from 0, for any free one, to 65535."""
    try:
        port = int(text)
    except ValueError:
        port = -1
    if not 0 <= port < 65536:
        raise click.BadParameter(f"{shorten(text, 40)!r} is no port: give a number from 0 to 65535")
    return port


def grace_seconds(text: str) -> float:
    """Read a grace time in seconds: from 0 to a day, as an Executor takes it."""
    number = _number(text)
    if not 0 <= number <= DAY:
        raise click.BadParameter(
            f"{shorten(text, 40)!r} is not a number of seconds from 0 to {DAY:,.0f}"
        )
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def positive_seconds(text: str) -> float:
    """Read a length of time in seconds."""
    number = _number(text)
    if not 0 < number < math.inf:
        raise click.BadParameter(f"{shorten(text, 40)!r} is not a number of seconds above 0")
    return number


def finite_number(text: str) -> float:
    """Read a number."""
    number = _number(text)
    if not math.isfinite(number):
        raise click.BadParameter(f"{shorten(text, 40)!r} is not a finite number")
    return number


def length_of_time(text: str) -> float:
    """Read a length of time in seconds, or with a unit."""
    if span := re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip()):
        return float(span[1]) * UNITS[span[2] or "s"]
    raise click.BadParameter(
        f"{shorten(text, 40)!r} is no length of time: write seconds, or 30m, 12h or 7d"
    )


def future_time(text: str) -> datetime:
    """Read a time with a time zone."""
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        raise click.BadParameter(
            f"{shorten(text, 40)!r} is no time: write 2026-01-31T12:00Z"
        ) from None
    if time.tzinfo is None:
        raise click.BadParameter(
            f"{shorten(text, 40)!r} has no time zone: write {time:%Y-%m-%dT%H:%M:%S}Z for UTC"
        )
    return time


def past_time(text: str) -> float:
    """Read a time or a length of time ago."""
    now = datetime.now(UTC).timestamp()
    if ago := re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip()):
        return now - float(ago[1]) * UNITS[ago[2]]
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        raise click.BadParameter(
            f"{shorten(text, 40)!r} is no time: write 30m, 12h or 7d, or 2026-01-31T12:00"
        ) from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
