"""Fields that hold a constant default, which the stored payload leaves out.

A producer that adds an optional field then writes nothing that a worker of the release before
does not know, as long as the field holds its default. A field is left out only where an absent
field certainly reads back as the same value; see docs/decisions/serialization.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Any, Final, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ..class_traits import cached_by_class, traits_of
from .codec import Encoder

__all__ = ("Constant", "completed", "constants_of", "is_same")

_BY_VALUE: Final = frozenset((NoneType, bool, int, str, bytes, date, timedelta, UUID))
_BY_REPR: Final = frozenset((float, Decimal, datetime, time))
"""Types that are compared by ``repr``: 0.0 equals -0.0, and one instant has two time zones."""
_ZONES: Final = frozenset((NoneType, timezone, ZoneInfo))

_ALWAYS_WRITTEN: Final = frozenset(("timeout", "streaming"))
"""Fields that are omitted by a rule of their own: see ``payload.with_usual_fields``."""


class Constant(NamedTuple):
    """The default of a field that may be left out.

    Attributes:
        value: The default.
        written: How ``to_dict("json")`` writes it.
        tagged: Whether that is a tagged value, such as ``{"$decimal": "1.5"}``.
    """

    value: Any
    written: Any
    tagged: bool


@cached_by_class
def constants_of(kind: type[BaseModel]) -> Mapping[str, Constant]:
    """Return the constant defaults of a class, by field name."""
    traits = traits_of(kind)
    if traits.has_hooks or not traits.is_read_by_library or not traits.is_written_by_library:
        return {}  # code of the class may distinguish an absent field from a default
    found = {name: _constant(kind, name, field) for name, field in kind.model_fields.items()}
    return {name: one for name, one in found.items() if one is not None}


def completed(kind: type[BaseModel], data: dict[str, Any]) -> dict[str, Any]:
    """Return a stored payload with the omitted fields added, in the order of the class.

    Args:
        kind: The class of the event.
        data: The payload, as ``payload.with_usual_fields`` gives it.
    """
    constants = constants_of(kind)
    absent = {name: one for name, one in constants.items() if name not in data}
    if not absent:
        return data
    if any(one.tagged for one in absent.values()):
        data["metadata"]["lion_tags"] = True
    full = data | {name: one.written for name, one in absent.items()}
    rest = {name: value for name, value in full.items() if name not in kind.model_fields}
    return rest | {name: full[name] for name in kind.model_fields if name in full}


def is_same(value: Any, default: Any) -> bool:
    """Return True if a value equals the default and has the same type."""
    if value is default:
        return True
    kind = type(value)
    if kind is not type(default):
        return False
    if kind in _BY_VALUE:
        return bool(value == default)
    key = _key(value)
    return key is not None and key == _key(default)


def _key(value: Any) -> Any:
    """Return a key that only the same immutable value has; None if its type is not listed above."""
    kind = type(value)
    if kind in _BY_VALUE:
        return kind, value
    if isinstance(value, Enum):
        return kind, value.name or value.value
    if kind in (datetime, time) and type(value.tzinfo) not in _ZONES:
        return None
    if kind in _BY_REPR:
        return kind, repr(value)
    if kind in (tuple, frozenset):
        keys = [_key(item) for item in value]
        return None if None in keys else (kind, kind(keys))
    return None


def _constant(kind: type[BaseModel], name: str, field: FieldInfo) -> Constant | None:
    validated = field.validate_default
    if validated is None:
        validated = kind.model_config.get("validate_default")
    if (
        name in _ALWAYS_WRITTEN
        or field.is_required()
        or field.default_factory is not None
        or validated
        or field.alias is not None
        or field.validation_alias is not None
        or field.serialization_alias is not None
        or _key(field.default) is None
    ):
        return None
    return _written(kind, name, field.default)


def _written(kind: type[BaseModel], name: str, default: Any) -> Constant | None:
    """Return a default as ``to_dict("json")`` writes it; None if it is not written as JSON."""
    encoder = Encoder()
    try:
        blank: Any = kind.__new__(kind)  # without its fields, so that no default factory is called
        blank.__dict__[name] = default
        dumped = blank.model_dump(include={name})
        if name not in dumped:
            return None
        written = blank._encoded(name, dumped[name], encoder)
    except Exception:  # a serializer of the user's: the field is written as ever
        return None
    return None if encoder.marked else Constant(default, written, encoder.tagged)
