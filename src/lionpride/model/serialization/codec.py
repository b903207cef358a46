"""Any Python value as JSON and back.

JSON's own types stay as they are. What JSON has no type for becomes ``{"$tag": ...}``, and a
user's mapping that could be taken for one is escaped, so that ``decode(encode(x))`` gives x
back. What cannot be written is written as a marker with its repr, and reads back as
``Unserializable``: a result is never lost because it cannot be stored.
"""

from __future__ import annotations

import base64
import dataclasses
import math
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic_core import to_jsonable_python

from ... import errors
from ...errors import ExecutionError, LionprideError, ValidationError, error_class
from ..continuation import ContinuedBy
from ..unset import Unset, UnsetType

__all__ = (
    "ELEMENT",
    "Encoder",
    "Unserializable",
    "decode",
    "encode",
    "error_from_dict",
    "error_to_dict",
    "read_elements_with",
)

MAX_DEPTH = 100
"""Nesting beyond which a value counts as unserializable."""

ELEMENT: Final = f"$element {uuid4()}"
"""Key of an element that is encoded already, in what ``Encoder`` is given; no user has it."""

_LEAST, _MOST = -(2**63), 2**63 - 1


@dataclasses.dataclass(frozen=True, slots=True)
class Unserializable:
    """Stands for a value that could not be written: its type's name and its repr."""

    type: str
    repr: str


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


_WRITE: tuple[tuple[type, str, Callable[[Any], Any]], ...] = (
    (bytes, "$bytes", _base64),
    (bytearray, "$bytearray", _base64),
    (datetime, "$datetime", lambda at: at.isoformat() + _suffix(at)),
    (date, "$date", date.isoformat),
    (time, "$time", lambda at: at.isoformat() + _suffix(at)),
    (timedelta, "$timedelta", lambda d: [d.days, d.seconds, d.microseconds]),
    (UUID, "$uuid", str),
    (Decimal, "$decimal", str),
    (complex, "$complex", lambda c: [repr(c.real), repr(c.imag)]),
    (SecretStr, "$secret", SecretStr.get_secret_value),
    (SecretBytes, "$secretbytes", lambda s: _base64(s.get_secret_value())),
    (UnsetType, "$unset", lambda _: True),
    (ContinuedBy, "$continued", lambda by: str(by.id)),
)

_READ: dict[str, Callable[[Any], Any]] = {
    "$bytes": base64.b64decode,
    "$bytearray": lambda v: bytearray(base64.b64decode(v)),
    "$datetime": lambda v: _read_time(datetime, v),
    "$date": date.fromisoformat,
    "$time": lambda v: _read_time(time, v),
    "$timedelta": lambda v: timedelta(*v),
    "$uuid": UUID,
    "$decimal": Decimal,
    "$complex": lambda v: complex(float(v[0]), float(v[1])),
    "$secret": SecretStr,
    "$secretbytes": lambda v: SecretBytes(base64.b64decode(v)),
    "$unset": lambda _: Unset,
    "$continued": lambda v: ContinuedBy(UUID(v)),
    "$int": lambda v: int(v, 16),  # decimal is limited to 4,300 digits
    "$float": float,
    "$tuple": lambda v: tuple(map(decode, v)),
    "$set": lambda v: set(map(decode, v)),
    "$frozenset": lambda v: frozenset(map(decode, v)),
    "$dict": lambda v: {decode(k): decode(x) for k, x in v},
    "$error": lambda v: error_from_dict(v),  # noqa: PLW0108  (it stands below)
    "$repr": lambda v: Unserializable(**v),
}


def _suffix(at: datetime | time) -> str:
    """Return what isoformat leaves out of a time: its zone's name, as in RFC 9557, and its fold.

    >>> _suffix(datetime(2025, 10, 26, 2, 30, tzinfo=ZoneInfo("Europe/Paris"), fold=1))
    '[Europe/Paris][fold=1]'
    """
    zone = at.tzinfo
    name = f"[{zone.key}]" if isinstance(zone, ZoneInfo) and zone.key else ""
    return name + _FOLD if at.fold else name


_FOLD: Final = "[fold=1]"


def _read_time(kind: Any, text: str) -> Any:
    """Return a datetime or time of isoformat and ``_suffix``."""
    moment, _, name = text.removesuffix(_FOLD).partition("[")
    at = kind.fromisoformat(moment)
    if name:
        at = at.replace(tzinfo=ZoneInfo(name.removesuffix("]")))
    return at.replace(fold=1) if text.endswith(_FOLD) else at


def read_elements_with(read: Callable[[Any], Any]) -> None:
    """Set what reads the elements inside others; their class stands above this module."""
    _READ["$element"] = read


class Encoder:
    """Encodes values; ``tagged`` says whether any needed a tag, ``marked`` how many are lost.

    ``lost`` is the reason for the first one that is lost, None if there is none.

    Args:
        as_text: Whether a value without a tag is written as the text that it is in pydantic's JSON,
            such as a Path or a Url. A field of that type reads the text back.
    """

    def __init__(self, *, as_text: bool = False) -> None:
        self._as_text = as_text
        self.tagged = False
        self.marked = 0
        self.lost: str | None = None
        self._around: set[int] = set()  # what is being encoded: met again, it is a cycle

    def encode(self, value: Any, depth: int = 0) -> Any:
        """A value in JSON's own types, tagged where they do not suffice."""
        if value is None or isinstance(value, bool):
            return value
        try:
            if isinstance(value, Enum):
                return self.encode(value.value, depth)
            if isinstance(value, str):
                return str(value)
            if isinstance(value, int):
                number = int(value)  # of a subclass, which may compare as it likes
                return number if _LEAST <= number <= _MOST else self._tag("$int", hex(number))
            if isinstance(value, float):
                real = float(value)
                return real if math.isfinite(real) else self._tag("$float", repr(real))
            if depth > MAX_DEPTH:
                return self._marker(value, f"is nested more than {MAX_DEPTH + 1} levels deep")
            if id(value) in self._around:
                return self._marker(value, "contains itself")
            self._around.add(id(value))
            try:
                return self._encode_other(value, depth)
            finally:
                self._around.discard(id(value))
        except Exception:  # whatever a user's class raises, its repr is kept
            return self._marker(value)

    def _encode_other(self, value: Any, depth: int) -> Any:
        if isinstance(value, Mapping):
            return self._encode_mapping(value, depth)
        if isinstance(value, list):
            return [self.encode(item, depth + 1) for item in value]
        if isinstance(value, tuple):
            return self._tag("$tuple", [self.encode(item, depth + 1) for item in value])
        if isinstance(value, set | frozenset):  # sorted, so that equal sets give equal text
            items = sorted((self.encode(item, depth + 1) for item in value), key=repr)
            return self._tag("$set" if isinstance(value, set) else "$frozenset", items)
        for kind, tag, write in _WRITE:
            if isinstance(value, kind):
                return self._tag(tag, write(value))
        if isinstance(value, BaseException):
            return self._tag("$error", error_to_dict(value))
        if isinstance(value, BaseModel):
            return self._encode_mapping(value.model_dump(), depth)
        if isinstance(value, Unserializable):
            return self._marker(value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
            return self._encode_mapping(fields, depth)
        return self._marker(value)

    def _encode_mapping(self, value: Mapping[Any, Any], depth: int) -> Any:
        if len(value) == 1 and ELEMENT in value:
            return self._tag("$element", value[ELEMENT])
        if all(type(key) is str and not key.startswith("$") for key in value):
            return {key: self.encode(item, depth + 1) for key, item in value.items()}
        pairs = [[self.encode(k, depth + 1), self.encode(v, depth + 1)] for k, v in value.items()]
        return self._tag("$dict", pairs)

    def _marker(self, value: Any, reason: str | None = None) -> Any:
        if isinstance(value, Unserializable):
            return self._tag("$repr", dataclasses.asdict(value))
        if self._as_text and (text := _as_text(value)) is not None:
            return text
        self.marked += 1
        self.lost = self.lost or reason or f"holds an object of class {type(value).__qualname__}"
        return self._tag("$repr", {"type": type(value).__qualname__, "repr": safe_repr(value)})

    def _tag(self, tag: str, content: Any) -> dict[str, Any]:
        self.tagged = True
        return {tag: content}


def _as_text(value: Any) -> str | None:
    """Return the text that a value is in pydantic's JSON; None if it is none."""
    if isinstance(value, PurePath):
        return str(value)
    try:
        plain = to_jsonable_python(value)
    except Exception:  # it has none
        return None
    return plain if isinstance(plain, str) else None


def safe_repr(value: Any, limit: int = 1000) -> str:
    """``repr(value)``, cut at ``limit`` characters; a repr that raises is said so."""
    try:
        text = repr(value)
    except Exception as error:
        text = f"<{type(value).__qualname__}: repr raised {type(error).__name__}>"
    return text if len(text) <= limit else f"{text[:limit]}…"


def encode(value: Any) -> Any:
    """A value in JSON's own types, tagged where they do not suffice."""
    return Encoder().encode(value)


def decode(value: Any) -> Any:
    """The value that ``encode`` was given.

    Raises:
        ValidationError: if a tag is unknown or its content cannot be read.
    """
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((tag, content),) = value.items()
        if isinstance(tag, str) and tag.startswith("$"):
            return _read(tag, content)
    return {key: decode(item) for key, item in value.items()}


def _read(tag: str, content: Any) -> Any:
    reader = _READ.get(tag)
    if reader is None:
        raise ValidationError(
            f"recorded data holds a value of unknown kind {tag.removeprefix('$')!r}: was it "
            "written by a newer version?"
        )
    try:
        return reader(content)
    except LionprideError:
        raise
    except Exception as error:
        raise ValidationError(
            f"cannot read recorded data as {tag.removeprefix('$')}: {content!r}", cause=error
        ) from error


def error_to_dict(error: BaseException, depth: int = 0) -> dict[str, Any]:
    """An exception as plain data: class name, message, and the members of a group."""
    if depth > MAX_DEPTH:
        return {"error": type(error).__name__, "message": f"nested deeper than {MAX_DEPTH}"}
    if isinstance(error, ExecutionError) and error.record is not None:
        return dict(error.record)
    if isinstance(error, LionprideError):
        return _own_record(error)
    data: dict[str, Any] = {"error": type(error).__name__, "message": safe_str(error)}
    if isinstance(error, BaseExceptionGroup):
        data["message"] = error.message
        data["exceptions"] = [error_to_dict(each, depth + 1) for each in error.exceptions]
    return data


def _own_record(error: LionprideError) -> dict[str, Any]:
    """What an error of the library's says of itself; a subclass of a user's may say anything."""
    try:
        said = dict(error.to_dict())
    except Exception:
        said = {}
    said.pop("exceptions", None)  # that is how groups are written
    if not isinstance(said.get("details", {}), Mapping):
        said["details"] = {"details": said["details"]}
    data = {str(key): encode(value) for key, value in said.items()}
    if not isinstance(said.get("error"), str):
        data["error"] = type(error).__name__
    if not isinstance(said.get("message"), str):
        data["message"] = safe_str(error)
    if "retryable" in said:
        data["retryable"] = bool(said["retryable"])
    return data


def safe_str(error: BaseException) -> str:
    """``str(error)``; one that raises is said so."""
    try:
        return str(str(error))  # the inner one may be of a subclass
    except Exception as other:
        return f"<str raised {type(other).__name__}>"


def error_from_dict(data: Mapping[str, Any]) -> BaseException:
    """An exception read back from its record.

    The library's own errors and groups come back as themselves; any other as an
    ``ExecutionError``, and as the built-in of its name if ``error_class`` knows it. Data never
    makes an instance of another class that it names.
    """
    name, message = str(data.get("error")), str(data.get("message", ""))
    if "exceptions" in data:
        members = [error_from_dict(each) for each in data["exceptions"]]
        if members and all(isinstance(each, Exception) for each in members):
            return ExceptionGroup(message, members)  # type: ignore[type-var]
        if members:
            return BaseExceptionGroup(message, members)
    retryable = data.get("retryable")
    details = decode(data.get("details") or {})
    if name in errors.__all__:
        kind: type[LionprideError] = getattr(errors, name)
        return kind(message, details=details, retryable=retryable)
    stand_in = error_class(name)(message, details={"error": name, **details}, retryable=retryable)
    stand_in.record = dict(data)
    return stand_in
