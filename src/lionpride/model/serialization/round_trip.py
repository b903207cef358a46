"""Check that a worker would read an event back with the same values.

Most classes and values need no check: numbers, texts and lists of these, in a class without code
of its own. In other cases ``append`` reads the event back once and compares it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Union, get_args, get_origin
from uuid import UUID
from zoneinfo import ZoneInfo

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ...errors import ValidationError
from ..class_traits import cached_by_class, defining_class, traits_of
from .codec import MAX_DEPTH, Unserializable, safe_repr

if TYPE_CHECKING:
    from ..event_data import EventData

__all__ = ("has_doubts", "refuse_unreadable")

_LEAVES: Final = frozenset(
    (NoneType, bool, int, float, str, bytes, bytearray, UUID, date, timedelta)
)
"""Types all of whose values the codec writes and reads exactly; for others see `_is_exact_leaf`."""

_ZONES: Final = frozenset((NoneType, timezone))

_RESERVED: Final = frozenset(("id", "created_at", "metadata", "execution"))
"""Names of arguments of an element that are not fields."""


def has_doubts(kind: type[BaseModel]) -> bool:
    """Return True if even plain JSON of a class must be read back to compare the values.

    One reason is a validator: a worker that reads the event calls it again. Another is a constraint
    on values that pydantic has not validated, such as a default or the items of a changed list.
    """
    taken = kind.model_fields.keys() | _RESERVED
    return not _is_codeless(kind) or any(
        _may_be_unchecked(field, kind) or field.validation_alias in taken
        for field in kind.model_fields.values()
    )


def refuse_unreadable(
    event: EventData, text: str, read: Callable[[type[EventData], str], EventData]
) -> None:
    """Refuse an event that no worker could read, or not with the same values.

    Args:
        event: The event.
        text: The text that is to be stored.
        read: Returns the event that a worker would build from a class and its text.

    Raises:
        ValidationError: names the field, and what to declare.
    """
    kind, own = type(event), event.__dict__
    fields = kind.model_fields
    unsure = list(fields)
    if '"$repr"' not in text and _is_certain(kind):
        unsure = [name for name in fields if not _is_exact_field(fields[name], own.get(name))]
    extra = event.__pydantic_extra__
    metadata = own.get("_metadata")
    if not unsure and not extra and (not metadata or _is_exact(Any, metadata)):
        return
    try:
        back = read(kind, text)
    except Exception as error:
        raise ValidationError(
            f"{kind.__name__} cannot be stored, since no worker could read it back: {error}; "
            "declare each field so that its type reads what is written of it, and its default "
            "too: a serializer needs a validator that reads its output, an alias of a nested "
            "model populate_by_name=True",
            cause=error,
        ) from error
    theirs = back.__dict__
    for name in unsure:
        value, other = own.get(name), theirs.get(name)
        if type(value) is not type(other) or type(value) not in _LEAVES or value != other:
            _refuse_difference(event, back, name)
    rest = {"metadata": metadata, **(extra or {})}
    for name, value in rest.items():
        read_value = back.metadata if name == "metadata" else getattr(back, name, None)
        if value and (found := difference(value, read_value, f"{kind.__name__}.{name}")):
            raise ValidationError(f"{found}: give a value that JSON or a tag can hold")


def _refuse_difference(event: EventData, back: EventData, name: str) -> None:
    """Refuse a field that was read back with another value.

    Raises:
        ValidationError: names the field, the values and the remedy.
    """
    kind = type(event)
    field = kind.model_fields[name]
    by_value = field.annotation is not Any and bool(kind.model_config.get("use_enum_values"))
    value, read = event.__dict__.get(name), back.__dict__.get(name)
    found = difference(
        value, read, f"{kind.__name__}.{name}", by_value=by_value, shown=field.repr is not False
    )
    if found is None:
        return
    if field.exclude or getattr(field, "exclude_if", None) is not None:
        remedy = (
            "exclude leaves the field out of what is stored, so a worker would run the event with "
            "the default. Remove exclude (repr=False hides a value on pages and in logs), or "
            "make it a PrivateAttr if it belongs to this process alone"
        )
    elif any(map(_is_model, (value, *_inside(value)))):
        remedy = (
            "declare the field with every class that it may hold, as in `list[Base | Sub]`, or "
            "derive the nested class from Element, whose class is written with it; a nested model "
            "needs idempotent validators, no excluded fields, and populate_by_name=True if it has "
            "aliases"
        )
    elif not _is_codeless(kind):
        remedy = (
            "validators are called again when a worker reads the event, so they have to return "
            "what they have returned before unchanged"
        )
    else:
        remedy = "declare the field with the type of its values, and a default of that type"
    raise ValidationError(f"{found}: {remedy}")


# --- what a class leaves open


@cached_by_class
def _is_certain(kind: type[BaseModel]) -> bool:
    """Return True if no code, alias or mark of a class lets it be read otherwise than written."""
    config = kind.model_config
    return (
        _is_codeless(kind)
        and not kind.__pydantic_decorators__.field_serializers
        and not config.get("strict")
        and config.get("extra") != "allow"
        and all(
            field.validation_alias is None
            and field.serialization_alias is None
            and not field.exclude
            and getattr(field, "exclude_if", None) is None  # pydantic 2.12
            and not _may_be_unchecked(field, kind)
            for field in kind.model_fields.values()
        )
    )


@cached_by_class
def _is_codeless(kind: type[BaseModel]) -> bool:
    """Return True if no validator or other code of a class changes an instance that is read."""
    traits = traits_of(kind)
    return (
        not traits.has_hooks
        and not traits.has_field_validators
        and traits.is_read_by_library
        and traits.is_written_by_library
        and not any(_has_code(field) for field in kind.model_fields.values())
    )


def _has_code(field: FieldInfo) -> bool:
    return any(map(_is_code, field.metadata)) or _contains(field.annotation, _is_code)


def _is_code(mark: Any) -> bool:
    """Return True if a mark beside a type, or a type itself, has its own pydantic schema."""
    if isinstance(mark, type) and issubclass(mark, BaseModel | Enum):
        return False
    return hasattr(mark, "__get_pydantic_core_schema__") or hasattr(mark, "func")


def _contains(annotation: Any, test: Callable[[Any], bool]) -> bool:
    if test(annotation):
        return True
    return get_origin(annotation) is not Literal and any(
        _contains(each, test) for each in get_args(annotation)
    )


def _may_be_unchecked(field: FieldInfo, kind: type[BaseModel]) -> bool:
    """Return True if a field has constraints, and may hold a value that was not checked."""
    config = kind.model_config
    is_constrained = (
        bool(field.metadata)
        or any(name.startswith("str_") for name in config)
        or _contains(field.annotation, _is_constraint)
    )
    return is_constrained and (
        field.default_factory is not None
        or not config.get("validate_assignment")
        or _contains(field.annotation, _is_container)
    )


def _is_constraint(annotation: Any) -> bool:
    return get_origin(annotation) in (Annotated, Literal) or (
        isinstance(annotation, type) and issubclass(annotation, Enum)
    )


def _is_container(annotation: Any) -> bool:
    return get_origin(annotation) in (list, dict, set) or annotation in (list, dict, set, Any)


# --- what a value leaves open


def _is_exact_field(field: FieldInfo, value: Any) -> bool:
    """Return True if a field certainly reads back the value that is written of it."""
    kind = type(value)
    if kind is field.annotation and kind in _LEAVES:
        return not field.metadata or all(map(_is_bound, field.metadata))
    return all(map(_is_bound, field.metadata)) and _is_exact(field.annotation, value)


_PATH: Final = type(Path())


def _is_exact(annotation: Any, value: Any, depth: int = MAX_DEPTH) -> bool:
    """Return True if a declared type certainly reads back a value that is written by the codec."""
    if type(value) is annotation and type(value) in _LEAVES:
        return True
    origin, args = get_origin(annotation), get_args(annotation)
    if depth <= 0:
        return False
    if annotation is Any:
        return _is_exact_alone(value, depth)
    if origin is Annotated:
        return all(map(_is_bound, args[1:])) and _is_exact(args[0], value, depth)
    if origin in (Union, UnionType):
        return _is_exact_in_union(args, value, depth)
    if origin is Literal:
        return any(value is each or (value, type(value)) == (each, type(each)) for each in args)
    if origin is not None:
        return type(value) is origin and _holds_exact(args, value, depth - 1)
    if not isinstance(annotation, type):
        return False
    if issubclass(annotation, Enum):
        return _is_exact_enum(annotation, value)
    if issubclass(annotation, BaseModel):
        return isinstance(value, annotation) and _is_exact_model(annotation, value, depth - 1)
    if annotation is Path:  # written as text
        return type(value) is _PATH
    return type(value) is annotation and _is_exact_leaf(value)


def _is_exact_in_union(kinds: tuple[Any, ...], value: Any, depth: int) -> bool:
    """Return True if a union certainly reads a value back as the same one of its members."""
    rest = [each for each in kinds if each is not NoneType]
    if value is None:
        return len(rest) < len(kinds)
    if len(rest) == 1:
        return _is_exact(rest[0], value, depth)
    return type(value) in rest and type(value) in _LEAVES


def _holds_exact(args: tuple[Any, ...], value: Any, depth: int) -> bool:
    if type(value) is dict and len(args) == 2:
        return all(
            _is_exact(args[0], key, depth) and _is_exact(args[1], item, depth)
            for key, item in value.items()
        )
    if type(value) is tuple and args[1:] != (Ellipsis,):
        return len(args) == len(value) and all(
            _is_exact(each, item, depth) for each, item in zip(args, value, strict=True)
        )
    return type(value) in (list, tuple, set, frozenset) and all(
        _is_exact(args[0], item, depth) for item in value
    )


def _is_exact_alone(value: Any, depth: int) -> bool:
    """Return True if the codec alone writes and reads a value exactly."""
    if type(value) is dict:
        items: Any = (*value, *value.values())
    elif type(value) in (list, tuple, set, frozenset):
        items = value
    else:
        return _is_exact_leaf(value)
    return depth > 0 and all(_is_exact_alone(item, depth - 1) for item in items)


def _is_exact_leaf(value: Any) -> bool:
    kind = type(value)
    if kind is datetime or kind is time:
        zone = value.tzinfo
        return type(zone) in _ZONES or (type(zone) is ZoneInfo and zone.key is not None)
    if kind is Decimal:
        return bool(value.is_finite())  # pydantic refuses others, but does not look at a default
    return kind in _LEAVES


def _is_exact_enum(kind: type[Enum], value: Any) -> bool:
    """Return True for a member or the value of one, if it is a number or a text."""
    held = value.value if type(value) is kind else value
    return not issubclass(kind, Flag) and any(
        type(held) is type(each.value) and type(held) in (int, str) and held == each.value
        for each in kind
    )


def _is_exact_model(annotation: type[BaseModel], value: Any, depth: int) -> bool:
    kind = type(value)
    is_element = hasattr(kind, "kept_entries")
    if is_element:
        if annotation.__pydantic_decorators__.model_serializers.keys() != {"_dump"}:
            return False  # it is not written under a tag
    elif kind is not annotation or defining_class(kind, "__init__") is not BaseModel:
        return False
    own = value.__dict__
    return (
        _is_certain(kind)
        and (not is_element or not own.get("_metadata"))
        and all(
            all(map(_is_bound, field.metadata)) and _is_exact(field.annotation, own[name], depth)
            for name, field in kind.model_fields.items()
            if name in own
        )
    )


def _is_bound(mark: Any) -> bool:
    """Return True if a mark beside a type is a bound or a length, which changes nothing."""
    return type(mark).__module__ == "annotated_types" and not hasattr(mark, "func")


# --- whether two values are the same


def difference(
    value: Any, back: Any, path: str, *, by_value: bool = False, shown: bool = True
) -> str | None:
    """Return where a value that was read back differs from the one written; None if nowhere.

    Args:
        value: What was written.
        back: What was read.
        path: The name of the field.
        by_value: Whether a member of an enum may be read back as its value.
        shown: Whether the values may be named.
    """
    if by_value and isinstance(value, Enum) and not isinstance(back, Enum):
        value = value.value
    if not _is_same_kind(value, back):
        return _described(value, back, path, shown)
    if isinstance(value, set | frozenset) or not _is_container_value(value):
        return None if _is_same(value, back) else _described(value, back, path, shown)
    ours, theirs = dict(_items(value)), dict(_items(back))
    if ours.keys() != theirs.keys():
        return _described(value, back, path, shown)
    for key, item in ours.items():
        found = difference(item, theirs[key], path + key, by_value=by_value, shown=shown)
        if found is not None:
            return found
    return None


def _described(value: Any, back: Any, path: str, shown: bool) -> str:
    if _is_model(value):
        return f"{path} holds a {_name(value)} that would be read back as {_name(back)}"
    if shown:
        return f"{path} is {safe_repr(value, 80)} and would be read back as {safe_repr(back, 80)}"
    return f"{path}, a {_name(value)}, would be read back as another {_name(back)}"


def _is_same_kind(value: Any, back: Any) -> bool:
    """Return True if two values are of one class, or leaves that are equal all the same.

    A number or text of a subclass is read back as the type that it is derived from, and the int
    that is the default of a float as a float.
    """
    kind, read = type(value), type(back)
    if kind is read:
        return True
    if _is_container_value(value) or isinstance(value, Enum):
        return False
    return issubclass(kind, read) or {kind, read} == {int, float}


def _is_same(value: Any, back: Any) -> bool:
    if isinstance(value, datetime | time):
        zone, other = value.tzinfo, back.tzinfo
        if isinstance(zone, ZoneInfo) and getattr(other, "key", None) != zone.key:
            return False
        if value.fold != back.fold:
            return False
    try:
        equal = bool(value == back)
    except Exception:  # of a user's class
        equal = False
    return equal or repr(value) == repr(back)  # not a number, for one


def _is_container_value(value: Any) -> bool:
    return isinstance(value, Mapping | list | tuple | set | frozenset) or _is_model(value)


def _inside(value: Any, depth: int = MAX_DEPTH) -> Iterator[Any]:
    if depth > 0 and _is_container_value(value):
        for _, item in _items(value):
            yield item
            yield from _inside(item, depth - 1)


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    """What a value contains, each with its place in it."""
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        for name, item in (value.__dict__ | (value.__pydantic_extra__ or {})).items():
            if name in fields or name not in value.__dict__:
                yield f".{name}", item
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield f"[{key!r}]", item
    elif isinstance(value, list | tuple | set | frozenset):
        for place, item in enumerate(value):
            yield f"[{place}]", item
    elif _is_model(value):
        for field in dataclasses.fields(value):
            yield f".{field.name}", getattr(value, field.name, None)


def _is_model(value: Any) -> bool:
    if isinstance(value, BaseModel):
        return True
    kind = type(value)
    return hasattr(kind, "__dataclass_fields__") and kind is not Unserializable


def _name(value: Any) -> str:
    return type(value).__name__
