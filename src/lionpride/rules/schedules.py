"""Decides which instants of a schedule have events, and the ids and start times of these."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Final, NamedTuple
from uuid import UUID, uuid5

from ..model.recurrence import Rule
from ..model.schedule import OverlapPolicy, Schedule

__all__ = (
    "ON_TIME",
    "InstantDecision",
    "LastEventState",
    "OverlapDecision",
    "decide_instants",
    "decide_overlap",
    "event_id",
    "is_too_far",
    "start_time",
)

ON_TIME: Final = 60.0
"""Seconds after an instant until which it is not missed."""


class InstantDecision(NamedTuple):
    """What has to happen to the instants that have passed.

    Attributes:
        instants: The instants to append events for, in order.
        missed: The first and the last of those that get no event; None if there are none.
        next: The next instant; None if there is none.
    """

    instants: Sequence[float]
    missed: tuple[float, float] | None
    next: float | None


class LastEventState(Enum):
    """How far the last event of a schedule is."""

    NONE_OR_FINISHED = "none or finished"
    WAITING = "waiting"
    """It is pending, and no attempt has begun."""
    STARTED = "started"
    """It runs, or it waits for a retry or for its continuation."""


class OverlapDecision(Enum):
    """What to do at an instant."""

    APPEND = "append"
    APPEND_AFTER = "append after"
    """Append an event that waits for the last one."""
    SKIP = "skip"
    REPLACE = "replace"
    """Cancel the last event, and append another."""


def decide_instants(schedule: Schedule, next: float, now: float) -> InstantDecision:  # noqa: A002 - the name of the field
    """Return what has to happen to the instants from ``next`` to ``now``.

    The newest of them is on time if it is at most ``ON_TIME`` seconds old. All others are missed.

    Args:
        schedule: The rule, and what happens to missed instants.
        next: The first of the instants, which is not later than ``now``.
        now: The present time.
    """
    rule = schedule.rule
    limit = schedule.missed_limit if schedule.missed == "all" else 1
    instants = rule.newest(next, now, limit) or [next]  # another release may know another calendar
    if schedule.missed == "skip" and now - instants[-1] > ON_TIME:
        return InstantDecision((), (next, instants[-1]), rule.next_after(now))
    missed = None
    if instants[0] > next:
        (last,) = rule.newest(next, _before(instants[0]), 1) or [next]
        missed = next, last
    return InstantDecision(instants, missed, rule.next_after(now))


def _before(instant: float) -> float:
    return instant - 1e-3  # instants are at least a second apart


def event_id(schedule: UUID, instant: float) -> UUID:
    """Return the id of the event of an instant, which is the same on each computation.

    It is a UUID 5 (RFC 9562, 5.5) of the schedule's id and the instant in UTC.

    Args:
        schedule: The id of the schedule.
        instant: The instant, a Unix timestamp in seconds.
    """
    return uuid5(schedule, datetime.fromtimestamp(instant, UTC).isoformat(timespec="microseconds"))


def start_time(uid: UUID, instant: float, jitter: float) -> float:
    """Return the start time of an event: its instant, and a share of the jitter by its id.

    Args:
        uid: The id of the event.
        instant: The instant, a Unix timestamp in seconds.
        jitter: Maximum delay in seconds.
    """
    return instant + jitter * (int.from_bytes(uid.bytes[-6:]) / 2**48)


def is_too_far(rule: Rule, next: float, now: float) -> bool:  # noqa: A002 - as above
    """Return True if an instant is more than one period ahead, as after the clock was set back."""
    if next <= now:
        return False
    following = rule.next_after(now)
    if following is None or next <= following:
        return False
    second = rule.next_after(following)
    return second is not None and next > second


def decide_overlap(policy: OverlapPolicy, latest: LastEventState) -> OverlapDecision:
    """Return what to do at an instant, by how far the last event of the schedule is."""
    if policy == "allow" or latest is LastEventState.NONE_OR_FINISHED:
        return OverlapDecision.APPEND
    if policy == "replace":
        return OverlapDecision.REPLACE
    if policy == "queue" and latest is LastEventState.STARTED:
        return OverlapDecision.APPEND_AFTER
    return OverlapDecision.SKIP
