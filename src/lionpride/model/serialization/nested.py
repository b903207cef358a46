"""Elements and models inside the fields of an element.

Pydantic writes a nested value by the declared type of its field: of a subclass, it leaves out the
class and the fields that the declared type does not have. An element inside another one is
therefore written by its own ``to_dict("json")``, under a tag, and read back through its class. The
class of any other model cannot be written: see ``readable``.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel, Json

from ..class_traits import cached_by_class
from .codec import ELEMENT

__all__ = ("Nesting", "fields_with_models")

_AROUND: Final[ContextVar[tuple[int, ...]]] = ContextVar("lionpride_nested", default=())
"""The ids of the elements that are being written; an element met again contains itself."""


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
        """Return an element as the codec tags it; None if it is the one that is dumped.

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


# --- types of the fields of a class


_LEAVES: Final = frozenset(
    (NoneType, bool, int, float, str, bytes, Decimal, UUID, Path, datetime, date, time, timedelta)
)
"""Types of values that contain nothing."""


@cached_by_class
def fields_with_models(kind: type[BaseModel]) -> Mapping[str, Any]:
    """Return the declared types of the fields of a class that may hold models, by name."""
    return {
        name: field.annotation
        for name, field in kind.model_fields.items()
        if not field.exclude and _may_hold_models(field.annotation)
    }


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


def may_have_aliases(kind: type[BaseModel]) -> bool:
    """Return True if a field of a class, or of a model in one, may be read by another name."""
    return bool(fields_with_models(kind)) or any(
        field.validation_alias is not None for field in kind.model_fields.values()
    )


@cached_by_class
def holds_json_text(kind: type[BaseModel]) -> bool:
    """Return True if a class, or a model in one of its fields, has a field of type ``Json``.

    Such a field reads JSON text. Pydantic writes it as text only with ``round_trip=True``.
    """
    return _reads_json_text(kind, set())


def _reads_json_text(annotation: Any, seen: set[type]) -> bool:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation in seen:
            return False
        seen.add(annotation)
        inside = [
            each
            for field in annotation.model_fields.values()
            for each in (field.annotation, *field.metadata)
        ]
    else:
        inside = [] if get_origin(annotation) is Literal else list(get_args(annotation))
    return any(_is_json_text(each) or _reads_json_text(each, seen) for each in inside)


def _is_json_text(mark: Any) -> bool:
    return mark is Json or type(mark) is Json
