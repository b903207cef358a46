"""Elements and models inside the fields of an element: written with their class, or refused.

Pydantic writes a nested value by the declared type of its field: of a subclass, it leaves out the
class and the fields that the declared type does not have. An element inside another one is
therefore written by its own ``to_dict("json")``, under a tag, and read back through its class. The
class of any other model cannot be written; where the declared type does not read the same class
back, the event is refused when it is appended.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin
from uuid import UUID
from weakref import WeakKeyDictionary

from pydantic import BaseModel

from .codec import ELEMENT, MAX_DEPTH, Unserializable

__all__ = ("Nesting", "difference", "fields_with_models", "is_exact")

_AROUND: Final[ContextVar[tuple[int, ...]]] = ContextVar("lionpride_nested", default=())
"""The ids of the elements that are being written: met again, one contains itself."""


class Nesting(dict[str, Any]):
    """The serialization context of a dump whose nested elements are to keep their class.

    It is an empty mapping, so that serializers of the user's see no context.

    Args:
        owner: The element that is dumped itself.
    """

    def __init__(self, owner: BaseModel) -> None:
        super().__init__()
        self._owner = owner
        self._has_begun = False

    def of(self, element: Any) -> dict[str, Any] | None:
        """An element as the codec tags it; None if it is the one that is dumped.

        Raises:
            ValueError: if it contains itself.
        """
        if element is self._owner and not self._has_begun:
            self._has_begun = True
            return None
        around = (*_AROUND.get(), id(self._owner))
        if id(element) in around:
            raise ValueError(f"{element!r} contains itself: it cannot be written")
        token = _AROUND.set(around)
        try:
            return {ELEMENT: element.to_dict("json")}
        finally:
            _AROUND.reset(token)


# --- whether what was written is read back in the same classes


_LEAVES: Final = frozenset(
    (NoneType, bool, int, float, str, bytes, Decimal, UUID, Path, datetime, date, time, timedelta)
)
"""Types of values that contain nothing."""


def fields_with_models(kind: type[BaseModel]) -> Mapping[str, Any]:
    """The declared types of the fields of a class that may hold models, by name."""
    found = _known.get(kind)
    if found is None:
        fields = kind.model_fields.items()
        found = {
            name: field.annotation
            for name, field in fields
            if not field.exclude and _may_hold_models(field.annotation)
        }
        if kind.__pydantic_complete__:
            _known[kind] = found
    return found


_known: WeakKeyDictionary[type[BaseModel], Mapping[str, Any]] = WeakKeyDictionary()


def _may_hold_models(annotation: Any) -> bool:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return False
    if origin is Annotated:
        return _may_hold_models(args[0])
    if origin in (Union, UnionType, list, dict, tuple, set, frozenset):
        return any(each is not Ellipsis and _may_hold_models(each) for each in args)
    if annotation in _LEAVES:
        return False
    return not (isinstance(annotation, type) and issubclass(annotation, Enum))


def holds_models(value: Any, depth: int = MAX_DEPTH) -> bool:
    """Return True if a value is a model or a dataclass, or contains one."""
    if type(value) in _LEAVES:
        return False
    if _is_model(value):
        return True
    return depth > 0 and any(holds_models(item, depth - 1) for _, item in _items(value))


def is_exact(annotation: Any, value: Any) -> bool:
    """Return True if a declared type certainly reads the classes in a value back.

    False means that it is not known: then the value has to be read back to see.
    """
    if not holds_models(value):
        return True
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return is_exact(args[0], value)
    if origin in (Union, UnionType):
        rest = [each for each in args if each is not type(None)]
        return len(rest) == 1 and is_exact(rest[0], value)
    if origin is list and type(value) is list:
        return all(is_exact(args[0], item) for item in value)
    if origin is dict and type(value) is dict:
        return all(is_exact(args[1], item) for item in value.values())
    if annotation is Any or not isinstance(annotation, type) or not isinstance(value, annotation):
        return False
    if _is_element(annotation):
        return _writes_itself(annotation) and _is_read_by_name(type(value), value)
    return type(value) is annotation and _is_read_by_name(annotation, value)


def _writes_itself(kind: Any) -> bool:
    """Return True if elements in a field of this type are written under a tag."""
    return bool(kind.__pydantic_decorators__.model_serializers.keys() == {"_dump"})


def _is_read_by_name(kind: Any, value: Any) -> bool:
    """Return True if a model is written and read field by field, and each value is exact."""
    if not issubclass(kind, BaseModel):
        return False
    decorators = kind.__pydantic_decorators__
    own = decorators.model_serializers.keys() - {"_dump"} or decorators.field_serializers
    return not own and all(
        field.validation_alias is None
        and field.serialization_alias is None
        and not field.exclude
        and is_exact(field.annotation, value.__dict__.get(name))
        for name, field in kind.model_fields.items()
    )


def difference(value: Any, back: Any, path: str) -> str | None:
    """Return where a value that was read back has another class than the one written; or None.

    Args:
        value: What was written.
        back: What was read.
        path: The name of the field.
    """
    if not holds_models(value):
        return None
    if _is_model(value) and type(back) is not type(value):
        return f"{path} holds a {_name(value)} that would be read back as {_name(back)}"
    ours, theirs = dict(_items(value)), dict(_items(back))
    if isinstance(value, set | frozenset):
        return None if value == back else f"{path} would be read back as {_name(back)} of others"
    for key, item in ours.items():
        if key not in theirs:
            if holds_models(item):
                return f"{path}{key} would be left out"
        elif found := difference(item, theirs[key], path + key):
            return found
    return None


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    """What a value contains, each with its place in it."""
    if isinstance(value, BaseModel):
        for name, item in value.__dict__.items():
            if name in type(value).model_fields:
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


def _is_element(value: Any) -> bool:
    return hasattr(value, "class_name") and hasattr(value, "kept_entries")


def _name(value: Any) -> str:
    return type(value).__name__
