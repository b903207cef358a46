"""Append options in addition to the priority: their checks, and their stored form."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, TypedDict, Unpack
from uuid import UUID

from ..errors import ValidationError
from ..model.finite import is_finite
from ..model.retry_policy import Retry
from ..model.serialization.codec import safe_repr
from ..rules.storable_text import check_text
from ..stores.terms import Terms
from .config import seconds

__all__ = ("AppendOptions", "RunOptions", "terms_of")

_LONGEST: Final = 100 * 366 * 86400.0
"""Maximum delay in seconds: a longer one is a mistake."""

_LATEST: Final = 253_402_300_799.0
"""The end of the year 9999 as a Unix timestamp in seconds: the last possible date."""


class AppendOptions(TypedDict, total=False):
    """Options of ``append`` in addition to the priority; None is the same as no option.

    Attributes:
        delay: Seconds from now before which the event does not start; it is pending until then.
        at: Earliest start, in place of ``delay``: a datetime with a time zone, or a Unix timestamp
            in seconds. Among due events, priority decides.
        ttl: Seconds from now after which an event that has not started is CANCELLED. It does not
            apply to retries.
        retry: A retry policy of its own, in place of its class's.
        unique: A value that only one pending or running event of the queue may have. A second
            append returns the first event, whichever process appended it.
        unique_for: Seconds after the first append in which a second one returns the first event,
            even if that has finished.
    """

    delay: float | None
    at: datetime | float | None
    ttl: float | None
    retry: Retry | None
    unique: str | int | UUID | None
    unique_for: float | None


class RunOptions(AppendOptions, total=False):
    """Options of ``Executor.run`` in addition to the priority.

    Attributes:
        exist_ok: See ``append``.
        wait: See ``append``.
    """

    exist_ok: bool
    wait: bool


def terms_of(now: float, **options: Unpack[AppendOptions]) -> Terms | None:
    """Return the terms of an append; None if there are no options.

    Args:
        now: The time by the store's clock.
        **options: The options.

    Raises:
        TypeError: for an unknown option.
        ValidationError: for an invalid value; the message has the value and the remedy.
    """
    for name in options:
        if name not in AppendOptions.__annotations__:
            raise TypeError(f"append() got an unexpected keyword argument {name!r}")
    delay, at, ttl = options.get("delay"), options.get("at"), options.get("ttl")
    retry, unique, unique_for = (
        options.get("retry"),
        options.get("unique"),
        options.get("unique_for"),
    )
    if delay is not None and at is not None:
        raise ValidationError(f"delay={delay!r} and at={at!r}: give one of them")
    due = None
    if delay is not None:
        due = now + _span("delay", delay)
    elif at is not None:
        due = _moment("at", at)
    expires = None if ttl is None else now + _span("ttl", ttl)
    if expires is not None and expires <= max(now, due or now):
        raise ValidationError(
            f"ttl={ttl!r} is over before the event may start: make it longer than its delay"
        )
    policy: object = retry
    if policy is not None and not isinstance(policy, Retry):
        raise ValidationError(f"retry must be a Retry or None, not {policy!r}")
    if unique_for is not None and unique is None:
        raise ValidationError(f"unique_for={unique_for!r} needs unique: give both")
    terms = Terms(
        due=due if due is not None and due > now else None,
        expires=expires,
        retry=retry,
        unique=None if unique is None else (_text(unique), now),
        period=0.0 if unique_for is None else _span("unique_for", unique_for),
    )
    return None if terms == Terms() else terms


def _text(value: Any) -> str:
    known = isinstance(value, str | int | UUID) and not isinstance(value, bool)
    if not known or not str(value):
        raise ValidationError(
            f"unique must be a text that is not empty, a whole number or a UUID, not {value!r}: "
            'write one, as f"{name}/{day}"'
        )
    check_text("unique", str(value))
    return str(value)


def _span(name: str, value: float) -> float:
    low, high = f"{name} must be >= 0 s.", f"{name} must be <= 100 years; give `at` for a date."
    seconds(name, value, 0.0, _LONGEST, low, high)
    return float(value)


def _moment(name: str, value: Any) -> float:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValidationError(
                f"{name} must have a time zone, not {value!r}: use datetime.now(UTC) or "
                ".astimezone()"
            )
        return value.timestamp()
    if not is_finite(value) or abs(value) > _LATEST:
        raise ValidationError(
            f"{name} must be a datetime with a time zone, or a Unix timestamp in seconds, "
            f"not {safe_repr(value)}"
        )
    return float(value)
