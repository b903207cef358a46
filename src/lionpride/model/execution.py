"""State of an event: its status, its result, and its counters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, Generic, NoReturn, Self, TypeVar, overload

from ..errors import OperationError, UnknownClassError, ValidationError
from .after import After
from .attempts import Attempt, attempts_of
from .finite import is_finite
from .progress import Live, Progress
from .retry_policy import Retry
from .serialization.codec import Encoder, decode, error_from_dict, error_to_dict
from .unset import MaybeUnset, Unset, UnsetType

__all__ = ("FIXED", "KEYS", "TERMINAL", "USUAL_KEYS", "EventStatus", "Execution", "read_error")


V = TypeVar("V")


class EventStatus(StrEnum):
    """The seven statuses of an event; ``rules.state_machine`` defines the transitions."""

    PENDING = "pending"
    """Waits to start."""
    PROCESSING = "processing"
    """Is running."""
    COMPLETED = "completed"
    """Finished with a response."""
    FAILED = "failed"
    """Finished with an error."""
    CANCELLED = "cancelled"
    """Was cancelled, or exceeded its timeout or its ttl."""
    SKIPPED = "skipped"
    """Raised Skip: there was nothing to do."""
    ABORTED = "aborted"
    """Was denied permission too often; it did not run."""

    @classmethod
    def allowed(cls) -> tuple[str, ...]:
        """Return the values, in order."""
        return tuple(status.value for status in cls)

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        raise ValueError(f"{value!r} is no status of an event: give one of {', '.join(cls)}")


TERMINAL: Final = frozenset(EventStatus) - {EventStatus.PENDING, EventStatus.PROCESSING}
"""The final statuses."""


class Status:
    """The status, stored as plain text: an enum member would cost the garbage collector time.

    It cannot be set on an event that belongs to an executor, or that runs without one.
    """

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: Execution, owner: type) -> EventStatus: ...
    def __get__(self, instance: Execution | None, owner: type) -> Self | EventStatus:
        return self if instance is None else _STATUS[instance.own.get("_status", "pending")]

    def __set__(self, instance: Execution, value: EventStatus) -> None:
        if instance.own.get("_arrival") is not None:
            raise OperationError(
                f"the status cannot be set to {value!s} by hand, since the event belongs to "
                "an executor: use executor.cancel(event) or executor.retry(event)"
            )
        if "_solo" in instance.own:
            raise OperationError(
                f"the status cannot be set to {value!s} by hand, since the event is "
                "running: wait for its end, or cancel the task that runs it"
            )
        instance.become(EventStatus(value))


class StateField(Generic[V]):
    """A field of ``Execution``: an entry of the dict below it, or its default.

    Args:
        default: The value without an entry.
        key: The key of the entry; by default the name of the field after an underscore.
    """

    __slots__ = ("default", "key")

    def __init__(self, default: V, key: str = "") -> None:
        self.default = default
        self.key = key

    def __set_name__(self, owner: type, name: str) -> None:
        self.key = self.key or f"_{name}"

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: Execution, owner: type) -> V: ...
    def __get__(self, instance: Execution | None, owner: type) -> Self | V:
        if instance is None:
            return self
        value: V = instance.own.get(self.key, self.default)
        return value

    def __set__(self, instance: Execution, value: V) -> None:
        if value is self.default:
            instance.own.pop(self.key, None)
        else:
            instance.own[self.key] = value
            instance.own.setdefault("_status", "pending")  # an event with state has a status


class SuccessField(StateField[V]):
    """A field that has the same value in every completed event, which needs no entry for it.

    Args:
        default: The value without an entry.
        success: The value in a completed event.
    """

    __slots__ = ("success",)

    def __init__(self, default: V, success: V) -> None:
        super().__init__(default)
        self.success = success

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is not None and instance.own.get("_status") == "completed":
            return self.success
        return super().__get__(instance, owner)


class UnfinishedField(StateField[V]):
    """A field that has its default in a finished event, even if the entry is still there."""

    __slots__ = ()

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is not None and instance.own.get("_status", "pending") not in _UNFINISHED:
            return self.default
        return super().__get__(instance, owner)


_UNFINISHED: Final = ("pending", "processing")

_AFTER: Final = "@after"
"""The entry of ``after``. It is no identifier, so a user's class has no attribute of this name."""

_STATUS: Final = {status.value: status for status in EventStatus}


class Execution:
    """State of one event. The executor that has the event updates it.

    It is a view: the entries are in the event's own ``__dict__``, so that the garbage collector
    sees one object per event and not three (docs/decisions/identity.md).

    Attributes:
        status: The status of the event.
        duration: Seconds that the last attempt took; Unset before one ended.
        response: The return value of ``_invoke``, or the chunks of ``_stream``. None is a response;
            Unset means that there is none.
        error: The exception that ended the last attempt; None after a success.
        retryable: True if another attempt may succeed; Unset while no attempt has ended.
        priority: Lower runs first; None before the append (the default is the creation time).
        arrival: The arrival number in the store; None while the event belongs to no executor.
        attempt_number: The number of its present or last attempt, from 1; 0 before the first.
            Each claim counts, also one that was interrupted. It is the fencing token.
        failure_count: Number of failed attempts.
        denials: Number of denials since it last ran.
        interruptions: Attempts ended by a shutdown, a crash or an expired lease.
        due: Earliest start, a Unix timestamp in seconds; None: at once; inf: not before the parents
            of the event have finished.
        expires: Latest start, a Unix timestamp in seconds; None for no limit.
        failed_attempts: The last failed attempts, oldest first; ``executor.retry`` keeps them.
        retry: The retry policy of its append; None for its class's policy.
        unique: The value of ``unique`` at its append, and the time as a Unix timestamp in seconds;
            None without ``unique``.
        after: The parents given at its append. None without parents, or if the event was read from
            a database: ``executor.parents(event)`` reads them.

    Dumps and stores have ``attempt_number``, ``failure_count`` and ``failed_attempts`` under their
    former names ``attempt``, ``tries`` and ``attempts``. These names are aliases.
    """

    __slots__ = ("own",)
    __hash__ = None  # type: ignore[assignment]  # it changes

    status = Status()
    duration = StateField[MaybeUnset[float]](Unset)
    response = StateField[MaybeUnset[Any]](Unset)
    error = SuccessField[MaybeUnset[BaseException | None]](Unset, None)
    retryable = SuccessField[MaybeUnset[bool]](Unset, False)
    priority = StateField[float | None](None)
    arrival = StateField[int | None](None)
    attempt_number = StateField[int](0, "_attempt")
    failure_count = StateField[int](0, "_tries")
    denials = StateField[int](0)
    interruptions = StateField[int](0)
    due = StateField[float | None](None)
    expires = UnfinishedField[float | None](None)
    failed_attempts = StateField[tuple[Attempt, ...]]((), "_attempts")
    retry = StateField[Retry | None](None)
    unique = StateField[tuple[str, float] | None](None)
    after = StateField[After | None](None, _AFTER)
    attempt = attempt_number  # former names
    tries = failure_count
    attempts = failed_attempts

    def __init__(
        self,
        status: EventStatus = EventStatus.PENDING,
        duration: MaybeUnset[float] = Unset,
        response: MaybeUnset[Any] = Unset,
        error: MaybeUnset[BaseException | None] = Unset,
        retryable: MaybeUnset[bool] = Unset,
        **counters: Any,
    ) -> None:
        self.own: dict[str, Any] = {}
        given = {"status": status, "duration": duration, "response": response, "error": error}
        for name, value in _as_stored({**given, "retryable": retryable, **counters}).items():
            if name not in _NAMES:
                raise TypeError(f"Execution has no field {name!r}")
            setattr(self, name, value)

    @classmethod
    def over(cls, own: dict[str, Any]) -> Self:
        """Return the state whose entries are in ``own``, an event's ``__dict__``."""
        state = cls.__new__(cls)
        state.own = own
        return state

    @property
    def is_blocked(self) -> bool:
        """True while it is PENDING because its parents have not finished."""
        return self.own.get("_due") == math.inf and self.status is EventStatus.PENDING

    @property
    def scheduled_for(self) -> float | None:
        """The instant of the schedule that has appended it, a Unix timestamp in seconds.

        It is before ``due`` if the schedule has jitter, and before the append if the event is late.
        None if no schedule has appended it. It is part of the metadata, under ``lion_schedule``.
        """
        mark = self.own.get("_metadata", {}).get("lion_schedule")
        at: Any = mark.get("at") if isinstance(mark, Mapping) else None
        return float(at) if is_finite(at) else None

    @property
    def progress(self) -> Progress | None:
        """The last progress report of the present or last attempt; None without a report.

        It is not part of a dump. In other processes it can be some time old.
        """
        live = Live.now(self.own)
        return None if live is None else live.progress

    @property
    def chunks(self) -> Sequence[Any]:
        """The chunks that a stream has yielded in its attempt; after its end, the response."""
        live = Live.now(self.own)
        if live is not None and live.chunks is not None:
            return live.chunks
        response = self.own.get("_response", ())
        return response if self.own.get("streaming") and isinstance(response, list) else ()

    def become(self, status: EventStatus) -> None:
        """Set the status without a check; for the executor or the run that has the event."""
        self.own["_status"] = status.value

    def entries(self) -> dict[str, Any]:
        """Return a copy of its entries, for the ``__dict__`` of a detached event."""
        return {key: value for key, value in self.own.items() if key in _KEYS}

    def __copy__(self) -> Self:
        return self.over(self.entries())

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).over, (self.entries(),)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Execution):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _COMPARED)

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in _COMPARED[:5])
        return f"Execution({shown})"

    def add_error(self, error: BaseException) -> None:
        """Record an additional error; several errors become one exception group."""
        known = self.error
        if known is Unset or known is None:
            self.error = error
            return
        members = known.exceptions if isinstance(known, BaseExceptionGroup) else (known,)
        self.error = BaseExceptionGroup("multiple errors", [*members, error])

    def to_dict(self, mode: str = "json") -> dict[str, Any]:
        """Return the state as plain data, without entries that are Unset or zero.

        Args:
            mode: "json" encodes response and error (`serialization.codec`); "python" keeps
                the objects.
        """
        return self.encoded(Encoder() if mode != "python" else None)

    def encoded(self, encoder: Encoder | None) -> dict[str, Any]:
        """Return the state as plain data; ``encoder``, if given, encodes its response and error."""
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
        for name in ("priority", "due", "expires"):
            if (number := getattr(self, name)) is not None and number != math.inf:
                data[name] = number
        return data if _RARE.isdisjoint(self.own) else data | self._rare()

    def _rare(self) -> dict[str, Any]:
        """Return the entries that few events have, as plain data."""
        data: dict[str, Any] = {}
        if self.failed_attempts:
            data["attempts"] = [each._asdict() for each in self.failed_attempts]
        if self.retry is not None:
            data["retry"] = self.retry.to_dict()
        if self.unique is not None:
            data["unique"] = list(self.unique)
        if self.after is not None:
            data["after"] = self.after.to_dict()
            if self.is_blocked:  # `due` is left out: JSON has no infinity
                data["after"]["blocked"] = True
        return data

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, encoded: bool = False) -> Execution:
        """Return the state from plain data; the original package's layout is accepted too.

        Args:
            data: The result of ``to_dict``.
            encoded: True if the response has tags of the codec.

        Raises:
            ValidationError: if a field cannot be read; the message names it.
        """
        values = _as_stored(data)
        unknown = values.keys() - set(_NAMES)
        if unknown:
            raise ValidationError(f"execution has no field {min(unknown)!r}: remove it")
        try:
            values["status"] = EventStatus(values.get("status", "pending"))
        except ValueError:
            raise ValidationError(
                f"execution.status {values['status']!r} is none of {', '.join(EventStatus)}"
            ) from None
        _read_objects(values, encoded=encoded)
        _unset_missing(values)
        for name in ("duration", "priority", "due", "expires"):
            number = values.get(name)
            known = isinstance(number, float | int | None | UnsetType)
            if not known or (isinstance(number, float) and math.isnan(number)):
                raise ValidationError(f"execution.{name} must be a number, not {number!r}")
        for name in ("attempt", "tries", "denials", "interruptions"):
            count = values.get(name, 0)
            if not isinstance(count, int) or isinstance(count, bool) or count < 0:
                raise ValidationError(f"execution.{name} must be a count from 0 up, not {count!r}")
        return cls(**values)


def _as_stored(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields under the names that dumps have.

    Raises:
        ValidationError: if a field is given under both of its names.
    """
    for name in values.keys() & _STORED.keys():
        if _STORED[name] in values:
            raise ValidationError(
                f"execution.{name} and execution.{_STORED[name]} are one field: give only {name}"
            )
    return {_STORED.get(name, name): value for name, value in values.items()}


def _read_objects(values: dict[str, Any], *, encoded: bool) -> None:
    """Replace the plain data of fields by their objects."""
    if isinstance(values.get("error"), Mapping):
        values["error"] = read_error(values["error"])
    if encoded and "response" in values:
        values["response"] = decode(values["response"])
    if "attempts" in values:
        values["attempts"] = attempts_of(values["attempts"])
    if values.get("retry") is not None and not isinstance(values["retry"], Retry):
        values["retry"] = Retry.from_dict(values["retry"])
    if values.get("unique") is not None:
        values["unique"] = _unique_of(values["unique"])
    if values.get("after") is not None and not isinstance(values["after"], After):
        after = values["after"]
        values["after"] = After.from_dict(after)
        if after.get("blocked"):
            values["due"] = math.inf


def _unique_of(given: Any) -> tuple[str, float]:
    try:
        value, since = given
    except (TypeError, ValueError):
        value = since = None
    if not isinstance(value, str) or not is_finite(since):
        raise ValidationError(f"execution.unique must be a text and a time, not {given!r}")
    return value, float(since)


def read_error(data: Mapping[str, Any]) -> BaseException:
    """Return the error of a record.

    Raises:
        ValidationError: if it cannot be read.
        UnknownClassError: if its details have an element of a class that is not defined here.
    """
    try:
        return error_from_dict(data)
    except UnknownClassError:
        raise
    except (TypeError, ValueError, AttributeError) as error:
        raise ValidationError(f"execution.error cannot be read: {data!r}", cause=error) from error


def _unset_missing(values: dict[str, Any]) -> None:
    """Replace null by Unset, as the original package wrote null for "no value".

    Only the response of a completed event may be null.
    """
    completed = values["status"] is EventStatus.COMPLETED
    for name in ("duration", "response", "error", "retryable"):
        if values.get(name, Unset) is None and not (completed and name in ("response", "error")):
            del values[name]


_NAMES: Final = (
    "status",
    "duration",
    "response",
    "error",
    "retryable",
    "priority",
    "attempt",
    "tries",
    "denials",
    "interruptions",
    "due",
    "expires",
    "attempts",
    "retry",
    "unique",
    "after",
    "arrival",
)
"""The fields as dumps name them."""
_STORED: Final = {
    "attempt_number": "attempt",
    "failure_count": "tries",
    "failed_attempts": "attempts",
}
_COMPARED: Final = tuple(name for name in _NAMES if name != "arrival")
_KEYS: Final = frozenset({_AFTER, *(f"_{name}" for name in _COMPARED if name != "after")})
KEYS: Final = _KEYS | {"_arrival"}
"""Its entries in an event's ``__dict__``."""
_RARE: Final = frozenset({"_attempts", "_retry", "_unique", _AFTER})
FIXED: Final = frozenset({"_retry", "_unique", _AFTER})
"""The entries that the append sets, and that do not change afterwards."""
USUAL_KEYS: Final = ("_status", "_arrival", "_priority", "_attempt", "_response", "_duration")
"""The entries that every completed event has."""
