"""What a pydantic model costs, saved where nobody can tell the difference.

Every instance has a set of the fields it was given: 216 bytes, and one more object for the
garbage collector. Instances that were given the same fields share one set here, until one of
them is assigned to. And an instance that was given nothing is a copy of the one before it, if
its defaults are plain values. Measurements: docs/decisions/identity.md.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

__all__ = ("Thrift", "keep_dict", "own_fields_set")

_MOST = 64
"""Different sets of fields that a class remembers; more are not shared."""

_PLAIN = (type(None), bool, int, float, str, bytes)

_set_dict = BaseModel.__dict__["__dict__"].__set__
_set_fields_set = BaseModel.__dict__["__pydantic_fields_set__"].__set__
_set_extra = BaseModel.__dict__["__pydantic_extra__"].__set__
_set_private = BaseModel.__dict__["__pydantic_private__"].__set__


class Thrift:
    """What the instances of one class have in common.

    Attributes:
        blank: The ``__dict__`` of an instance that was given nothing; None if there may be
            differences between two, or none has been made yet.
    """

    __slots__ = ("_may_share", "_sets", "blank")

    def __init__(self, kind: type[BaseModel]) -> None:
        self._sets: dict[tuple[str, ...], set[str]] = {}
        self._may_share = _is_simple(kind)
        self.blank: dict[str, Any] | None = None

    def fill(self, instance: BaseModel, now: float) -> None:
        """Make an instance of what it has by default, created at ``now``, as validation would."""
        _set_dict(instance, {**self.blank, "_created": now})  # type: ignore[dict-item]
        _set_fields_set(instance, self._sets[()])
        _set_extra(instance, None)
        _set_private(instance, None)

    def share(self, instance: BaseModel, names: tuple[str, ...]) -> None:
        """Give a new instance the set of those that were given the same fields.

        Args:
            instance: It has been validated.
            names: The names of what it was given, in order.
        """
        shared = self._sets.get(names)
        if shared is not None:
            _set_fields_set(instance, shared)
        elif "created_at" in instance.__dict__:  # code that ran meanwhile has asked for it
            instance.__dict__["_created"] = instance.__dict__["created_at"].timestamp()
        elif self._may_share and len(self._sets) < _MOST:
            self._sets[names] = instance.__pydantic_fields_set__
            own = instance.__dict__
            if not names and all(type(value) in _PLAIN for value in own.values()):
                self.blank = dict(own)


def _is_simple(kind: type[BaseModel]) -> bool:
    """Whether the fields that were given decide what pydantic's set holds, and no code runs.

    A validator of the whole model may fill in fields; a default factory may give something
    else each time; private attributes and extra fields are kept elsewhere.
    """
    decorators = kind.__pydantic_decorators__
    return (
        not decorators.model_validators
        and not decorators.root_validators
        and not kind.__private_attributes__
        and kind.model_config.get("extra") == "forbid"
        and kind.model_post_init is BaseModel.model_post_init
        and not kind.model_config.get("validate_default")
        and not any(
            field.default_factory or field.validate_default for field in kind.model_fields.values()
        )
    )


def own_fields_set(instance: BaseModel) -> None:
    """Give an instance a set of its own, before it changes."""
    _set_fields_set(instance, set(instance.__pydantic_fields_set__))


def keep_dict(instance: BaseModel, own: dict[str, Any]) -> None:
    """Give an instance its ``__dict__`` back, as it is now.

    Pydantic puts a new one in its place when it validates an assignment, and whoever reads the
    old one, as a view of an event's state does, would never hear of anything again.
    """
    now = instance.__dict__
    if now is not own:
        own.update(now)
        _set_dict(instance, own)
