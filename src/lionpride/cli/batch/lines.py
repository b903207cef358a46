"""Events from lines of JSON, and the messages about invalid lines."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from hashlib import sha1
from time import time
from typing import Any, TypeAlias
from uuid import UUID

from pydantic import ValidationError as PydanticError

from ...core import Event
from ...drawing.text import one_line, shorten, trouble
from ...engine.append_options import terms_of
from ...errors import LionprideError
from ...model.event_data import EventData

__all__ = ["NAMESPACE", "TERMS", "Asked", "BadLine", "LineReader", "label", "line_ids"]


Asked: TypeAlias = dict[str, Any]
"""What ``append`` is asked beside a priority, as keyword arguments."""

TERMS = ("delay", "at", "ttl", "unique", "unique_for")
NAMESPACE = UUID("c2f7d5c4-6a0e-5d0b-9b1c-0a6c1f2b7e11")
"""Of our uuid5 ids, and of nothing else."""

BOM = b"\xef\xbb\xbf"  # of UTF-8
AT_ONCE = 5  # so many things wrong with a line are said
COMMON = (
    "priority",
    *TERMS,
    "timeout",
    "streaming",
    "id",
    "created_at",
    "metadata",
)  # of any event


class BadLine(LionprideError):
    """A line of input that is not an event. The message names the line, the field, the value."""

    default_message = "bad line"
    default_retryable = False

    def __init__(self, number: int, what: str) -> None:
        super().__init__(f"line {number}: {what}", details={"line": number})


class LineReader:
    """Makes the events of one class from lines.

    Args:
        event_type: The class.
        timeout: For lines that give none.
        name: Gives the id of a line that has none, by its number and its text; by default each
            event has one of its own.
        defaults: Values for fields that a line does not have.
    """

    def __init__(
        self,
        event_type: type[Event],
        timeout: float | None = None,
        name: Callable[[int, bytes], UUID] | None = None,
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        self.event_type = event_type
        self.timeout = timeout
        self._name = name
        self._defaults = defaults or {}
        self._keeps_priority = "priority" in event_type.model_fields
        self._asks = [name for name in TERMS if name not in event_type.model_fields]

    def read(self, number: int, raw: bytes) -> tuple[Event, float | None, Asked]:
        """Return the event of a line, its priority if the line has one, and its other options.

        Raises:
            BadLine: if it is not JSON, not an object, or the class does not take it.
        """
        fields = {**self._defaults, **self._parse(number, raw)}
        priority = self._priority(number, fields)
        asked = self._asked(number, fields)
        if self.timeout is not None:
            fields.setdefault("timeout", self.timeout)
        if self._name is not None and fields.get("id") is None:
            fields["id"] = self._name(number, raw)
        try:
            return self.event_type(**fields), priority, asked
        except PydanticError as error:
            raise BadLine(number, self._invalid(error)) from error
        except RecursionError as error:
            raise BadLine(number, "is nested too deeply") from error
        except LionprideError as error:
            raise BadLine(number, shorten(one_line(str(error)), 200)) from error
        except Exception as error:  # a validator of the user's class may raise anything
            raise BadLine(number, trouble(error)) from error

    def _parse(self, number: int, raw: bytes) -> dict[str, Any]:
        try:
            value = json.loads(raw.removeprefix(BOM).decode())
        except UnicodeDecodeError as error:
            what = f"is not UTF-8 at byte {error.start + 1}: save the file as UTF-8"
            raise BadLine(number, what) from error
        except json.JSONDecodeError as error:
            near = one_line(error.doc[error.pos : error.pos + 20]) or "the end of the line"
            said = error.msg.removesuffix(" at")
            what = f"is not JSON: {said} at column {error.colno}, near {near!r}"
            raise BadLine(number, what) from error
        except (ValueError, RecursionError) as error:
            raise BadLine(number, f"cannot be read: {one_line(str(error))}") from error
        if not isinstance(value, dict):
            kind = {list: "a list", str: "a string", type(None): "null", bool: "a boolean"}
            what = f"is {kind.get(type(value), 'a number')}, not an object: write "
            raise BadLine(number, f'{what}{{"field": value, …}} with the fields of one event')
        return value

    def _priority(self, number: int, fields: dict[str, Any]) -> float | None:
        """Take the priority out of the fields, unless the class has a field of that name."""
        take = fields.get if self._keeps_priority else fields.pop
        value = take("priority", None)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise BadLine(number, f"priority: must be a number, not {_quote(value)}")
        try:
            priority = float(value)
        except OverflowError:
            priority = math.inf
        if not math.isfinite(priority):
            raise BadLine(number, f"priority: must be a finite number, not {_quote(value)}")
        return priority

    def _asked(self, number: int, fields: dict[str, Any]) -> Asked:
        """Take the terms out of the fields, but for names that are the class's own."""
        found = {name: fields.pop(name) for name in self._asks if name in fields}
        asked = {name: value for name, value in found.items() if value is not None}
        if not asked:
            return asked
        try:
            if isinstance(asked.get("at"), str):
                at = datetime.fromisoformat(asked["at"])
                if at.tzinfo is None:
                    said = f"{_quote(asked['at'])}: write {at:%Y-%m-%dT%H:%M:%S}Z for UTC"
                    raise BadLine(number, f"at: has no time zone: {said}")
                asked["at"] = at
            terms_of(time(), **asked)
        except BadLine:
            raise
        except LionprideError as error:
            raise BadLine(number, shorten(one_line(str(error)), 200)) from error
        except ValueError as error:
            raise BadLine(number, f"at: is no time in ISO 8601: {_quote(asked['at'])}") from error
        return asked

    def _invalid(self, error: PydanticError) -> str:
        """Return pydantic's errors in one line: the field, the expected and the given value."""
        found = error.errors(include_url=False)
        said = "; ".join(self._one_invalid(dict(each)) for each in found[:AT_ONCE])
        more = len(found) - AT_ONCE
        return f"{said}; and {more:,} more like these" if more > 0 else said

    def _one_invalid(self, each: dict[str, Any]) -> str:
        field = ".".join(str(part) for part in each["loc"]) or self.event_type.__name__
        field = shorten(one_line(field), 60)
        if each["type"] == "missing":
            return f"{field}: is required and not there"
        if each["type"] == "extra_forbidden":
            return f"{field}: {self._unknown(field)}"
        message = shorten(one_line(str(each["msg"]).removeprefix("Value error, ")), 160)
        return f"{field}: {message} (got {_quote(each['input'])})"

    def _unknown(self, field: str) -> str:
        known = own_fields(self.event_type)
        close = difflib.get_close_matches(field, [*known, *COMMON], n=1)
        name = self.event_type.__name__
        hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(known) or 'none'}"
        return f"is not a field of {name}: {hint}"


@lru_cache(maxsize=64)
def own_fields(event_type: type[EventData]) -> tuple[str, ...]:
    """The fields that a class adds to those of every event."""
    return tuple(name for name in event_type.model_fields if name not in EventData.model_fields)


def label(event: EventData) -> str:
    """Return a name for an event: the first text among its own fields.

    A field that is kept out of the event's repr, `Field(repr=False)`, is kept out of here too.
    """
    for name in own_fields(type(event)):
        value = getattr(event, name, None)
        if isinstance(value, str) and value and type(event).model_fields[name].repr:
            return one_line(value[:400])
    return ""


def _quote(value: Any) -> str:
    """A value as JSON writes it, cut to a length that fits in a message."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = type(value).__name__
    return shorten(one_line(text), 60)


def line_ids(queue: str) -> Callable[[int, bytes], UUID]:
    """Return a function that makes the id of a line of the queue, the line's number and its text.

    The queue is the target's: by default the registry key of its event class. Blanks around the
    text do not count. It is ``uuid5``, with what all lines have in common digested only once.
    """
    common = sha1(NAMESPACE.bytes + f"{queue}\n".encode(), usedforsecurity=False)

    def line_id(number: int, raw: bytes) -> UUID:
        digest = common.copy()
        digest.update(b"%d\n%b" % (number, raw.removeprefix(BOM).strip()))
        return UUID(bytes=digest.digest()[:16], version=5)

    return line_id
