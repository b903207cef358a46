"""Schedules that event classes declare: ``class Sweep(Event, schedules={"sweep": Every(300)})``."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from ..errors import ConfigurationError
from ..model.recurrence import Cron, Every
from ..model.schedule import Schedule
from ..stores.contract import Store
from ..stores.schedule_record import ScheduleRecord
from .schedules import changed, new_record

if TYPE_CHECKING:
    from .event import Event

__all__ = ("declare_schedules", "declared_schedules", "store_declarations")

_DECLARED: WeakKeyDictionary[type[Any], Mapping[str, Schedule]] = WeakKeyDictionary()
_NONE: Final[Mapping[str, Schedule]] = MappingProxyType({})

logger = logging.getLogger("lionpride")


def declare_schedules(kind: type[Event], given: object) -> None:
    """Note the schedules of a class.

    Args:
        kind: The class.
        given: A mapping from names to rules or schedules.

    Raises:
        ConfigurationError: if it is something else, or an event of the class needs arguments.
    """
    name = kind.__qualname__
    if not isinstance(given, Mapping):
        raise ConfigurationError(
            f"{name}: schedules must be a mapping from names to rules, as in "
            f'schedules={{"sweep": Every(300)}}, not {given!r}'
        )
    found: dict[str, Schedule] = {}
    for key, value in given.items():
        if not isinstance(key, str) or not key:
            raise ConfigurationError(f"{name}: a schedule's name must be a text, not {key!r}")
        if isinstance(value, Every | Cron):
            found[key] = Schedule(value)
        elif isinstance(value, Schedule):
            found[key] = value
        else:
            raise ConfigurationError(
                f"{name}: schedule {key!r} must be an Every, a Cron or a Schedule, not {value!r}"
            )
    needed = [field for field, about in kind.model_fields.items() if about.is_required()]
    if needed:
        raise ConfigurationError(
            f"{name} has schedules, so its events are made without arguments: give the field "
            f"{needed[0]!r} a default, or use executor.schedule(name, {name}(...), rule)"
        )
    _DECLARED[kind] = found


def declared_schedules(kinds: Iterable[type[Event]]) -> dict[str, tuple[type[Event], Schedule]]:
    """Return the schedules that classes declare themselves, with the class of each, by name.

    Raises:
        ConfigurationError: if two classes declare one name.
    """
    found: dict[str, tuple[type[Event], Schedule]] = {}
    for kind in kinds:
        for name, schedule in _DECLARED.get(kind, _NONE).items():
            if name in found:
                raise ConfigurationError(
                    f"schedule {name!r} is declared by {found[name][0].__name__} and by "
                    f"{kind.__name__}, which share a queue: rename one of them"
                )
            found[name] = kind, schedule
    return found


async def store_declarations(
    store: Store, declared: Mapping[str, tuple[type[Event], Schedule]]
) -> None:
    """Make the schedules that classes declare.

    A schedule that is stored already changes only if the declaration has a higher ``revision``.
    Options that an operator has changed, and a pause, stay.

    Args:
        store: The store of the queue.
        declared: The class and the schedule, by name.
    """
    for name, (kind, schedule) in declared.items():
        while True:
            old = next((each for each in await store.schedules() if each.name == name), None)
            new = _declared(store, old, name, kind, schedule)
            if new is None or await store.change_schedule(old, new):
                break


def _declared(
    store: Store, old: ScheduleRecord | None, name: str, kind: type[Event], schedule: Schedule
) -> ScheduleRecord | None:
    """Return the record after a declaration; None if it stays as it is."""
    now = store.time()
    new = replace(new_record(name, kind(), schedule, now), declared=schedule)
    if old is None:
        return new
    if old.unreadable is not None:
        logger.warning("schedule %r of %s stays: %s", name, new.kind, old.unreadable)
        return None
    if old.declared is None:
        logger.warning(
            "schedule %r of %s is not used: queue %r has a schedule of this name that was made "
            "with executor.schedule(); remove that one, or rename one of them",
            *(name, new.kind, store.queue),
        )
        return None
    parts = ("kind", "payload", "key", "costs")
    is_same_event = all(getattr(old, part) == getattr(new, part) for part in parts)
    if old.declared == schedule and is_same_event:
        return None
    if schedule.revision <= old.declared.revision:
        if schedule.revision == old.declared.revision:
            logger.warning(
                "schedule %r of %s differs from the stored one, which stays: give it "
                "revision=%d if it is the later one",
                *(name, new.kind, schedule.revision + 1),
            )
        return None
    kept = {
        each.name: getattr(old.schedule, each.name)
        for each in fields(Schedule)
        if each.name != "revision"
        and getattr(old.schedule, each.name) != getattr(old.declared, each.name)
    }
    event = {part: getattr(new, part) for part in parts}
    return changed(old, replace(schedule, **kept), now, declared=schedule, **event)
