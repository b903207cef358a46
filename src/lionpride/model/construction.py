"""Shortcuts around pydantic when an element is made.

Validation returns a value unchanged that has exactly the declared type, if that is a plain scalar
without constraints. A new instance of which all values are such is filled without the validator,
in three quarters of the time, once an instance with the same names and types was validated.

Pydantic gives each instance a set of the names of the fields that were given: 216 bytes, and one
more object for the garbage collector. Here, instances that were given the same fields share one
set, until one of them is assigned to. The dicts of instances that were given nothing share their
keys, as those of ordinary objects do. Measurements: docs/decisions/identity.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from types import NoneType, UnionType
from typing import Any, Final, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import SchemaValidator

from .class_traits import cached_by_class, defining_class, traits_of

__all__ = (
    "InstanceTemplate",
    "keep_dict",
    "missing",
    "own_fields_set",
    "set_fields_set",
)

_MOST: Final = 64
"""Maximum number of different names, and of different names and types, that a class notes."""

_SCALARS: Final = frozenset((NoneType, bool, int, float, str, bytes))

_CHANGING: Final = (
    "allow_inf_nan",
    "schema_generator",
    "str_max_length",
    "str_min_length",
    "str_strip_whitespace",
    "str_to_lower",
    "str_to_upper",
)
"""Settings of a class under which validation may refuse or change a scalar of the right type."""

_SLOTS: Final[dict[str, Callable[[], Any]]] = {
    "__pydantic_fields_set__": set,
    "__pydantic_extra__": lambda: None,
    "__pydantic_private__": lambda: None,
}
"""Attributes of pydantic outside of the ``__dict__``, as of an instance that was given nothing."""

_set = {name: BaseModel.__dict__[name].__set__ for name in _SLOTS}
set_fields_set = _set["__pydantic_fields_set__"]
"""Function that sets the set of given fields of an instance."""
_set_dict = BaseModel.__dict__["__dict__"].__set__


class _Exact(NamedTuple):
    """What instances have in common that are given the same fields, with values of the same types.

    Attributes:
        defaults: Every field, in order, with its default; None for a field without one.
        fields_set: The names of the given fields.
    """

    defaults: dict[str, Any]
    fields_set: set[str]


class InstanceTemplate:
    """What the instances of one class have in common.

    Args:
        kind: The class.
        later: Names of further entries that the ``__dict__`` of most instances will have.

    Attributes:
        blank: Every field, in order, with its default, for an instance that is given nothing; None
            if such an instance has to be validated, or none has been made yet. Entries that are
            set one by one leave the keys of the ``__dict__`` shared.
    """

    __slots__ = ("_exact", "_kind", "_later", "_may_share", "_sets", "blank")

    def __init__(self, kind: type[BaseModel], later: Iterable[str]) -> None:
        self._kind = kind
        self._later = tuple(later)
        self._sets: dict[tuple[str, ...], set[str]] = {}
        self._exact: dict[tuple[Any, ...], _Exact | None] = {}  # by names and types
        self._may_share = _is_simple(kind)
        self.blank: tuple[tuple[str, Any], ...] | None = None

    def fill(self, instance: BaseModel, data: dict[str, Any], names: Collection[str]) -> bool:
        """Fill a new instance without validation, if validation would change no value.

        Args:
            instance: The instance.
            data: The values.
            names: The names of the data, in order, followed by names of fields that hold their
                default and count as given.

        Returns:
            True if the instance is filled.
        """
        exact = self._exact.get((*names, *map(type, data.values())))
        if exact is None:
            return False
        _set_dict(instance, exact.defaults | data)
        set_fields_set(instance, exact.fields_set)
        return True

    def share(self, instance: BaseModel, data: Mapping[str, Any], names: tuple[str, ...]) -> None:
        """Give a new instance the set of the instances that were given the same fields.

        Args:
            instance: The instance; it has been validated.
            data: The values that were given.
            names: As for ``fill``.
        """
        shared = self._sets.get(names)
        if shared is not None:
            set_fields_set(instance, shared)
        elif "created_at" in instance.__dict__:  # a validator has read it
            instance.__dict__["_created"] = instance.__dict__["created_at"].timestamp()
            return
        elif self._may_share and len(self._sets) < _MOST:
            if not self._sets:
                self._share_keys()
            shared = self._sets[names] = instance.__pydantic_fields_set__
        if shared is None or len(self._exact) >= _MOST:
            return
        types = tuple(map(type, data.values()))
        if _SCALARS.issuperset(types) and (*names, *types) not in self._exact:
            exact = self._exact[*names, *types] = self._exact_of(data, shared)
            if exact is not None and not names:
                self.blank = tuple(exact.defaults.items())

    def _exact_of(self, data: Mapping[str, Any], fields_set: set[str]) -> _Exact | None:
        """Return what ``fill`` needs; None if validation may change a value of these types."""
        fields, defaults = self._kind.model_fields, _scalar_defaults(self._kind)
        is_exact = defaults is not None and all(
            name in fields and type(value) in _unchanged_types(fields[name])
            for name, value in data.items()
        )
        return _Exact(defaults, fields_set) if defaults is not None and is_exact else None

    def _share_keys(self) -> None:
        """Let CPython add the keys of all entries to the shared keys of the class.

        CPython adds keys only while there are few instances. An instance that gets another key
        later has a table of keys of its own, which takes 120 bytes more.
        """
        entries = self._kind.__new__(self._kind).__dict__
        for name in (*self._later, *self._kind.model_fields):
            entries[name] = None


def _is_simple(kind: type[BaseModel]) -> bool:
    """Return True if the given fields alone decide what pydantic's set contains.

    No code of the class runs. A default factory might return another value each time.
    """
    return (
        traits_of(kind).is_bare
        and not kind.model_config.get("validate_default")
        and not any(
            field.default_factory or field.validate_default for field in kind.model_fields.values()
        )
    )


@cached_by_class
def _scalar_defaults(kind: type[BaseModel]) -> dict[str, Any] | None:
    """Return the default of every field, in order; None for a field without one.

    The result is None if the class has other defaults than scalars, or code that may change a
    value of the right type.
    """
    config = kind.model_config
    defaults = {
        name: None if field.is_required() else field.default
        for name, field in kind.model_fields.items()
    }
    is_plain = (
        all(type(value) in _SCALARS for value in defaults.values())
        and not traits_of(kind).has_field_validators
        and not any(config.get(name) is not None for name in _CHANGING)
        and type(kind.__pydantic_validator__) is SchemaValidator  # no plugin of pydantic
        and defining_class(kind, "__get_pydantic_core_schema__") is BaseModel
    )
    return defaults if is_plain else None


def _unchanged_types(field: FieldInfo) -> frozenset[type]:
    """Return the types whose values a field accepts unchanged; none if it is not only scalars."""
    if field.metadata or field.validation_alias is not None:
        return frozenset()
    is_union = get_origin(field.annotation) in (Union, UnionType)
    members = get_args(field.annotation) if is_union else (field.annotation,)
    return frozenset(members) if _SCALARS.issuperset(members) else frozenset()


def own_fields_set(instance: BaseModel) -> None:
    """Give an instance its own set of given fields, before the instance changes."""
    set_fields_set(instance, set(instance.__pydantic_fields_set__))


_usual_missing: Callable[[BaseModel, str], Any] = vars(BaseModel)["__getattr__"]


def missing(instance: BaseModel, name: str) -> Any:
    """Return an attribute of pydantic that is set when it is first read; ``__getattr__``."""
    make = _SLOTS.get(name)
    if make is None:
        return _usual_missing(instance, name)
    value = make()
    _set[name](instance, value)
    return value


def keep_dict(instance: BaseModel, own: dict[str, Any]) -> None:
    """Restore the ``__dict__`` of an instance after an assignment, with the new values.

    Pydantic replaces the ``__dict__`` when it validates an assignment. A view of an event's state
    (``Execution``) would still read the old one.
    """
    now = instance.__dict__
    if now is not own:
        own.update(now)
        _set_dict(instance, own)
