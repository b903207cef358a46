"""How deep values are nested, and the refusal of events that are nested too deep to be stored."""

from __future__ import annotations

from collections.abc import Iterable
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from ...errors import ValidationError
from ..class_traits import cached_by_class
from .codec import MAX_DEPTH

if TYPE_CHECKING:
    from ..event_data import EventData

__all__ = ("fields_that_may_be_deep", "refuse_deep", "refuse_deep_values")

_MOST: Final = MAX_DEPTH + 1
"""Levels of containers that can be written: the codec counts the outermost as 0."""

_COUNTED: Final = 1_000
"""Levels that an error counts at most; a value that contains itself has no end."""

_CONTAINERS: Final = (dict, list, tuple, set, frozenset)
_FLAT: Final = frozenset((NoneType, bool, int, float, str, bytes))


def levels(value: Any, most: int) -> int:
    """Return how many containers are nested in a value, itself included; at most ``most + 1``."""
    level = [value] if isinstance(value, _CONTAINERS) else []
    depth = 0
    while level and depth <= most:
        depth += 1
        inner: list[Any] = []
        for container in level:
            if isinstance(container, dict):
                inner += [key for key in container if isinstance(key, _CONTAINERS)]
            items = container.values() if isinstance(container, dict) else container
            inner += [item for item in items if isinstance(item, _CONTAINERS)]
        level = inner
        if len(level) > 1:  # each container once, however often it is referred to
            level = list({id(item): item for item in level}.values())
    return depth


def _is_small(value: Any, depth: int = 4) -> bool:
    """Return True if a value is certainly shallow: a shortcut for the usual one.

    Few levels of few items each are looked at, since parts may be shared.
    """
    kind = type(value)
    if kind in _FLAT:
        return True
    if (kind is not dict and kind is not list) or not depth or len(value) > _FEW:
        return False
    if kind is dict:
        for key in value:
            if type(key) is not str:
                return False
        value = value.values()
    for item in value:  # noqa: SIM110  (a generator costs as much as the loop)
        if type(item) not in _FLAT and not _is_small(item, depth - 1):
            return False
    return True


_FEW: Final = 30


@cached_by_class
def fields_that_may_be_deep(kind: type[BaseModel]) -> tuple[str, ...]:
    """Return the fields whose declared type does not limit how deep its values are nested."""
    return tuple(
        name
        for name, field in kind.model_fields.items()
        if not field.exclude and _may_be_deep(field.annotation)
    )


def _may_be_deep(annotation: Any) -> bool:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return False
    if origin is Annotated:
        return _may_be_deep(args[0])
    if origin in (Union, UnionType) or origin in _CONTAINERS:
        return any(each is not Ellipsis and _may_be_deep(each) for each in args)
    if annotation is Any or annotation is object:  # Any is a class since Python 3.11
        return True
    is_class = isinstance(annotation, type) and origin is None
    return not is_class or issubclass(annotation, _CONTAINERS)


def refuse_deep_values(event: EventData) -> None:
    """Refuse an event one of whose values has more nested containers than can be written.

    Models are not looked into: this is for a store that keeps the objects, which may refer to each
    other in any way.

    Raises:
        ValidationError: names the field, and how deep it is nested.
    """
    own = event.__dict__
    names = fields_that_may_be_deep(type(event))
    if not event.__pydantic_extra__ and "_metadata" not in own:
        values: Iterable[tuple[str, Any]] = [(name, own.get(name)) for name in names]
    else:
        values = _values(event, names)
    for name, value in values:
        if not _is_small(value) and levels(value, _MOST) > _MOST:
            writes_as_is = not _may_have_serializer(type(event), name)
            depth = levels(value, _COUNTED) if writes_as_is else _written_levels(event, name)
            if depth > _MOST:
                raise _refusal(event, name, depth)


def _may_have_serializer(kind: type[BaseModel], name: str) -> bool:
    """Return True if a field may be written as another value than it holds."""
    decorators = kind.__pydantic_decorators__
    field = kind.model_fields.get(name)
    return (
        bool(decorators.field_serializers)
        or decorators.model_serializers.keys() != {"_dump"}
        or (
            field is not None
            and (bool(field.metadata) or get_origin(field.annotation) is Annotated)
        )
    )


def _values(event: EventData, names: Iterable[str]) -> Iterable[tuple[str, Any]]:
    own = event.__dict__
    for name in names:
        yield name, own.get(name)
    yield "metadata", own.get("_metadata")
    yield from (event.__pydantic_extra__ or {}).items()


def refuse_deep(event: EventData, error: Exception | None = None) -> None:
    """Refuse an event that is nested too deep to be written.

    Args:
        event: The event.
        error: The error that writing it raised.

    Raises:
        ValidationError: names the field, and how deep it is nested.
    """
    values = dict(_values(event, type(event).model_fields))
    depths = {name: _written_levels(event, name) for name in values}
    if error is not None:  # it may be one of comparing the values themselves
        depths = {
            name: max(depth, levels(values[name], _COUNTED)) for name, depth in depths.items()
        }
    name = max(depths, key=depths.__getitem__)
    if depths[name] > _MOST or (error is not None and _is_recursion(error)):
        raise _refusal(event, name, depths[name]) from error


def _written_levels(event: EventData, name: str) -> int:
    try:
        written = event.model_dump(include={name})
    except Exception as error:
        return _COUNTED + 1 if _is_recursion(error) else 0
    return max((levels(value, _COUNTED) for value in written.values()), default=0)


def _is_recursion(error: Exception) -> bool:
    """Return True for an error of nesting; pydantic has no class for it."""
    return isinstance(error, RecursionError) or any(
        said in str(error) for said in ("RecursionError", "depth exceeded")
    )


def _refusal(event: EventData, name: str, depth: int) -> ValidationError:
    count = f"{depth}" if depth <= _COUNTED else f"more than {_COUNTED:,}"
    return ValidationError(
        f"{type(event).__name__}.{name} is nested {count} levels deep, which cannot be stored: a "
        f"field may be nested {_MOST} levels deep, and fewer if it holds events or other elements; "
        "flatten the value, or declare the field as str and give it as JSON text"
    )
