"""A shortcut to JSON for what is JSON already.

Most events are a few numbers and texts in a class that says nothing about how it is written.
Pydantic and the codec would give such values back as they are; here they are only looked at, and
copied. Whatever is not known to be of that kind, in the class or in a value, goes the long way,
and the result is the same. Measurements: docs/decisions/serialization.md.
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
from .class_metadata import HIDDEN, hidden_fields
from .default_values import constants_of, is_same
from .round_trip import has_doubts

__all__ = ("Plain",)

_SCALARS = frozenset((NoneType, bool, int, float, str))
_LEAST, _MOST = -(2**63), 2**63 - 1  # the codec tags what is beyond

_DEPTH = 32
"""Nesting beyond which a value goes the long way, where cycles are seen."""


class _Shape(NamedTuple):
    """What a value may be: its exact types, and the shape of what is in it."""

    kinds: frozenset[type]
    items: _Shape | None = None


_ANYTHING = _Shape(_SCALARS | {list, dict})


class _NotPlainError(Exception):
    """This class or this value has to go the long way."""


class Plain:
    """How the instances of one class are written, if they are plain.

    The class is looked at when the first instance is written; what is set on it afterwards
    (a serializer, an override) is not seen.

    Attributes:
        has_doubts: Whether what was written of an instance has to be read back to see that it
            reads the same; known once one was written.
    """

    __slots__ = (
        "_constants",
        "_hidden",
        "_key",
        "_kind",
        "_known",
        "_packed",
        "_shapes",
        "_values",
        "has_doubts",
    )

    def __init__(self, kind: type[BaseModel]) -> None:
        self._kind = kind
        self._known = False
        self._hidden: tuple[str, ...] = ()
        self._shapes: tuple[tuple[str, _Shape], ...] | None = None
        self._constants: tuple[tuple[str, Any], ...] = ()
        self._key = ""
        self._values: tuple[tuple[str, Any], ...] | None = None  # of the last that was packed
        self._packed = "", ""
        self.has_doubts = False

    @property
    def key(self) -> str:
        """The registry key of the class."""
        if not self._key:
            self._key = registry.key_of(self._kind)
        return self._key

    def of(self, instance: BaseModel) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """The metadata with the class in it, and the fields, as JSON; None if not plain.

        A value that was put there behind pydantic's back is not warned about if the field could
        hold its type.
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

    def packed(
        self, instance: BaseModel, write: Callable[[dict[str, Any]], str]
    ) -> tuple[str, str] | None:
        """The key, and metadata and fields as one text; None if not plain.

        Fields that hold a constant default are left out. Instances one after another with the
        very same values share theirs.

        Args:
            instance: One of the class.
            write: Makes the text of a dict, which it may change.
        """
        if self._values is not None:
            own = instance.__dict__
            for name, value in self._values:
                if name not in own or own[name] is not value:
                    break
            else:
                if not own.get("_metadata"):
                    return self._packed
        plain = self.of(instance)
        if plain is None:
            return None
        metadata, fields = plain
        shared = len(metadata) == 1 and _SCALARS.issuperset(map(type, fields.values()))
        values = tuple(fields.items()) if shared else None
        for name, default in self._constants:
            if is_same(fields[name], default):
                del fields[name]
        fields["metadata"] = metadata
        packed = self.key, write(fields)
        if values is not None:
            self._values, self._packed = values, packed
        return packed

    def _look(self) -> bool:
        """Look at the class, once it is complete; whether it is plain."""
        if not self._kind.__pydantic_complete__:
            return False
        self._known = True
        if not _is_written_by_us(self._kind):
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
    """A list or dict anew, whose items fit the shape.

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


# --- what a class says about how it is written

_OURS = ("lionpride.model.element", "lionpride.model.event_data", "pydantic.main")

_WRITERS = (
    "to_dict",
    "model_dump",
    "metadata",
    "id",
    "created_at",
    "_data",
    "_dump",
    "_identity",
    "execution",
    "__get_pydantic_core_schema__",
)
"""What decides how an instance is written; a class that has its own goes the long way."""


def _is_written_by_us(kind: type[BaseModel]) -> bool:
    decorators = kind.__pydantic_decorators__
    return (
        all(_first(name, kind).__module__ in _OURS for name in _WRITERS)
        and not decorators.field_serializers
        and not decorators.computed_fields
        and decorators.model_serializers.keys() == {"_dump"}
        and kind.model_config.get("extra") != "allow"
        and not kind.model_config.get("json_encoders")
        and not kind.model_config.get("strict")  # which may not read what is written
    )


def _first(name: str, kind: type) -> type:
    """The class whose ``name`` an instance has; ours if there is none of that name."""
    return next((each for each in kind.__mro__ if name in each.__dict__), BaseModel)


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
    """Whether a mark beside a type checks only: a bound, a length, a validator."""
    if isinstance(metadata, FieldInfo):
        return all(map(_says_nothing, metadata.metadata))
    if getattr(metadata, "__is_annotated_types_grouped_metadata__", False):
        return all(map(_says_nothing, metadata))
    return isinstance(metadata, AfterValidator | BeforeValidator) or not (
        hasattr(metadata, "__get_pydantic_core_schema__")
        or hasattr(metadata, "__prepare_pydantic_annotations__")
    )


def _shape(annotation: Any) -> _Shape:
    """What a plain value of this type looks like.

    Raises:
        _NotPlainError: if the type may have its own way to be written.
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
        return _Shape(frozenset((float, int)))  # pydantic lets a default of 5 be, and writes it so
    if kind in _ANYTHING.kinds:
        return _Shape(frozenset((kind,)))
    if issubclass(kind, Enum) and _says_nothing(kind):
        # Its members are not plain; their values are, which ``use_enum_values`` puts here.
        return _Shape(frozenset(type(each.value) for each in kind) & _SCALARS)
    raise _NotPlainError


def _either(shapes: list[_Shape]) -> _Shape:
    """What fits one of these, at most one of which holds items."""
    holders = {each for each in shapes if each.kinds & {list, dict}}
    if len(holders) > 1:
        raise _NotPlainError
    items = next((each.items for each in holders), None)
    return _Shape(frozenset().union(*(each.kinds for each in shapes)), items)
