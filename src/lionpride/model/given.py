"""What may be given for an element's time of creation, its metadata, and as its dump."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

from ..errors import ValidationError

if TYPE_CHECKING:
    from .element import Element

__all__ = ("as_data", "as_metadata", "as_time", "read_metadata", "time_as", "utc_time")

_MICROSECOND: Final = timedelta(microseconds=1)


def as_time(value: Any) -> datetime:
    if isinstance(value, bool):
        raise ValidationError(f"{value!r} is no time: give a datetime, ISO text or a timestamp")
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = datetime.fromisoformat(value)
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    raise ValidationError(f"{value!r} is no time: give a datetime, ISO text or a timestamp")


def utc_time(timestamp: float) -> datetime:
    """Return the time of a Unix timestamp in UTC, never later than the timestamp.

    ``datetime.fromtimestamp`` rounds to the nearest microsecond, which may lie in the future.
    """
    time = datetime.fromtimestamp(timestamp, UTC)
    return time - _MICROSECOND if time.timestamp() > timestamp else time


def as_metadata(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, BaseModel):
        return value.model_dump()
    if isinstance(value, Mapping):
        return dict(value)
    if not isinstance(value, type):
        if callable(to_dict := getattr(value, "to_dict", None)):
            return dict(to_dict())
        if hasattr(value, "__dict__"):
            return dict(vars(value))
    raise ValidationError(f"metadata must be a mapping, not {value!r}")


def read_metadata(value: Any) -> dict[str, Any]:
    """Return the metadata of data that is read, which older programs may have written otherwise.

    What is empty is no metadata. The text of a JSON object is that object. Anything else that is
    no mapping is kept under the key ``legacy``.
    """
    if isinstance(value, str):
        import json  # late: dear to import, and few need it

        with suppress(ValueError, RecursionError):
            value = json.loads(value)
    if isinstance(value, Mapping | BaseModel):
        return as_metadata(value)
    return {"legacy": value} if value else {}


def as_data(name: str, data: object) -> dict[str, Any]:
    """A copy of what ``from_dict`` of the class of this name was given.

    Raises:
        TypeError: if it is no mapping.
    """
    if not isinstance(data, Mapping):
        raise TypeError(
            f"{name}.from_dict takes the dict that to_dict gave, not "
            f"{type(data).__name__}: text is read by from_json"
        )
    return dict(data)


def time_as(how: str, element: Element) -> Any:
    """An element's time of creation: as a "timestamp", in "isoformat", or as it is."""
    if how == "timestamp":
        return element.created_timestamp
    return element.created_at.isoformat() if how == "isoformat" else element.created_at
