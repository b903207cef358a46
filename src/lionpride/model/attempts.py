"""Failed attempts: the data that the event and every store keep of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from ..errors import ValidationError
from .finite import is_finite
from .serialization.codec import safe_str

__all__ = ("MOST", "TEXT", "TRACE", "Attempt", "and_this", "attempts_of", "told")

MOST: Final = 20
"""Maximum number of failed attempts that are kept of an event: the last ones."""

TEXT: Final = 500
"""Maximum number of characters that are kept of an error's text."""

TRACE: Final = 8_000
"""Maximum number of characters of the tracebacks of an event: the last ones are kept."""


class Attempt(NamedTuple):
    """A failed attempt.

    Attributes:
        number: Its attempt number; interrupted attempts leave gaps.
        started: The start of its code, a Unix timestamp in seconds.
        duration: Seconds that it took.
        error: The class and the message of the error, cut to a bounded length.
        traceback: The code that the error passed through, as Python prints it, without the message
            and without values; empty if it is not known, or no longer kept.
    """

    number: int
    started: float
    duration: float
    error: str
    traceback: str = ""


def told(error: BaseException) -> str:
    """Return an error as one text of bounded length."""
    said = safe_str(error)
    text = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return text if len(text) <= TEXT else f"{text[: TEXT - 1]}…"


def and_this(before: Sequence[Attempt], attempt: Attempt) -> tuple[Attempt, ...]:
    """Return the earlier attempts and this one, as many as are kept."""
    return _bounded((*before[1 - MOST :], attempt)) if before else (attempt,)


def _bounded(attempts: tuple[Attempt, ...]) -> tuple[Attempt, ...]:
    """Return the attempts with the last tracebacks that fit into ``TRACE`` characters."""
    room = TRACE
    for at in range(len(attempts) - 1, -1, -1):
        room -= len(attempts[at].traceback)
        if room < 0:
            bare = (each._replace(traceback="") for each in attempts[: at + 1])
            return (*bare, *attempts[at + 1 :])
    return attempts


def attempts_of(data: Iterable[Any]) -> tuple[Attempt, ...]:
    """Return attempts from stored data: dicts, or lists of their values.

    The traceback may be missing: earlier releases did not store it.

    Raises:
        ValidationError: if one cannot be read.
    """
    if isinstance(data, str | Mapping) or not isinstance(data, Iterable):
        raise ValidationError(f"execution.attempts must be a list, not {data!r}")
    return _bounded(tuple(_attempt_of(each) for each in data)[-MOST:])


def _attempt_of(given: Any) -> Attempt:
    try:
        if isinstance(given, Mapping):
            given = [*(given[name] for name in _NEEDED), given.get("traceback", "")]
        number, started, duration, error, *rest = given
        (traceback,) = rest or ("",)
    except (TypeError, ValueError, KeyError):
        raise _unreadable(given) from None
    times = all(is_finite(each) for each in (started, duration))
    if type(number) is not int or not times or not isinstance(error, str):
        raise _unreadable(given)
    if not isinstance(traceback, str):
        raise _unreadable(given)
    return Attempt(number, float(started), float(duration), error[:TEXT], traceback[-TRACE:])


_NEEDED: Final = Attempt._fields[:-1]


def _unreadable(given: Any) -> ValidationError:
    names = ", ".join(_NEEDED)
    return ValidationError(f"execution.attempts: {given!r} is no attempt with {names}")
