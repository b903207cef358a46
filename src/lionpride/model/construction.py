"""What a pydantic model costs, saved where nobody can tell the difference.

Every instance has a set of the fields it was given: 216 bytes, and one more object for the
garbage collector. Instances that were given the same fields share one set here, until one of
them is assigned to. An instance that was given nothing is filled with the defaults of its class,
if they are plain values, and its set and other slots when pydantic first reads them. And the
dicts of such instances share their table of keys, as those of ordinary objects do.
Measurements: docs/decisions/identity.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from pydantic import BaseModel

__all__ = (
    "Thrift",
    "has_no_hooks",
    "is_bare",
    "keep_dict",
    "missing",
    "own_fields_set",
    "set_fields_set",
)

_MOST = 64
"""Different sets of fields that a class remembers; more are not shared."""

_PLAIN = (type(None), bool, int, float, str, bytes)

_SLOTS: Final[dict[str, Callable[[], Any]]] = {
    "__pydantic_fields_set__": set,
    "__pydantic_extra__": lambda: None,
    "__pydantic_private__": lambda: None,
}
"""What pydantic keeps beside the ``__dict__``, as it is of an instance that was given nothing."""

_set = {name: BaseModel.__dict__[name].__set__ for name in _SLOTS}
set_fields_set = _set["__pydantic_fields_set__"]
"""Gives an instance the set of the fields that it was given."""
_set_dict = BaseModel.__dict__["__dict__"].__set__


class Thrift:
    """What the instances of one class have in common.

    Args:
        kind: The class.
        later: Names of entries that the ``__dict__`` of most instances will have besides.

    Attributes:
        blank: The fields of an instance that was given nothing; None if they may differ
            between two, or none has been made yet.
    """

    __slots__ = ("_kind", "_later", "_may_share", "_sets", "blank")

    def __init__(self, kind: type[BaseModel], later: Iterable[str]) -> None:
        self._kind = kind
        self._later = tuple(later)
        self._sets: dict[tuple[str, ...], set[str]] = {}
        self._may_share = _is_simple(kind)
        self.blank: tuple[tuple[str, Any], ...] | None = None

    def share(self, instance: BaseModel, names: tuple[str, ...]) -> None:
        """Give a new instance the set of those that were given the same fields.

        Args:
            instance: It has been validated.
            names: The names of what it was given, in order.
        """
        shared = self._sets.get(names)
        if shared is not None:
            set_fields_set(instance, shared)
        elif "created_at" in instance.__dict__:  # code that ran meanwhile has asked for it
            instance.__dict__["_created"] = instance.__dict__["created_at"].timestamp()
        elif self._may_share and len(self._sets) < _MOST:
            self._sets[names] = instance.__pydantic_fields_set__
            if not names:
                self._note_blank(instance)

    def shared(self, names: tuple[str, ...]) -> set[str] | None:
        """The set that instances share which were given these fields; None if they do not."""
        return self._sets.get(names)

    def _note_blank(self, instance: BaseModel) -> None:
        """Note the defaults, and have CPython make room for all entries in the shared keys.

        It adds to them only while few instances are there; who comes too late with a new
        entry gets a table of keys of its own, which is 120 bytes more.
        """
        fields = [(name, instance.__dict__[name]) for name in self._kind.model_fields]
        if all(type(value) in _PLAIN for _, value in fields):
            entries = self._kind.__new__(self._kind).__dict__
            for name in (*self._later, *self._kind.model_fields):
                entries[name] = None
            self.blank = tuple(fields)


def _is_simple(kind: type[BaseModel]) -> bool:
    """Whether the fields that were given decide what pydantic's set holds, and no code runs.

    A default factory may give something else each time.
    """
    return (
        is_bare(kind)
        and not kind.model_config.get("validate_default")
        and not any(
            field.default_factory or field.validate_default for field in kind.model_fields.values()
        )
    )


def is_bare(kind: type[BaseModel]) -> bool:
    """Whether an instance has its fields and nothing else, and they are validated one by one.

    A validator of the whole model may fill in fields; private attributes and extra fields are
    kept elsewhere.
    """
    return (
        has_no_hooks(kind)
        and not kind.__private_attributes__
        and kind.model_config.get("extra") == "forbid"
        and getattr(kind, "__getattr__", None) is missing
    )


def has_no_hooks(kind: type[BaseModel]) -> bool:
    """Return True if no model validator or hook of a class sees a new instance as a whole."""
    decorators = kind.__pydantic_decorators__
    return (
        not decorators.model_validators
        and not decorators.root_validators
        and kind.model_post_init is BaseModel.model_post_init
    )


def own_fields_set(instance: BaseModel) -> None:
    """Give an instance a set of its own, before it changes."""
    set_fields_set(instance, set(instance.__pydantic_fields_set__))


_usual_missing: Callable[[BaseModel, str], Any] = vars(BaseModel)["__getattr__"]


def missing(instance: BaseModel, name: str) -> Any:
    """``__getattr__`` of a model some of whose slots are filled when they are first read."""
    make = _SLOTS.get(name)
    if make is None:
        return _usual_missing(instance, name)
    value = make()
    _set[name](instance, value)
    return value


def keep_dict(instance: BaseModel, own: dict[str, Any]) -> None:
    """Give an instance its ``__dict__`` back, as it is now.

    Pydantic puts a new one in its place when it validates an assignment, and whoever reads the
    old one, as a view of an event's state does, would never hear of anything again.
    """
    now = instance.__dict__
    if now is not own:
        own.update(now)
        _set_dict(instance, own)
