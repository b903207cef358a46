"""All errors that the library raises.

LionprideError is their common base. An error class also derives from the built-in class that a
caller would catch, such as ValueError. Each message names the field, the value and the remedy.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

__all__ = (
    "AccessError",
    "ConfigurationError",
    "DependencyError",
    "EventCancelledError",
    "ExecutionError",
    "ExistsError",
    "LionTimeoutError",
    "LionprideError",
    "NotFoundError",
    "OperationError",
    "QueueFullError",
    "RateLimited",
    "RestartedError",
    "Skip",
    "StoreError",
    "UnknownClassError",
    "ValidationError",
)


class LionprideError(Exception):
    """Base class of all errors of this library.

    Args:
        message: The problem and its remedy.
        details: Further facts for logs, as plain data.
        retryable: True if the same call may succeed later. By default, the ``default_retryable``
            of the class: True here, and each subclass of this library sets its own.
        cause: The underlying exception; also set as ``__cause__``.
    """

    default_message = "lionpride error"
    default_retryable = True

    def __init__(
        self,
        message: str | None = None,
        *,
        details: Mapping[str, Any] | None = None,
        retryable: bool | None = None,
        cause: BaseException | None = None,
    ) -> None:
        self.message = str(message) if message else self.default_message
        self.details = dict(details or {})
        self.retryable = self.default_retryable if retryable is None else retryable
        super().__init__(self.message)
        if cause is not None:
            self.__cause__ = cause

    def __str__(self) -> str:
        known = self.__dict__.get("message")  # a subclass may not have called our __init__
        return super().__str__() if known is None else str(known)

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.details, self.retryable)

    def to_dict(self) -> dict[str, Any]:
        """Return the error as plain data: ``error``, ``message``, ``retryable`` and ``details``."""
        data: dict[str, Any] = {
            "error": type(self).__name__,
            "message": self.message,
            "retryable": self.retryable,
        }
        if self.details:
            data["details"] = dict(self.details)
        return data


def _rebuild(
    kind: type[LionprideError], message: str, details: dict[str, Any], retryable: bool
) -> LionprideError:
    """Make an unpickled error from its parts."""
    return kind(message, details=details, retryable=retryable)


class ValidationError(LionprideError, ValueError):
    """A value does not fit its field."""

    default_message = "invalid value"
    default_retryable = False


class ConfigurationError(LionprideError, ValueError):
    """A class or an executor has settings that cannot work."""

    default_message = "invalid configuration"
    default_retryable = False


class NotFoundError(LionprideError, KeyError):
    """No event, class or name was found under the given id or name."""

    default_message = "not found"
    default_retryable = False


class UnknownClassError(NotFoundError, ValueError):
    """Stored data names a class that this process has not defined."""

    default_message = "unknown class"
    default_retryable = False


class ExistsError(LionprideError, ValueError):
    """The id or name is already in use; nothing was changed."""

    default_message = "already exists"
    default_retryable = False


class OperationError(LionprideError, RuntimeError):
    """The call is not allowed in the present state; nothing was changed."""

    default_message = "not allowed in this state"
    default_retryable = False


class QueueFullError(LionprideError, asyncio.QueueFull):
    """The queue has reached its limit, ``max_queue_size``; the event was not appended."""

    default_message = "queue is full"
    default_retryable = True


class StoreError(LionprideError, OSError):
    """A durable store could not carry out an operation; nothing of it was written."""

    default_message = "the store failed"
    default_retryable = True


class LionTimeoutError(LionprideError, TimeoutError):
    """An event ran longer than its timeout."""

    default_message = "timed out"
    default_retryable = True


class EventCancelledError(LionprideError):
    """An event was cancelled before it completed."""

    default_message = "event was cancelled"
    default_retryable = True


class DependencyError(EventCancelledError):
    """An event was cancelled because a parent has not finished as the event requires."""

    default_message = "a parent has not finished as required"
    default_retryable = True


class RestartedError(LionprideError):
    """The attempt whose chunks a reader received has failed, and a new attempt has begun.

    Call ``stream`` again: it yields the chunks of the new attempt from the first one on.
    """

    default_message = "a new attempt of the stream has begun"
    default_retryable = True


class AccessError(LionprideError, PermissionError):
    """An event was denied permission too often, and is ABORTED."""

    default_message = "permission denied"
    default_retryable = False


class ExecutionError(LionprideError, RuntimeError):
    """A replacement for an error that cannot be raised as itself.

    There are two cases: the error was read from a record, or the original would end the caller's
    process, such as KeyboardInterrupt. If it was read from a record, ``details["error"]`` is the
    name of the original class. For a built-in class that ``error_class`` supports, the error is an
    instance of that class too, so ``except ValueError`` catches it. For any other class, the
    message begins with the name.

    Attributes:
        record: The record that the error was read from. It is written again unchanged.
    """

    default_message = "execution failed"
    default_retryable = True
    record: Mapping[str, Any] | None = None

    def __str__(self) -> str:
        text = super().__str__()
        named = self.details.get("error") if self.record is not None else None
        return f"{named}: {text}" if named and type(self) is ExecutionError else text

    def __reduce__(self) -> tuple[Any, ...]:
        if type(self).__module__ != __name__:  # a subclass of a user
            return super().__reduce__()
        parts = (type(self).__name__, self.message, self.details, self.retryable, self.record)
        return _rebuild_stand_in, parts


_STANDARD: dict[str, type[Exception]] = {
    kind.__name__: kind
    for kind in (
        ArithmeticError,
        AssertionError,
        AttributeError,
        BufferError,
        ConnectionAbortedError,
        ConnectionError,
        ConnectionRefusedError,
        ConnectionResetError,
        EOFError,
        FileExistsError,
        FileNotFoundError,
        ImportError,
        IndexError,
        KeyError,
        LookupError,
        MemoryError,
        ModuleNotFoundError,
        NameError,
        NotImplementedError,
        OSError,
        OverflowError,
        PermissionError,
        ReferenceError,
        RuntimeError,
        TimeoutError,
        TypeError,
        ValueError,
        ZeroDivisionError,
    )
}
"""Built-in errors that can be made from a message alone and are safe to raise anywhere."""


@cache
def _stands_for(name: str) -> type[ExecutionError]:
    bases = (ExecutionError, _STANDARD[name])
    return type(name, bases, {"__doc__": f"A {name} that was read back.", "__module__": __name__})


def error_class(name: str) -> type[ExecutionError]:
    """Return the class of an error that was recorded under the name of its class.

    Args:
        name: Name of the class, such as ``"ValueError"``.

    Returns:
        A subclass of ExecutionError and of the built-in class of this name, such as ValueError. It
        is ExecutionError for other names, and for built-in classes that need more than a message
        (UnicodeDecodeError) or have a meaning for the interpreter (StopIteration).
    """
    return _stands_for(name) if name in _STANDARD else ExecutionError


def _rebuild_stand_in(
    name: str,
    message: str,
    details: dict[str, Any],
    retryable: bool,
    record: Mapping[str, Any] | None,
) -> ExecutionError:
    """Make an unpickled ExecutionError from its parts."""
    error = error_class(name)(message, details=details, retryable=retryable)
    error.record = record
    return error


class Skip(LionprideError):
    """Raised by ``_invoke`` or ``_stream`` to finish the event as SKIPPED, with this reason.

    >>> raise Skip("already sent")
    """

    default_message = "skipped"
    default_retryable = False


class RateLimited(LionprideError):
    """Raised by ``_invoke`` or ``_stream`` when a service answers "too many requests" (HTTP 429).

    The event is pending again until ``retry_after`` has passed. This does not count as a failure.
    Until then no other event that uses the named limit starts; without a name,
    no event of the queue starts. With ``pause=False``, the other events are not delayed.

    >>> raise RateLimited(retry_after=20, limit="tokens")

    Args:
        message: The answer of the service.
        retry_after: Seconds until the next attempt. The text of a ``Retry-After`` header is
            accepted, with seconds or a date. Default: 1.
        limit: Name of the processor's limit that was reached; None for all events of the queue.
        pause: True to delay other events too; False if the service refuses only this one.
        details: See LionprideError.
        retryable: See LionprideError.
        cause: See LionprideError.

    Raises:
        ValidationError: if ``retry_after`` is not a finite number of seconds >= 0, or ``pause``
            is not True or False.
    """

    default_message = "rate limited"
    default_retryable = True

    def __init__(
        self,
        message: str | None = None,
        *,
        retry_after: float | str | None = None,
        limit: str | None = None,
        pause: bool = True,
        details: Mapping[str, Any] | None = None,
        retryable: bool | None = None,
        cause: BaseException | None = None,
    ) -> None:
        known = dict(details or {})  # an error that is read back has them there
        if retry_after is not None:
            known["retry_after"] = _wait(retry_after)
        if limit is not None:
            known["limit"] = limit
        if pause is not True:
            known["pause"] = pause
        self.retry_after: float = _wait(known.get("retry_after", 1.0))
        self.pause: bool = known.get("pause", True)
        if not isinstance(self.pause, bool):
            raise ValidationError(f"pause must be True or False, not {self.pause!r}")
        self.limit: str | None = known.get("limit")
        super().__init__(message, details=known, retryable=retryable, cause=cause)


def _wait(value: Any) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = _until(value) if isinstance(value, str) else math.nan
    if not (math.isfinite(number) and number >= 0):
        raise ValidationError(
            f"retry_after must be a number of seconds from 0 up, or the date of a Retry-After "
            f"header, not {value!r}: leave it out for 1"
        )
    return number


def _until(date: str) -> float:
    """Return the seconds until the date of a header, at least 0; NaN if it is none (RFC 9110)."""
    from email.utils import parsedate_to_datetime  # late: few services send a date

    try:
        when = parsedate_to_datetime(date)
    except ValueError:
        return math.nan
    if when.tzinfo is None:  # "-0000" says that the zone is unknown; HTTP's is always UTC
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
