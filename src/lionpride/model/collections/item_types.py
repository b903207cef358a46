"""Which classes of elements a pile takes."""

from __future__ import annotations

from collections.abc import Mapping
from types import UnionType
from typing import Any, TypeAlias, Union, get_args, get_origin

from ...errors import ValidationError
from .. import registry
from ..element import Element, read_metadata

__all__ = ("Kinds", "check_kind", "kind_of", "kinds_of", "names_of")

Kinds: TypeAlias = set[type[Element]]


def kinds_of(value: Any) -> Kinds:
    """The classes that a class, a union, a registry key, or several of these stand for.

    Raises:
        ValidationError: if one is no class of elements.
        UnknownClassError: if this process has not defined a class of that key.
    """
    if isinstance(value, str):
        return {registry.find(value)}
    if isinstance(value, type) and issubclass(value, Element):
        return {value}
    if isinstance(value, UnionType) or get_origin(value) is Union:
        value = get_args(value)
    if not isinstance(value, list | tuple | set | frozenset):
        raise ValidationError(f"item_type takes subclasses of Element, not {value!r}")
    return {kind for each in value for kind in kinds_of(each)}


def kind_of(data: Mapping[str, Any], meta_key: str | None = None) -> type[Element]:
    """The class that an element's data names; Element if it names none.

    Raises:
        UnknownClassError: if this process has not defined it.
    """
    for key in (meta_key, "metadata", "node_metadata"):
        meta = data.get(key) if key else None
        if meta and "lion_class" in (known := read_metadata(meta)):
            return registry.find(known["lion_class"])
    return Element


def check_kind(kind: type[Any], allowed: Kinds | None, strict: bool) -> None:
    """Raise TypeError for a class that is not allowed; ``strict`` allows no subclasses."""
    if allowed is None or kind in allowed or (not strict and issubclass(kind, tuple(allowed))):
        return
    just = " (strict_type: no subclasses)" if strict else ""
    raise TypeError(f"the pile takes {names_of(allowed)}{just}, not {kind.__name__}")


def names_of(kinds: Kinds) -> str:
    """Classes in words."""
    return " or ".join(sorted(kind.__name__ for kind in kinds)) or "nothing"
