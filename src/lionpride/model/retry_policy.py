"""Retry policy: which errors are retried, how often, and after which wait; plain data."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from difflib import get_close_matches
from typing import Any, Final, TypeAlias

from .. import errors
from ..errors import ExecutionError, LionprideError, ValidationError
from . import registry
from .finite import LARGEST, is_finite
from .serialization.codec import safe_repr
from .unset import MaybeUnset, Unset

__all__ = ("Kinds", "Retry", "flag_of", "retry_after_of")

Kinds: TypeAlias = type[Exception] | str | tuple[type[Exception] | str, ...]
"""Exception classes, or their full names: one, or several."""

_DOUBLINGS: Final = 1000
"""Doublings after which any ceiling is reached; two to this power is still a float."""


@dataclass(frozen=True, slots=True, init=False)
class Retry:
    """Retry policy of an event class, or of one ``append``.

    >>> class Fetch(Event):
    ...     retry: ClassVar = Retry(max_attempts=4, backoff=0.5)

    After the n-th failure, the event waits a random time between 0 and
    ``min(ceiling, backoff * 2 ** (n - 1))`` seconds ("full jitter"). It waits longer if the
    exception has a longer ``retry_after``. It waits in the store, and occupies no slot of a worker.

    Args:
        max_attempts: Attempts in all, the first one included; 3 by default.
        backoff: Longest wait before the second attempt, in seconds; it doubles with each failure.
        ceiling: Longest wait before any attempt, in seconds; a ``retry_after`` may be longer.
        deadline: Seconds after the start of the first failed attempt. No attempt starts later than
            that; None for no deadline.
        jitter: True for random waits; False for the longest wait each time.
        on: Exception classes that are retried, with their subclasses; full names such as
            ``"httpx.HTTPError"`` are accepted. An exception with ``retryable = True`` is retried
            whatever ``on`` contains, and one with ``retryable = False`` is not retried.
        never: Exception classes that are not retried, whatever else applies.
        attempts: The former name of ``max_attempts``.

    Raises:
        ValidationError: if a value is out of bounds; the message names it and the remedy.
    """

    max_attempts: int
    backoff: float
    ceiling: float
    deadline: float | None
    jitter: bool
    on: Kinds
    never: Kinds

    def __init__(
        self,
        max_attempts: MaybeUnset[int] = Unset,
        backoff: float = 1.0,
        ceiling: float = 60.0,
        deadline: float | None = None,
        jitter: bool = True,
        on: Kinds = Exception,
        never: Kinds = (),
        *,
        attempts: MaybeUnset[int] = Unset,
    ) -> None:
        for name, seconds in (("backoff", backoff), ("ceiling", ceiling)):
            _check_seconds(name, seconds, positive=False)
        if deadline is not None:
            _check_seconds("deadline", deadline, positive=True)
        if not isinstance(jitter, bool):
            raise ValidationError(f"Retry.jitter must be True or False, not {jitter!r}")
        values = {
            "max_attempts": _checked_maximum(max_attempts, attempts),
            "backoff": backoff,
            "ceiling": ceiling,
            "deadline": deadline,
            "jitter": jitter,
            "on": _names("on", on),
            "never": _names("never", never),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    @property
    def attempts(self) -> int:
        """The former name of ``max_attempts``."""
        return self.max_attempts

    def covers(self, error: BaseException, *, by_kind: bool = False) -> bool:
        """Return True if an error is retried; an exception group is, if all its members are.

        Args:
            error: The error.
            by_kind: True to look at its class only, and not at its attribute ``retryable``.
        """
        if not isinstance(error, Exception) or _is_of(error, self.never):
            return False
        if isinstance(error, ExceptionGroup):
            return all(self.covers(each) for each in error.exceptions)
        flag = None if by_kind else flag_of(error)
        return _is_of(error, self.on) if flag is None else flag

    def wait(self, failures: int, chance: float) -> float:
        """Return the seconds to wait after a number of failures.

        Args:
            failures: Number of failures, from 1.
            chance: A random number from 0 to 1; ignored without ``jitter``.
        """
        longest = min(self.ceiling, self.backoff * 2.0 ** min(failures - 1, _DOUBLINGS))
        return longest * chance if self.jitter else longest

    def to_dict(self) -> dict[str, Any]:
        """Return the policy as plain data, without fields that have their default.

        ``max_attempts`` has its former name ``attempts`` there, as in stored data.
        """
        usual = type(self)()
        data = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value != getattr(usual, field.name):
                name = "attempts" if field.name == "max_attempts" else field.name
                data[name] = list(value) if isinstance(value, tuple) else value
        return data

    @classmethod
    def from_dict(cls, data: Any) -> Retry:
        """Return the policy from the result of ``to_dict``.

        Raises:
            ValidationError: if it cannot be read.
        """
        known = {field.name for field in fields(cls)} | {"attempts"}
        if not isinstance(data, Mapping) or not data.keys() <= known:
            raise ValidationError(f"execution.retry must be what Retry.to_dict gave, not {data!r}")
        policy = cls(**{name: data[name] for name in data.keys() - {"on", "never"}})
        for name in data.keys() & {"on", "never"}:
            object.__setattr__(policy, name, _read_names(name, data[name]))
        return policy


def _checked_maximum(max_attempts: MaybeUnset[int], attempts: MaybeUnset[int]) -> int:
    """Return the maximum number of attempts, under its present or former name; 3 by default.

    Raises:
        ValidationError: if both are given, or it is not a positive number.
    """
    if attempts is not Unset and max_attempts is not Unset:
        raise ValidationError(
            f"Retry(max_attempts={safe_repr(max_attempts)}, attempts={safe_repr(attempts)}): "
            "attempts is the former name of max_attempts: give max_attempts alone"
        )
    name = "max_attempts" if attempts is Unset else "attempts"
    value: Any = max_attempts if attempts is Unset else attempts
    if value is Unset:
        return 3
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not 1 <= value <= LARGEST:
        raise ValidationError(
            f"Retry.{name} must be a whole number from 1 up, not {safe_repr(value)}: the "
            "first attempt counts, and the number has to fit into a float"
        )
    return int(value)


def flag_of(error: BaseException) -> bool | None:
    """Return the attribute ``retryable`` of an exception; None if it has none.

    An error of the library always has one. Of any other class only True and False count. For an
    error that was read back, its record decides.
    """
    if isinstance(error, ExecutionError) and error.record is not None:
        flag = error.record.get("retryable")
        return flag if isinstance(flag, bool) else None
    try:
        flag = getattr(error, "retryable", None)
    except Exception:  # a property of a user's class
        flag = None
    if isinstance(error, LionprideError):
        return error.default_retryable is True if flag is None else bool(flag)
    return flag if isinstance(flag, bool) else None


def retry_after_of(error: BaseException) -> float | None:
    """Return the seconds in an exception's ``retry_after``; None if there are none.

    A number, a numeric text and a timedelta are accepted; other values are ignored. For an
    exception group, the longest wait of its members counts.
    """
    if isinstance(error, BaseExceptionGroup):
        asks = [retry_after_of(each) for each in error.exceptions]
        return max((ask for ask in asks if ask is not None), default=None)
    try:
        asked = getattr(error, "retry_after", None)
        if isinstance(asked, timedelta):
            asked = asked.total_seconds()
        number = None if asked is None or isinstance(asked, bool) else float(asked)
    except Exception:  # a property of a user's class, or what is no number
        return None
    return number if number is not None and 0 <= number < math.inf else None


def _check_seconds(name: str, value: Any, *, positive: bool) -> None:
    if not is_finite(value) or value < 0 or (positive and value == 0):
        least = "greater than 0" if positive else "from 0 up"
        raise ValidationError(
            f"Retry.{name} must be a finite number of seconds {least}, not {safe_repr(value)}"
        )


def _names(field: str, kinds: Any) -> tuple[str, ...]:
    """Return the full names of exception classes; they are valid without the classes, too."""
    given = kinds if isinstance(kinds, tuple | list | set | frozenset) else (kinds,)
    names = []
    for kind in given:
        if isinstance(kind, type) and issubclass(kind, Exception):
            names.append(registry.key_of(kind))
        elif isinstance(kind, str) and kind:
            names.append(_checked_name(field, kind))
        else:
            raise ValidationError(
                f"Retry.{field} takes Exception classes, or their full names, not {kind!r}"
            )
    return tuple(dict.fromkeys(names))


def _checked_name(field: str, name: str) -> str:
    """Return the full name of an exception class, as ``registry.key_of`` gives it.

    A name is accepted unchecked if its module is not imported, or is being imported now and may
    define the class later.

    Raises:
        ValidationError: if the module, or Python if none is named, has no such exception.
    """
    module, _, attribute = name.rpartition(".")
    where = sys.modules.get(module or "builtins")
    found = getattr(where, attribute, None)
    if found is None and module.partition(".")[0] == "lionpride":  # keys of the library's own
        found = getattr(errors, attribute, None)
    if isinstance(found, type) and issubclass(found, Exception):
        return registry.key_of(found)  # a class may have been defined elsewhere than it is found
    is_missing = found is None or isinstance(found, type) or not module
    if where is None or not is_missing or registry.is_unfinished(module):
        return name
    known = [each for each in dir(where) if _is_exception(getattr(where, each, None))]
    close = get_close_matches(attribute, known, n=1)
    prefix = f"{module}." if module else ""
    hint = f"did you mean {prefix + close[0]!r}? Else " if close else ""
    raise ValidationError(
        f"Retry.{field}={name!r}: {module or 'Python'} has no such exception: {hint}give the "
        "class, or its full name, as 'httpx.HTTPError'"
    )


def _is_exception(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Exception)


def _read_names(field: str, names: Any) -> tuple[str, ...]:
    """Return recorded names of classes; another release may have had other classes."""
    given = (names,) if isinstance(names, str) else names
    if not isinstance(given, list | tuple) or not all(isinstance(each, str) for each in given):
        raise ValidationError(f"execution.retry.{field} must be a list of names, not {names!r}")
    return tuple(given)


def _is_of(error: BaseException, names: Any) -> bool:
    return any(registry.key_of(kind) in names for kind in type(error).__mro__)
