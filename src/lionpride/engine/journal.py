"""The log: one line a transition at DEBUG, and what failed at WARNING.

Logger ``lionpride.events``. It has a handler that does nothing, as libraries should have, so that
nothing is printed unless logging is configured; no level is set, and nothing else is touched.
"""

from __future__ import annotations

import logging

from ..model import registry
from ..rules.transition import Transition

__all__ = ("is_wanted", "note")

logger = logging.getLogger("lionpride.events")
logger.addHandler(logging.NullHandler())


def is_wanted() -> bool:
    """Whether every step is to be logged."""
    return logger.isEnabledFor(logging.DEBUG) and _has_reader()


def _has_reader() -> bool:
    """Whether any handler but the one that does nothing would see a record."""
    each: logging.Logger | None = logger
    while each is not None:
        if any(type(handler) is not logging.NullHandler for handler in each.handlers):
            return True
        each = each.parent if each.propagate else None
    return False


def note(step: Transition) -> None:
    """Log a step, if anybody wants to read of it."""
    level = logging.WARNING if step.is_failure else logging.DEBUG
    if logger.isEnabledFor(level) and _has_reader():  # a record costs as much as the event
        logger.log(level, "%s", _line(step), extra=_fields(step))


def _fields(step: Transition) -> dict[str, object]:
    """What is said, for those who read fields and not lines; each line has all of them."""
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
    way = "removed" if after is None else after.value
    if before is not None and before is not after:
        way = f"{before.value} -> {way}"
    said = [f"{type(event).__name__} {event.id} {way}"]
    if step.reason:
        said.append(step.reason)
    if step.attempt:
        said.append(f"attempt {step.attempt}")
    if step.waited is not None:
        said.append(f"waited {step.waited:.3f} s")
    if step.duration is not None:
        said.append(f"took {step.duration:.3f} s")
    if step.error is not None:
        said.append(" ".join(repr(step.error).split()))
    return ", ".join(said)
