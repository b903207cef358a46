"""Entries in the metadata of a dump: the class, and the fields that are not to be shown.

A program that shows a record may not have its class, so the record names the fields that the
class hides with ``Field(repr=False)``. A ``SecretStr`` or ``SecretBytes`` has a tag of its own.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

from .. import registry
from ..class_traits import cached_by_class

__all__ = ("HIDDEN", "hidden_fields", "marks_of", "take_marks")

HIDDEN: Final = "lion_hidden"
"""Key of the list of hidden fields; absent if there are none."""


@cached_by_class
def hidden_fields(kind: type[BaseModel]) -> tuple[str, ...]:
    """Return the names of the fields of a class that are not part of its repr."""
    return tuple(name for name, field in kind.model_fields.items() if field.repr is False)


def marks_of(kind: type[BaseModel]) -> dict[str, Any]:
    """Return the entries for the metadata of a dump."""
    hidden = hidden_fields(kind)
    marks: dict[str, Any] = {"lion_class": registry.key_of(kind)}
    return marks | {HIDDEN: list(hidden)} if hidden else marks


def take_marks(metadata: dict[str, Any]) -> tuple[Any, Any]:
    """Remove the entries from metadata; return the class, and True if the dump has tags."""
    metadata.pop(HIDDEN, None)
    return metadata.pop("lion_class", None), metadata.pop("lion_tags", False)
