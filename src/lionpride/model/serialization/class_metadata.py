"""What stands in the metadata of what is written: the class, and which fields are not to be shown.

Whoever shows a record need not have its class, so the record itself names the fields that are
kept out of the repr, ``Field(repr=False)``. What is a ``SecretStr`` or ``SecretBytes`` has a tag
of its own, wherever it stands.
"""

from __future__ import annotations

from typing import Any, Final
from weakref import WeakKeyDictionary

from pydantic import BaseModel

from .. import registry

__all__ = ("HIDDEN", "hidden_fields", "marks_of", "take_marks")

HIDDEN: Final = "lion_hidden"
"""The entry that names fields that are not to be shown, where there are any."""


def hidden_fields(kind: type[BaseModel]) -> tuple[str, ...]:
    """The names of the fields of a class that are kept out of its repr."""
    names = _KNOWN.get(kind)
    if names is None:
        fields = kind.model_fields.items()
        names = tuple(name for name, field in fields if field.repr is False)
        if kind.__pydantic_complete__:
            _KNOWN[kind] = names
    return names


_KNOWN: WeakKeyDictionary[type[BaseModel], tuple[str, ...]] = WeakKeyDictionary()


def marks_of(kind: type[BaseModel]) -> dict[str, Any]:
    """What is said of a class beside its instance."""
    hidden = hidden_fields(kind)
    marks: dict[str, Any] = {"lion_class": registry.key_of(kind)}
    return marks | {HIDDEN: list(hidden)} if hidden else marks


def take_marks(metadata: dict[str, Any]) -> tuple[Any, Any]:
    """Take them out of metadata that was read: the class, and whether there are tags."""
    metadata.pop(HIDDEN, None)
    return metadata.pop("lion_class", None), metadata.pop("lion_tags", False)
