"""Rules of recurrence: the instants at which a schedule appends an event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from heapq import merge
from itertools import islice, takewhile
from math import floor
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

_FURTHEST: Final = 253_402_300_800.0
"""Largest anchor in seconds: the end of the year 9999."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SOME_DAY: Final = datetime(2000, 1, 1)  # noqa: DTZ001 - a time of a clock, in no zone
_SECOND: Final = timedelta(seconds=1)
_NONE: Final = timedelta(0)


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
        if not is_finite(anchor) or not abs(anchor) <= _FURTHEST:
            raise ValidationError(
                "Every: anchor must be a datetime with a time zone, or a Unix timestamp in "
                f"seconds, not {safe_repr(anchor)}"
            )
        object.__setattr__(self, "seconds", float(period))
        object.__setattr__(self, "anchor", float(anchor))

    def __repr__(self) -> str:
        anchor = f", anchor={self.anchor!r}" if self.anchor else ""
        return f"Every({self.seconds!r}{anchor})"

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

    The fields mean the same as in Debian's cron. With six fields, the first one is the second.

    A change of the clocks affects a rule by its minutes and hours. If neither field begins with
    ``*``, the rule has each time of day once: a time in the gap is at the end of the gap, and of
    two times that have the same name it has the first. Any other rule has no instant in the gap,
    and has both of two times that have the same name.

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
        _zone(tz)
        object.__setattr__(self, "expression", " ".join(expression.split()))
        object.__setattr__(self, "tz", tz)
        if next(self._walls(_SOME_DAY), None) is None:
            raise ValidationError(f"Cron: {expression!r} has no instant: check day and month")

    @classmethod
    def stored(cls, expression: str, tz: str) -> Cron:
        """Return a rule that was checked before. It is evaluated at the first use only.

        So a process without cronsim, or without the time zone, can read and copy it.
        """
        rule = cls.__new__(cls)
        object.__setattr__(rule, "expression", expression)
        object.__setattr__(rule, "tz", tz)
        return rule

    def __repr__(self) -> str:
        zone = "" if self.tz == "UTC" else f", tz={self.tz!r}"
        return f"Cron({self.expression!r}{zone})"

    def next_after(self, instant: float) -> float | None:
        """Return the first instant after a time; None if there is none before the year 10000.

        Args:
            instant: A Unix timestamp in seconds.
        """
        zone = _zone(self.tz)
        wall, is_second = _wall_at(instant, zone)
        repeat = _repeat(wall, zone)
        starts = [(wall, 0)]
        if repeat and not self._is_fixed:
            starts = [(wall, 1)] if is_second else [(wall, 0), (wall - repeat, 1)]
        found: list[float] = []
        for start, fold in starts:
            later = (each for each in self._instants(start, fold, zone) if each > instant)
            found += islice(later, 1)
        return min(found, default=None)

    def newest(self, first: float, last: float, limit: int) -> list[float]:
        """Return the newest instants of a range, in order. See ``Every.newest``."""
        zone = _zone(self.tz)
        wall, _ = _wall_at(last, zone)
        end = wall + _SECOND
        streams = [self._instants(end + _repeat(wall, zone), 0, zone, reverse=True)]
        if not self._is_fixed:
            streams.append(self._instants(end, 1, zone, reverse=True))
        found: list[float] = []
        for instant in merge(*streams, reverse=True):
            if instant < first or len(found) == limit:
                break
            if instant <= last and (not found or instant < found[-1]):
                found.append(instant)
        return found[::-1]

    def to_dict(self) -> dict[str, Any]:
        """Return the rule as plain data."""
        return {"cron": self.expression, "tz": self.tz}

    @property
    def _is_fixed(self) -> bool:
        """True if neither minute nor hour begins with ``*``."""
        minute, hour = self.expression.split()[-5:-3]
        return not (minute.startswith("*") or hour.startswith("*"))

    def _walls(self, start: datetime, *, reverse: bool = False) -> Iterator[datetime]:
        """Yield the times of a clock that is never changed: those after a start, or before it."""
        cronsim = _cronsim()
        try:
            walls: CronSim = cronsim.CronSim(self.expression, start, reverse)
        except cronsim.CronSimError as error:
            raise ValidationError(
                f"Cron: {self.expression!r} is no cron expression ({error}): write minute, hour, "
                'day of month, month and day of week of a date that exists, as "30 2 * * *"',
                cause=error,
            ) from error
        try:
            yield from walls
        except (OverflowError, ValueError):  # beyond the years 1 and 9999
            return

    def _instants(
        self, start: datetime, fold: int, zone: tzinfo, *, reverse: bool = False
    ) -> Iterator[float]:
        """Yield the instants after a time of the clock, or those before it.

        Both ``fold`` together are all instants. Each yields them in order, since times of the clock
        that are in order have instants in order if the same one of two with the same name is used.

        Args:
            start: The time of the clock.
            fold: Of two times that have the same name, 0 for the first, 1 for the second.
            zone: The time zone.
            reverse: True for the instants before, newest first.
        """
        for wall in self._walls(start, reverse=reverse):
            if not _is_in_gap(wall, zone):
                yield wall.replace(tzinfo=zone, fold=fold).timestamp()
            elif self._is_fixed:
                yield _end_of_gap(wall, zone)


Rule: TypeAlias = Every | Cron
"""A rule of recurrence."""


def rule_from_dict(data: object) -> Rule:
    """Return a rule from the result of its ``to_dict``.

    Raises:
        ValidationError: if it cannot be read.
    """
    if isinstance(data, Mapping) and "every" in data:
        return Every(data["every"], anchor=data.get("anchor", 0.0))
    if isinstance(data, Mapping) and isinstance(data.get("cron"), str):
        return Cron.stored(data["cron"], str(data.get("tz", "UTC")))
    raise ValidationError(f"a rule must be a mapping with `every` or `cron`, not {safe_repr(data)}")


def _wall_at(instant: float, zone: tzinfo) -> tuple[datetime, bool]:
    """Return the time of the clock at an instant, and True if it has shown that time before."""
    local = (_EPOCH + timedelta(seconds=floor(instant))).astimezone(zone)
    return local.replace(tzinfo=None, fold=0), bool(local.fold)


def _shift(wall: datetime, zone: tzinfo) -> timedelta:
    """Return the change of the clock around a time that it skips or repeats; zero at others.

    It is positive for a time that is skipped, and negative for one that is repeated.
    """
    before, after = (wall.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    return (after or _NONE) - (before or _NONE)


def _is_in_gap(wall: datetime, zone: tzinfo) -> bool:
    """Return True if the clock skips this time."""
    return _shift(wall, zone) > _NONE


def _repeat(wall: datetime, zone: tzinfo) -> timedelta:
    """Return after which duration the clock shows a time again; zero if it does not."""
    return max(-_shift(wall, zone), _NONE)


def _end_of_gap(wall: datetime, zone: tzinfo) -> float:
    """Return the instant at which the clock has skipped a time."""
    low, high = (floor(wall.replace(tzinfo=zone, fold=fold).timestamp()) for fold in (1, 0))
    while high - low > 1:  # the clock is changed after `low`, and not after `high`
        middle = (low + high) // 2
        if _wall_at(middle, zone)[0] < wall:
            low = middle
        else:
            high = middle
    return float(high)


@lru_cache(maxsize=256)
def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
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
