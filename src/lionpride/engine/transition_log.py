"""Log of transitions: one line each at DEBUG, failures at WARNING.

The logger is ``lionpride.events``. As Python advises libraries, it has a NullHandler, so that
nothing is printed unless logging is configured. Its level is not changed.
"""

from __future__ import annotations

import logging

from ..model import registry
from ..rules.transition import Transition

__all__ = ("is_wanted", "log_transition")

logger = logging.getLogger("lionpride.events")
logger.addHandler(logging.NullHandler())


def is_wanted() -> bool:
    """Return True if every transition is to be logged."""
    return logger.isEnabledFor(logging.DEBUG) and _has_handler()


def _has_handler() -> bool:
    """Return True if a handler other than a NullHandler would receive a record."""
    each: logging.Logger | None = logger
    while each is not None:
        if any(type(handler) is not logging.NullHandler for handler in each.handlers):
            return True
        each = each.parent if each.propagate else None
    return False


def log_transition(step: Transition) -> None:
    """Log a transition, if the level and the handlers ask for it."""
    level = logging.WARNING if step.is_failure else logging.DEBUG
    if logger.isEnabledFor(level) and _has_handler():  # a record costs as much as the event
        logger.log(level, "%s", _line(step), extra=_fields(step))


def _fields(step: Transition) -> dict[str, object]:
    """Return the fields of a record, for structured logs; every record has all of them."""
    return {
        "event_id": str(step.event.id),
        "event_class": registry.key_of(type(step.event)),
        "queue": step.queue,
        "previous": None if step.before is None else step.before.value,
        "status": "removed" if step.after is None else step.after.value,
        "attempt": step.attempt,
        "duration": step.duration,
        "queue_wait": step.waited,
        "error": None if step.error is None else repr(step.error),
        "reason": step.reason or None,
    }


def _line(step: Transition) -> str:
    event, before, after = step.event, step.before, step.after
    change = "removed" if after is None else after.value
    if before is not None and before is not after:
        change = f"{before.value} -> {change}"
    parts = [f"{type(event).__name__} {event.id} {change}"]
    if step.reason:
        parts.append(step.reason)
    if step.attempt:
        parts.append(f"attempt {step.attempt}")
    if step.waited is not None:
        parts.append(f"waited {step.waited:.3f} s")
    if step.duration is not None:
        parts.append(f"took {step.duration:.3f} s")
    if step.error is not None:
        parts.append(" ".join(repr(step.error).split()))
    return ", ".join(parts)
