"""What a class declares about how its instances are made, written and read.

Most classes of events are fields and methods, and pydantic alone makes, writes and reads them.
For these there are shortcuts. A class that overrides one of the methods below is made, written
and read by the general way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

from pydantic import BaseModel

__all__ = ("ClassTraits", "cached_by_class", "defining_class", "traits_of")

T = TypeVar("T")

_LIBRARY: Final = frozenset(
    ("lionpride.model.element", "lionpride.model.event_data", "pydantic.main", "builtins")
)
"""Modules whose definitions of the names below are known."""

_READERS: Final = ("__init__", "__new__", "_from_data", "_decoded", "model_validate")
"""Attributes of a class that decide how its instances are read."""

_WRITERS: Final = (
    "to_dict",
    "model_dump",
    "id",
    "created_at",
    "metadata",
    "execution",
    "_data",
    "_dump",
    "_encoded",
    "_identity",
    "__get_pydantic_core_schema__",
)
"""Attributes of a class that decide how its instances are written."""


_VALIDATORS: Final = frozenset(("_check_timeout",))
"""Validators of the library, which return their argument unchanged."""


class ClassTraits(NamedTuple):
    """What is known of a class; a later change of the class is not noticed.

    Attributes:
        has_hooks: True if a model validator or ``model_post_init`` sees a new instance as a whole.
        is_bare: True if an instance has its fields and nothing else, and there are no hooks.
        has_field_validators: True if a validator of the class, and not of the library, sees the
            value of a field. Validators in the annotation of a field do not count.
        is_read_by_library: True if the class overrides nothing that reads an instance.
        is_written_by_library: True if the class overrides nothing that writes an instance as a
            whole. It may have field serializers and computed fields.
    """

    has_hooks: bool
    is_bare: bool
    has_field_validators: bool
    is_read_by_library: bool
    is_written_by_library: bool


def cached_by_class(
    inspect: Callable[[type[BaseModel]], T],
) -> Callable[[type[BaseModel]], T]:
    """Cache the result of a function of a class, once pydantic has completed the class."""
    known: WeakKeyDictionary[type[BaseModel], T] = WeakKeyDictionary()

    def cached(kind: type[BaseModel]) -> T:
        try:
            return known[kind]
        except KeyError:
            found = inspect(kind)
            if kind.__pydantic_complete__:
                known[kind] = found
            return found

    cached.__doc__ = inspect.__doc__
    return cached


@cached_by_class
def traits_of(kind: type[BaseModel]) -> ClassTraits:
    """Return the traits of a class."""
    decorators = kind.__pydantic_decorators__
    has_hooks = bool(
        decorators.model_validators
        or decorators.root_validators
        or kind.model_post_init is not BaseModel.model_post_init
    )
    return ClassTraits(
        has_hooks,
        is_bare=not has_hooks
        and not kind.__private_attributes__
        and kind.model_config.get("extra") == "forbid"
        and _is_of_library(kind, "__getattr__"),
        has_field_validators=not decorators.field_validators.keys() <= _VALIDATORS
        or bool(decorators.validators)
        or not all(_is_of_library(kind, name) for name in _VALIDATORS),
        is_read_by_library=all(_is_of_library(kind, name) for name in _READERS),
        is_written_by_library=all(_is_of_library(kind, name) for name in _WRITERS)
        and decorators.model_serializers.keys() <= {"_dump"},
    )


def _is_of_library(kind: type, name: str) -> bool:
    return defining_class(kind, name).__module__ in _LIBRARY


def defining_class(kind: type, name: str) -> Any:
    """Return the class in whose body a name of a class is defined; BaseModel if there is none."""
    return next((each for each in kind.__mro__ if name in vars(each)), BaseModel)
