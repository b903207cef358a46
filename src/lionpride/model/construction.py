"""Shortcuts around pydantic when an element is made.

Pydantic gives each instance a set of the names of the fields that were given: 216 bytes, and one
more object for the garbage collector. Here, instances that were given the same fields share one
set, until one of them is assigned to. An instance that was given nothing gets the defaults of its
class without validation if they are plain values, and pydantic's attributes when they are first
read. The dicts of such instances share their keys, as those of ordinary objects do. Measurements:
docs/decisions/identity.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from pydantic import BaseModel

from .class_traits import traits_of

__all__ = (
    "InstanceTemplate",
    "keep_dict",
    "missing",
    "own_fields_set",
    "set_fields_set",
)

_MOST = 64
"""Maximum number of shared sets of a class."""

_PLAIN = (type(None), bool, int, float, str, bytes)

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


class InstanceTemplate:
    """What the instances of one class have in common.

    Args:
        kind: The class.
        later: Names of further entries that the ``__dict__`` of most instances will have.

    Attributes:
        blank: The fields of an instance that was given nothing; None if two instances may differ,
            or if no instance has been made yet.
    """

    __slots__ = ("_kind", "_later", "_may_share", "_sets", "blank")

    def __init__(self, kind: type[BaseModel], later: Iterable[str]) -> None:
        self._kind = kind
        self._later = tuple(later)
        self._sets: dict[tuple[str, ...], set[str]] = {}
        self._may_share = _is_simple(kind)
        self.blank: tuple[tuple[str, Any], ...] | None = None

    def share(self, instance: BaseModel, names: tuple[str, ...]) -> None:
        """Give a new instance the set of the instances that were given the same fields.

        Args:
            instance: The instance; it has been validated.
            names: The names of the given fields, in order.
        """
        shared = self._sets.get(names)
        if shared is not None:
            set_fields_set(instance, shared)
        elif "created_at" in instance.__dict__:  # a validator has read it
            instance.__dict__["_created"] = instance.__dict__["created_at"].timestamp()
        elif self._may_share and len(self._sets) < _MOST:
            self._sets[names] = instance.__pydantic_fields_set__
            if not names:
                self._note_blank(instance)

    def _note_blank(self, instance: BaseModel) -> None:
        """Note the defaults, and let CPython add all entries to the shared keys of the class.

        CPython adds keys only while there are few instances. An instance that gets another key
        later has a table of keys of its own, which takes 120 bytes more.
        """
        fields = [(name, instance.__dict__[name]) for name in self._kind.model_fields]
        if all(type(value) in _PLAIN for _, value in fields):
            entries = self._kind.__new__(self._kind).__dict__
            for name in (*self._later, *self._kind.model_fields):
                entries[name] = None
            self.blank = tuple(fields)


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
