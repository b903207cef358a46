"""Schedule: a rule of recurrence with its options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, TypeAlias, get_args

from ..errors import ValidationError
from .finite import is_finite
from .recurrence import Cron, Every, Rule, rule_from_dict
from .serialization.codec import safe_repr

__all__ = ("Missed", "OverlapPolicy", "Schedule")

Missed: TypeAlias = Literal["skip", "last", "all"]
"""What happens to instants at which no worker ran."""

OverlapPolicy: TypeAlias = Literal["allow", "skip", "queue", "replace"]
"""What happens at an instant while the event before is unfinished."""

_LONGEST: Final = 366 * 86_400.0
_MOST: Final = 10_000


@dataclass(frozen=True, slots=True)
class Schedule:
    """A rule of recurrence with its options, as a class declares it.

    >>> class Sweep(Event, schedules={"sweep": Schedule(Every(300), overlap="skip")}): ...

    Args:
        rule: An ``Every`` or a ``Cron``.
        missed: What happens to instants at which no worker ran: "skip" skips them, "last" uses the
            newest one, "all" all of them.
        missed_limit: The number of instants that "all" uses at most, newest first.
        overlap: What happens at an instant while the event before is unfinished: "allow" appends
            the event, "skip" skips the instant, "queue" appends the event to run after that one, at
            most one, and "replace" cancels that one.
        jitter: Seconds by which an event starts later at most; the id of the event decides.
        ttl: Seconds after its start time at which an event expires; None for never.
        priority: The priority of the events; None for the time of their append.
        revision: The number of the declaration. A stored schedule is replaced by a declaration with
            a higher number only, so that an older release does not undo a later one.

    Raises:
        ValidationError: if a value is invalid; the message names it.
    """

    rule: Rule
    missed: Missed = "last"
    missed_limit: int = 100
    overlap: OverlapPolicy = "allow"
    jitter: float = 0.0
    ttl: float | None = None
    priority: float | None = None
    revision: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.rule, Every | Cron):
            raise ValidationError(
                f"rule must be an Every or a Cron, not {safe_repr(self.rule)}: as Every(300) or "
                'Cron("30 2 * * *")'
            )
        _one_of("missed", self.missed, get_args(Missed))
        _one_of("overlap", self.overlap, get_args(OverlapPolicy))
        _count("missed_limit", self.missed_limit, _MOST)
        _count("revision", self.revision, 2**53)
        _seconds("jitter", self.jitter, 0.0)
        if self.ttl is not None:
            _seconds("ttl", self.ttl, 0.001)
        if self.priority is not None and not is_finite(self.priority):
            raise ValidationError(
                f"priority must be a finite number or None, not {safe_repr(self.priority)}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the schedule as plain data; options with their default are left out."""
        options = {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if each.name != "rule" and getattr(self, each.name) != each.default
        }
        return {"rule": self.rule.to_dict(), **options}

    @classmethod
    def from_dict(cls, data: object) -> Schedule:
        """Return the schedule from the result of ``to_dict``.

        Raises:
            ValidationError: if it cannot be read.
        """
        names = {each.name for each in fields(cls)}
        if not isinstance(data, Mapping) or "rule" not in data or not data.keys() <= names:
            raise ValidationError(
                f"a schedule must be a mapping with `rule`, and perhaps "
                f"{', '.join(sorted(names - {'rule'}))}, not {safe_repr(data)}"
            )
        return cls(**{**data, "rule": rule_from_dict(data["rule"])})


def _one_of(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValidationError(f"{name} must be one of {', '.join(known)}, not {safe_repr(value)}")


def _count(name: str, value: object, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise ValidationError(
            f"{name} must be a whole number from 1 to {most:,}, not {safe_repr(value)}"
        )


def _seconds(name: str, value: Any, least: float) -> None:
    if not is_finite(value) or not least <= value <= _LONGEST:
        raise ValidationError(
            f"{name} must be a number of seconds from {least:g} to {_LONGEST:.0f}, not "
            f"{safe_repr(value)}"
        )
