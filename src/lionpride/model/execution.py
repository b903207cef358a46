"""What has become of an event so far: its status, its result, and its counters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Final

from ..errors import ValidationError
from .codec import Encoder, decode, error_from_dict, error_to_dict
from .unset import MaybeUnset, Unset, UnsetType

__all__ = ("TERMINAL", "EventStatus", "Execution", "pending")


class EventStatus(StrEnum):
    """The seven states of an event; ``rules.lifecycle`` has the arrows between them."""

    PENDING = "pending"
    """Waits to be run."""
    PROCESSING = "processing"
    """Runs now."""
    COMPLETED = "completed"
    """Ended with a response."""
    FAILED = "failed"
    """Ended with an error."""
    CANCELLED = "cancelled"
    """Was cancelled, or ran into its timeout."""
    SKIPPED = "skipped"
    """Raised Skip: there was nothing to do."""
    ABORTED = "aborted"
    """Was denied permission as often as it may be; it never ran."""

    @classmethod
    def allowed(cls) -> tuple[str, ...]:
        """The values, in order."""
        return tuple(status.value for status in cls)


TERMINAL: Final = frozenset(EventStatus) - {EventStatus.PENDING, EventStatus.PROCESSING}
"""The statuses that an event ends in."""


@dataclass(slots=True)
class Execution:
    """The state of one event, kept by whoever holds the event.

    Attributes:
        status: Where the event stands.
        duration: Seconds that the last attempt took; Unset before one ended.
        response: What ``_invoke`` returned, or the chunks of ``_stream``; None is a response,
            Unset is none.
        error: The exception that ended the last attempt; None after a success.
        retryable: Whether trying again may help; Unset while nothing has ended.
        priority: Lower runs first; None until the event is appended (its creation time then).
        arrival: The number that the store gave it; None while nobody holds it.
        attempt: How often it was claimed: the fencing number of its present or last attempt.
        tries: Attempts that failed.
        denials: How often permission was refused since it last ran.
        interruptions: Attempts cut short by a shutdown, a crash or a lapsed lease.
        due: Not to be run before this time, a Unix timestamp in seconds; None: at once.
    """

    status: EventStatus = EventStatus.PENDING
    duration: MaybeUnset[float] = Unset
    response: MaybeUnset[Any] = Unset
    error: MaybeUnset[BaseException | None] = Unset
    retryable: MaybeUnset[bool] = Unset
    priority: float | None = None
    arrival: int | None = field(default=None, compare=False, repr=False)
    attempt: int = 0
    tries: int = 0
    denials: int = 0
    interruptions: int = 0
    due: float | None = None

    def __getattr__(self, name: str) -> Any:
        """The default of a field that was never written: see ``pending``."""
        try:
            return _DEFAULTS[name]
        except KeyError:
            raise AttributeError(f"Execution has no attribute {name!r}") from None

    def add_error(self, error: BaseException) -> None:
        """Record an error beside those recorded before; several become one group."""
        known = self.error
        if known is Unset or known is None:
            self.error = error
            return
        members = known.exceptions if isinstance(known, BaseExceptionGroup) else (known,)
        self.error = BaseExceptionGroup("multiple errors", [*members, error])

    def to_dict(self, mode: str = "json") -> dict[str, Any]:
        """The state as plain data; what is Unset or zero is left out.

        Args:
            mode: "json" encodes response and error (`lionpride.model.codec`); "python" keeps
                the objects.
        """
        return self.encoded(Encoder() if mode != "python" else None)

    def encoded(self, encoder: Encoder | None) -> dict[str, Any]:
        """The state as plain data, its response and error through ``encoder`` if there is one."""
        data: dict[str, Any] = {"status": self.status.value}
        for name in ("duration", "response", "error", "retryable"):
            value = getattr(self, name)
            if value is not Unset:
                data[name] = value
        if encoder is not None:
            if "response" in data:
                data["response"] = encoder.encode(data["response"])
            if data.get("error") is not None:
                data["error"] = error_to_dict(data["error"])
        for name in ("attempt", "tries", "denials", "interruptions"):
            if count := getattr(self, name):
                data[name] = count
        for name in ("priority", "due"):
            if (number := getattr(self, name)) is not None:
                data[name] = number
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, encoded: bool = False) -> Execution:
        """The state read back; the original package's layout is understood too.

        Args:
            data: What ``to_dict`` gave.
            encoded: Whether the response holds tags of the codec.

        Raises:
            ValidationError: names the field that cannot be read.
        """
        unknown = data.keys() - cls.__dataclass_fields__.keys()
        if unknown:
            raise ValidationError(f"execution has no field {min(unknown)!r}: remove it")
        values = dict(data)
        try:
            values["status"] = EventStatus(values.get("status", "pending"))
        except ValueError:
            raise ValidationError(
                f"execution.status {values['status']!r} is none of {', '.join(EventStatus)}"
            ) from None
        if isinstance(values.get("error"), Mapping):
            values["error"] = _read_error(values["error"])
        if encoded and "response" in values:
            values["response"] = decode(values["response"])
        _unset_missing(values)
        for name in ("duration", "priority", "due"):
            number = values.get(name)
            known = isinstance(number, float | int | None | UnsetType)
            if not known or (isinstance(number, float) and math.isnan(number)):
                raise ValidationError(f"execution.{name} must be a number, not {number!r}")
        for name in ("attempt", "tries", "denials", "interruptions"):
            count = values.get(name, 0)
            if not isinstance(count, int) or isinstance(count, bool) or count < 0:
                raise ValidationError(f"execution.{name} must be a count from 0 up, not {count!r}")
        return cls(**values)


_DEFAULTS: Final = {each.name: each.default for each in fields(Execution)}


def pending() -> Execution:
    """A new execution, for a fifth of what the constructor costs: defaults are not written."""
    state: Execution = _new(Execution)
    state.status = _PENDING
    state.attempt = 0
    return state


_new = Execution.__new__
_PENDING = EventStatus.PENDING


def _read_error(data: Mapping[str, Any]) -> BaseException:
    try:
        return error_from_dict(data)
    except (TypeError, ValueError, AttributeError) as error:
        raise ValidationError(f"execution.error cannot be read: {data!r}", cause=error) from error


def _unset_missing(values: dict[str, Any]) -> None:
    """The original wrote null for "no value": only a completed event's null is a value."""
    completed = values["status"] is EventStatus.COMPLETED
    for name in ("duration", "response", "error", "retryable"):
        if values.get(name, Unset) is None and not (completed and name in ("response", "error")):
            del values[name]
