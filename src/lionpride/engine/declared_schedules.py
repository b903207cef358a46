"""Schedules that event classes declare: ``class Sweep(Event, schedules={"sweep": Every(300)})``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from ..errors import ConfigurationError
from ..model.recurrence import Cron, Every
from ..model.schedule import Schedule

if TYPE_CHECKING:
    from .event import Event

__all__ = ("declare_schedules", "declared_schedules")

_DECLARED: WeakKeyDictionary[type[Any], Mapping[str, Schedule]] = WeakKeyDictionary()
_NONE: Final[Mapping[str, Schedule]] = MappingProxyType({})


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
