"""Names that an element keeps for itself, and what is said to a class or an attribute of one."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

from ..errors import ConfigurationError, OperationError

if TYPE_CHECKING:
    from .element import Element

__all__ = ("refuse_entry", "refuse_shadows")


def refuse_shadows(cls: type[Element]) -> None:
    """Refuse, as it is defined, a class that takes a name of the library's.

    Raises:
        ConfigurationError: for a field of a reserved name; and for anything at all (a private
            attribute, a method) under a name that the instances' ``__dict__`` has an entry of.
    """
    annotations = inspect.get_annotations(cls)
    for name, annotation in annotations.items():
        meaning = cls.reserved().get(name)
        if meaning is not None and "ClassVar" not in str(annotation):
            remedy = "annotate it as a ClassVar, or " if "ClassVar" in meaning else ""
            raise ConfigurationError(
                f"{cls.__qualname__}.{name}: the name {name!r} is taken ({meaning}): "
                f"{remedy}give the field another name, such as {name}_"
            )
    private: dict[str, object] = cls.__dict__.get("__private_attributes__", {})
    for name in cls.kept_entries & (annotations.keys() | vars(cls).keys() | private.keys()):
        raise ConfigurationError(
            f"{cls.__qualname__}.{name}: the name {name!r} is taken (the library keeps its state "
            f"there): use another, such as {name}_"
        )


def refuse_entry(element: Element, name: str) -> None:
    """Refuse to set an attribute under whose name the ``__dict__`` has an entry of ours.

    Raises:
        OperationError: names another.
    """
    if name in element.kept_entries:
        raise OperationError(
            f"{element.class_name()}.{name} cannot be set: the library keeps its state there; "
            f"use another name, such as {name}_"
        )
