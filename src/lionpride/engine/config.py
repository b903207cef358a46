"""Settings of a processor, checked before anything starts."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any

from ..errors import ConfigurationError, ValidationError
from ..model.event_data import EventData
from ..model.serialization.codec import safe_repr

__all__ = (
    "arguments",
    "check_keys",
    "check_settings",
    "checked_config",
    "checked_priority",
    "seconds",
)


def _whole(name: str, value: Any, most: int | None, too_low: str, too_high: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValidationError(f"{name} must be a whole number, not {value!r}: give an int")
    if value < 1:
        raise ValidationError(f"{too_low} ({name}={safe_repr(value)})")
    if most is not None and value > most:
        raise ValidationError(f"{too_high} ({name}={safe_repr(value)})")


def seconds(name: str, value: Any, least: float, most: float, low: str, high: str) -> None:
    """Refuse a value that is not a number of seconds between ``least`` and ``most``."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or (isinstance(value, float) and not math.isfinite(value)):
        raise ValidationError(f"{name} must be a finite number of seconds, not {value!r}")
    if value < least:
        raise ValidationError(f"{low} ({name}={safe_repr(value)})")
    if value > most:
        raise ValidationError(f"{high} ({name}={safe_repr(value)})")


def checked_config(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the settings of a processor as a new dictionary.

    Raises:
        ConfigurationError: if they are not a mapping.
    """
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return dict(given)
    remedy = "give a mapping such as {'concurrency_limit': 10}, or leave it out"
    if isinstance(given, str) and ":" in given:
        remedy = "pass the store by name: store=…"
    elif hasattr(given, "states"):
        remedy, given = "pass the store by name: store=…", type(given)
    raise ConfigurationError(f"processor_config must be a mapping, not {given!r}: {remedy}")


def check_settings(settings: Mapping[str, Any]) -> None:
    """Refuse a setting that is out of bounds; unknown names are ignored.

    Raises:
        ValidationError: if a setting is out of bounds; the message has the bound.
    """
    for name, most, low, high in (
        (
            "queue_capacity",
            10_000,
            "Queue capacity must be greater than 0.",
            "Queue capacity must be <= 10000; None is no limit on starts.",
        ),
        ("concurrency_limit", None, "Concurrency limit must be >= 1.", ""),
        ("max_queue_size", None, "Max queue size must be >= 1; None is no bound.", ""),
        ("max_denial_tracking", None, "Max denial tracking must be >= 1.", ""),
    ):
        value = settings.get(name)
        if value is not None:
            _whole(name, value, most, low, high)
    for name, least, longest, low, high in (
        (
            "capacity_refresh_time",
            0.01,
            3600.0,
            "Capacity refresh time must be >= 0.01 s.",
            "Capacity refresh time must be <= 3600 s.",
        ),
        (
            "denial_backoff",
            0.0,
            86400.0,
            "Denial backoff must be >= 0 s.",
            "Denial backoff must be <= 86400 s.",
        ),
        (
            "blocked_after",
            0.05,
            3600.0,
            "Blocked after must be >= 0.05 s.",
            "Blocked after must be <= 3600 s; None is no warning.",
        ),
    ):
        value = settings.get(name)
        if value is not None:
            seconds(name, value, least, longest, low, high)
    if not isinstance(fails := settings.get("fail_unreadable", False), bool):
        raise ValidationError(f"fail_unreadable must be True or False, not {fails!r}")
    for name in ("concurrency_limit", "capacity_refresh_time", "denial_backoff"):
        if name in settings and settings[name] is None:
            raise ValidationError(
                f"{name} must be a number, not None: leave it out for the default"
            )


def checked_priority(event: EventData, priority: float | None) -> float:
    """Return a priority as a float; for None, that of the event, or its time of creation.

    Raises:
        ValidationError: if it is not a finite number.
    """
    if priority is None:
        priority = event.__dict__.get("_priority")
        if priority is None:
            return event.created_timestamp
    elif type(priority) is float and math.isfinite(priority):
        return priority
    try:
        number = float(priority)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if isinstance(priority, bool | str) or not math.isfinite(number):
        raise ValidationError(
            f"Priority must be finite and not NaN, got {safe_repr(priority)}: lower runs first"
        )
    return number


def check_keys(kind: type[Any], config: Mapping[str, Any]) -> None:
    """Refuse a key that no ``__init__`` of a processor class accepts.

    Raises:
        ConfigurationError: for an unknown key; the message lists the known ones.
    """
    known = _accepted(kind)
    unknown = sorted(config.keys() - known)
    if unknown:
        takes = ", ".join(sorted(known - {"self", "pile", "executor"}))
        raise ConfigurationError(
            f"processor_config[{unknown[0]!r}]: {kind.__name__} takes no such setting; "
            f"it takes {takes}"
        )


def _accepted(kind: type[Any]) -> set[str]:
    """Return the names that a class accepts; ``__init__`` with ``**kwargs`` passes on the rest."""
    names: set[str] = set()
    for each in kind.__mro__:
        if "__init__" in each.__dict__:
            parameters = inspect.signature(each.__dict__["__init__"]).parameters.values()
            passes = any(p.kind is p.VAR_KEYWORD for p in parameters)
            names |= {p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
            if not passes:
                break
    return names


def arguments(
    kind: type[Any], config: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the arguments for a processor class: the config, and what it accepts of ``given``."""
    known = _accepted(kind)
    return {**{name: value for name, value in given.items() if name in known}, **config}
