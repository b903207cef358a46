"""Rules of recurrence: the instants at which a schedule appends an event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import islice, takewhile
from math import ceil, floor
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from ..errors import ConfigurationError, ValidationError
from .finite import is_finite
from .serialization.codec import safe_repr

if TYPE_CHECKING:
    from cronsim import CronSim

__all__ = ("Cron", "Every", "Rule", "rule_from_dict")

_SHORTEST: Final = 1.0
"""Shortest period in seconds."""

_LONGEST: Final = 3_660 * 86_400.0
"""Longest period in seconds: ten years."""


@dataclass(frozen=True, slots=True, init=False)
class Every:
    """A rule with an instant every so many seconds, on a fixed grid.

    The instants are ``anchor + k * seconds`` for all whole numbers ``k``. An event that is appended
    or ends late does not shift them.

    Args:
        seconds: The period in seconds, or a timedelta: from one second to ten years.
        anchor: One of the instants: a datetime with a time zone, or a Unix timestamp in seconds.
            The default is the start of 1970 in UTC: ``Every(3600)`` is every full hour.

    Raises:
        ValidationError: if a value is out of bounds.
    """

    seconds: float
    anchor: float

    def __init__(self, seconds: float | timedelta, *, anchor: datetime | float = 0.0) -> None:
        period = seconds.total_seconds() if isinstance(seconds, timedelta) else seconds
        if not is_finite(period) or not _SHORTEST <= period <= _LONGEST:
            raise ValidationError(
                f"Every: seconds must be a number from 1 to {_LONGEST:.0f}, not "
                f"{safe_repr(seconds)}: append events in a loop if they are to follow each other "
                "faster"
            )
        if isinstance(anchor, datetime):
            if anchor.tzinfo is None:
                raise ValidationError(
                    f"Every: anchor must have a time zone, not {anchor!r}: use datetime(…, "
                    "tzinfo=UTC) or .astimezone()"
                )
            anchor = anchor.timestamp()
        if not is_finite(anchor):
            raise ValidationError(
                "Every: anchor must be a datetime with a time zone, or a Unix timestamp in "
                f"seconds, not {safe_repr(anchor)}"
            )
        object.__setattr__(self, "seconds", float(period))
        object.__setattr__(self, "anchor", float(anchor))

    def next_after(self, instant: float) -> float | None:
        """Return the first instant after a time.

        Args:
            instant: A Unix timestamp in seconds.
        """
        step = floor((instant - self.anchor) / self.seconds)
        while (following := self._at(step)) <= instant:
            step += 1
        return following

    def newest(self, first: float, last: float, limit: int) -> list[float]:
        """Return the newest instants of a range, in order.

        Args:
            first: The start of the range, a Unix timestamp in seconds.
            last: The end of the range; it belongs to it.
            limit: The maximum number of instants.
        """
        step = floor((last - self.anchor) / self.seconds) + 1
        while self._at(step) > last:
            step -= 1
        found = (self._at(step - back) for back in range(limit))
        return list(takewhile(lambda instant: instant >= first, found))[::-1]

    def _at(self, step: int) -> float:
        return round(self.anchor + step * self.seconds, 6)

    def to_dict(self) -> dict[str, Any]:
        """Return the rule as plain data."""
        return {"every": self.seconds, "anchor": self.anchor}


@dataclass(frozen=True, slots=True, init=False)
class Cron:
    """A rule in the form of cron: minute, hour, day of month, month, day of week.

    The library cronsim evaluates it, by the rules of Debian's cron. A job at a time of day that a
    change to daylight saving leaves out runs at the first minute after the gap. A job with ``*`` or
    a step in the minutes or the hours does not run in the gap, and runs in both of two hours that
    have the same name; other jobs run in the first of them only.

    Args:
        expression: As ``"30 2 * * *"`` or ``"*/15 8-18 * * mon-fri"``.
        tz: The time zone of the times of day, as ``"Europe/Berlin"``.

    Raises:
        ConfigurationError: if cronsim is not installed.
        ValidationError: if the expression or the time zone cannot be read, or there is no instant.
    """

    expression: str
    tz: str

    def __init__(self, expression: str, *, tz: str = "UTC") -> None:
        for name, value in (("expression", expression), ("tz", tz)):
            if not isinstance(value, str):
                raise ValidationError(
                    f"Cron: {name} must be a text, not {safe_repr(value)}: as "
                    'Cron("30 2 * * *", tz="Europe/Berlin")'
                )
            object.__setattr__(self, name, value)
        try:
            is_empty = next(self._from(datetime.now(UTC)), None) is None
        except _cron_error() as error:
            raise ValidationError(
                f"Cron: {expression!r} is no cron expression ({error}): write minute, hour, day of "
                'month, month and day of week, as "30 2 * * *"',
                cause=error,
            ) from error
        if is_empty:
            raise ValidationError(
                f"Cron: {expression!r} has no instant in the next decades: check day and month"
            )

    def next_after(self, instant: float) -> float | None:
        """Return the first instant after a time; None if there is none in the next decades.

        Args:
            instant: A Unix timestamp in seconds.
        """
        found = next(self._from(datetime.fromtimestamp(floor(instant), UTC)), None)
        return None if found is None else found.timestamp()

    def newest(self, first: float, last: float, limit: int) -> list[float]:
        """Return the newest instants of a range, in order. See ``Every.newest``."""
        end = datetime.fromtimestamp(floor(last) + 1, UTC)
        found = islice((each.timestamp() for each in self._from(end, reverse=True)), limit)
        return list(takewhile(lambda instant: instant >= ceil(first), found))[::-1]

    def _from(self, moment: datetime, *, reverse: bool = False) -> Iterator[datetime]:
        """Yield the instants after a moment, or those before it."""
        instants: CronSim = _cronsim().CronSim(
            self.expression, moment.astimezone(_zone(self.tz)), reverse
        )
        yield from instants

    def to_dict(self) -> dict[str, Any]:
        """Return the rule as plain data."""
        return {"cron": self.expression, "tz": self.tz}


Rule: TypeAlias = Every | Cron
"""A rule of recurrence."""


def rule_from_dict(data: object) -> Rule:
    """Return a rule from the result of its ``to_dict``.

    Raises:
        ConfigurationError: if it needs cronsim, which is not installed.
        ValidationError: if it cannot be read.
    """
    if isinstance(data, Mapping) and "every" in data:
        return Every(data["every"], anchor=data.get("anchor", 0.0))
    if isinstance(data, Mapping) and "cron" in data:
        return Cron(data["cron"], tz=data.get("tz", "UTC"))
    raise ValidationError(f"a rule must be a mapping with `every` or `cron`, not {safe_repr(data)}")


@lru_cache(maxsize=256)
def _zone(name: str) -> tzinfo:
    from zoneinfo import ZoneInfo  # late: most programs have no schedules

    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValidationError(
            f"Cron: tz {name!r} is no time zone: give a name of the IANA database, as "
            '"Europe/Berlin"; without such a database, install the package tzdata',
            cause=error,
        ) from error


def _cronsim() -> Any:
    try:
        import cronsim  # late: it is optional
    except ImportError as error:
        raise ConfigurationError(
            "Cron needs the package cronsim: pip install 'lionpride-core[cron]'", cause=error
        ) from error
    return cronsim


def _cron_error() -> type[Exception]:
    error: type[Exception] = _cronsim().CronSimError
    return error
