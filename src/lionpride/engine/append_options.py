"""Append options in addition to the priority: their checks, and their stored form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, TypeAlias, TypedDict, Unpack
from uuid import UUID

from ..errors import ValidationError
from ..model.after import CONDITIONS, After, When
from ..model.collections.container import IdLike
from ..model.element import Element, as_id
from ..model.event_data import EventData
from ..model.finite import is_finite
from ..model.retry_policy import Retry
from ..model.serialization.codec import safe_repr
from ..rules.dependencies import check_acyclic
from ..rules.storable_text import check_text
from ..stores.contract import NO_PARENTS
from ..stores.terms import Terms
from .config import seconds

__all__ = ("AppendOptions", "Parents", "RunOptions", "after_each", "after_of", "terms_of")

Parents: TypeAlias = IdLike | Iterable[IdLike]
"""One parent or several, each an event or its id."""

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
        after: The parents of the event: one or several, as events or ids, also of another queue of
            the store. The event does not start before they have finished. If one of them does not
            finish as ``when`` requires, the event is CANCELLED with a DependencyError.
        when: How each parent has to finish: "completed" (also SKIPPED), "failed" (FAILED, ABORTED,
            or its timeout or ttl was over) or "finished" (in any way). The default is "completed".
    """

    delay: float | None
    at: datetime | float | None
    ttl: float | None
    retry: Retry | None
    unique: str | int | UUID | None
    unique_for: float | None
    after: Parents | None
    when: When | None


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


def after_of(event: EventData, options: AppendOptions) -> Mapping[UUID, After]:
    """Return the parents of an event, by its id; empty if it has none.

    Args:
        event: The event.
        options: The options of its append.

    Raises:
        ValidationError: if a value is invalid, or the event is its own parent.
    """
    parents = options.get("after")
    after = None if parents is None else {event: parents}
    return after_each([event], after, options.get("when"))


def after_each(
    events: Iterable[EventData], after: Mapping[Any, Parents] | None, when: When | None
) -> Mapping[UUID, After]:
    """Return the parents of events, by the id of the child.

    Args:
        events: The events of the append.
        after: The parents of those that have any; None if none has.
        when: How each parent has to finish; None for "completed".

    Raises:
        ValidationError: if a value is invalid, if a child is not among the events, or if events
            wait for each other in a cycle.
    """
    if after is None:
        if when is not None:
            raise ValidationError(f"when={when!r} needs after: give both")
        return NO_PARENTS
    if when is not None and when not in CONDITIONS:
        raise ValidationError(f"when must be one of {', '.join(CONDITIONS)}, not {when!r}")
    if not isinstance(after, Mapping):
        raise ValidationError(
            f"after must be a mapping from a child to its parents, not {safe_repr(after)}: write "
            "after={child: [parent, ...]}"
        )
    ids = {event.id for event in events} if after else set[UUID]()
    found: dict[UUID, After] = {}
    for child, parents in after.items():
        uid = _id(child)
        if uid not in ids:
            raise ValidationError(
                f"after: {child!r} is not among the events: an existing event cannot gain parents"
            )
        if several := _ids(parents):
            found[uid] = After(several, when or "completed")
    check_acyclic(found)
    return found


def _ids(parents: Parents) -> tuple[UUID, ...]:
    """Return the ids of parents in their order, each once."""
    if isinstance(parents, str | UUID | Element) or not isinstance(parents, Iterable):
        return (_id(parents),)
    return tuple(dict.fromkeys(map(_id, parents)))


def _id(value: Any) -> UUID:
    try:
        return as_id(value)
    except ValidationError as error:
        raise ValidationError(
            f"after: {safe_repr(value)} is no event and no id: give an event, its UUID or the "
            "text of it",
            cause=error,
        ) from error


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
