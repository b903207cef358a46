"""Shortcut to JSON for elements whose values are JSON already.

Most events are a few numbers and texts in a class without serializers. Pydantic and the codec
would return such values unchanged, so they are only checked and copied here. Any other class or
value takes the general way, with the same result. Measurements: docs/decisions/serialization.md.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from enum import Enum
from math import isfinite
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import AfterValidator, BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from .. import registry
from ..class_traits import traits_of
from .class_metadata import HIDDEN, hidden_fields
from .default_values import constants_of, is_same
from .round_trip import has_doubts

__all__ = ("FastDump",)

_SCALARS = frozenset((NoneType, bool, int, float, str))
_LEAST, _MOST = -(2**63), 2**63 - 1  # the codec tags what is beyond

_DEPTH = 32
"""Levels of nesting beyond which a value takes the general way, which detects cycles."""


class _Shape(NamedTuple):
    """The exact types that a value may have, and the shape of its items."""

    kinds: frozenset[type]
    items: _Shape | None = None


_ANYTHING = _Shape(_SCALARS | {list, dict})


class _NotPlainError(Exception):
    """A class or a value has to take the general way."""


class FastDump:
    """Writes the instances of one class, if they are plain.

    The class is inspected when the first instance is written. Later changes of the class (a
    serializer, an override) are not noticed.

    Attributes:
        has_doubts: True if a written instance has to be read back and compared; known after the
            first one was written.
    """

    __slots__ = (
        "_constants",
        "_hidden",
        "_key",
        "_kind",
        "_known",
        "_shapes",
        "has_doubts",
    )

    def __init__(self, kind: type[BaseModel]) -> None:
        self._kind = kind
        self._known = False
        self._hidden: tuple[str, ...] = ()
        self._shapes: tuple[tuple[str, _Shape], ...] | None = None
        self._constants: tuple[tuple[str, Any], ...] = ()
        self._key = ""
        self.has_doubts = False

    @property
    def key(self) -> str:
        """The registry key of the class."""
        if not self._key:
            self._key = registry.key_of(self._kind)
        return self._key

    def of(self, instance: BaseModel) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Return the metadata with the class, and the fields, as JSON; None if not plain.

        Unlike pydantic, it does not warn of a value that was set without validation, as long as
        the field could hold its type.
        """
        shapes = self._shapes
        if shapes is None:
            if self._known or not self._look():
                return None
            return self.of(instance)
        own = instance.__dict__
        fields: dict[str, Any] = {}
        try:
            for name, shape in shapes:
                value = own[name]
                kind = type(value)
                if kind not in shape[0]:
                    return None
                if kind is int:
                    if not _LEAST <= value <= _MOST:
                        return None
                elif kind is float:
                    if not isfinite(value):
                        return None
                elif kind is list or kind is dict:
                    value = _copied(value, shape[1] or _ANYTHING, _DEPTH)
                fields[name] = value
            metadata = own.get("_metadata")
            metadata = _copied(metadata, _ANYTHING, _DEPTH) if metadata else {}
        except (_NotPlainError, KeyError):  # KeyError: a field that was deleted
            return None
        metadata["lion_class"] = self.key
        if self._hidden:
            metadata[HIDDEN] = list(self._hidden)
        return metadata, fields

    def payload_of(self, instance: BaseModel, write: Callable[[dict[str, Any]], str]) -> str | None:
        """Return metadata and fields as one text; None if not plain.

        Fields that hold a constant default are omitted.

        Args:
            instance: An instance of the class.
            write: Returns a dict as text; it may change the dict.
        """
        plain = self.of(instance)
        if plain is None:
            return None
        metadata, fields = plain
        for name, default in self._constants:
            if is_same(fields[name], default):
                del fields[name]
        fields["metadata"] = metadata
        return write(fields)

    def _look(self) -> bool:
        """Inspect the class, once it is complete; return True if it is plain."""
        if not self._kind.__pydantic_complete__:
            return False
        self._known = True
        config, decorators = self._kind.model_config, self._kind.__pydantic_decorators__
        if (
            not traits_of(self._kind).is_written_by_library
            or decorators.field_serializers
            or decorators.computed_fields
            or config.get("extra") == "allow"
            or config.get("json_encoders")
            or config.get("strict")  # it may not read what is written
        ):
            return False
        try:
            shapes = tuple(
                (name, _shape_of_field(field)) for name, field in self._kind.model_fields.items()
            )
        except _NotPlainError:
            return False
        self._shapes, self._hidden = shapes, hidden_fields(self._kind)
        constants = constants_of(self._kind)
        self._constants = tuple((name, one.value) for name, one in constants.items())
        self.has_doubts = has_doubts(self._kind)
        return True


def _copied(value: Any, shape: _Shape, depth: int) -> Any:
    """Return a copy of a list or dict whose items fit the shape.

    Raises:
        _NotPlainError: if one does not fit.
    """
    if not depth:
        raise _NotPlainError
    if type(value) is dict:
        for key in value:
            if type(key) is not str or key[:1] == "$":
                raise _NotPlainError
        return {key: _item(item, shape, depth) for key, item in value.items()}
    if type(value) is list:
        return [_item(item, shape, depth) for item in value]
    raise _NotPlainError


def _item(value: Any, shape: _Shape, depth: int) -> Any:
    kind = type(value)
    if kind not in shape[0]:
        raise _NotPlainError
    if kind is int:
        if not _LEAST <= value <= _MOST:
            raise _NotPlainError
    elif kind is float:
        if not isfinite(value):
            raise _NotPlainError
    elif kind is list or kind is dict:
        return _copied(value, shape[1] or _ANYTHING, depth - 1)
    return value


def _shape_of_field(field: FieldInfo) -> _Shape:
    special = (
        field.exclude is not None
        or field.serialization_alias is not None
        or not isinstance(field.validation_alias, str | NoneType)  # may be unreadable by name
        or getattr(field, "exclude_if", None) is not None  # pydantic 2.12
    )
    if special or not all(_says_nothing(each) for each in field.metadata):
        raise _NotPlainError
    shape = _shape(field.annotation)
    if not shape.kinds:
        raise _NotPlainError
    return shape


def _says_nothing(metadata: Any) -> bool:
    """Return True if metadata of a type only checks values: a bound, a length, a validator."""
    if isinstance(metadata, FieldInfo):
        return all(map(_says_nothing, metadata.metadata))
    if getattr(metadata, "__is_annotated_types_grouped_metadata__", False):
        return all(map(_says_nothing, metadata))
    return isinstance(metadata, AfterValidator | BeforeValidator) or not (
        hasattr(metadata, "__get_pydantic_core_schema__")
        or hasattr(metadata, "__prepare_pydantic_annotations__")
    )


def _shape(annotation: Any) -> _Shape:
    """Return the shape of the plain values of a type.

    Raises:
        _NotPlainError: if the type may have a serializer of its own.
    """
    if annotation is Any:
        return _ANYTHING
    if inspect.isclass(annotation):
        return _shape_of_class(annotation)
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated and all(map(_says_nothing, args[1:])):
        return _shape(args[0])
    if origin is Union or origin is UnionType:
        return _either([_shape(each) for each in args])
    if origin is Literal:
        return _Shape(frozenset(map(type, args)) & _SCALARS)
    if origin is list:
        return _Shape(frozenset((list,)), _shape(args[0]))
    if origin is dict and args[0] in (str, Any):
        return _Shape(frozenset((dict,)), _shape(args[1]))
    raise _NotPlainError


def _shape_of_class(kind: type) -> _Shape:
    if kind is float:
        return _Shape(frozenset((float, int)))  # pydantic keeps a default of 5 as an int
    if kind in _ANYTHING.kinds:
        return _Shape(frozenset((kind,)))
    if issubclass(kind, Enum) and _says_nothing(kind):
        # ``use_enum_values`` stores the values of the members, which are plain.
        return _Shape(frozenset(type(each.value) for each in kind) & _SCALARS)
    raise _NotPlainError


def _either(shapes: list[_Shape]) -> _Shape:
    """Return the shape of a union; at most one of its members may have items."""
    holders = {each for each in shapes if each.kinds & {list, dict}}
    if len(holders) > 1:
        raise _NotPlainError
    items = next((each.items for each in holders), None)
    return _Shape(frozenset().union(*(each.kinds for each in shapes)), items)
