"""Container: an element with contents in addition to its fields."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar, TypeAlias, TypeVar
from uuid import UUID

from pydantic import model_serializer

from ..element import CreatedAtFormat, Element, Mode
from ..serialization.codec import ELEMENT

__all__ = ("Container", "IdLike")

IdLike: TypeAlias = UUID | str | Element
"""An id: a UUID, its text, or the element itself."""


class Container(Element):
    """An element with contents, which every dump has in addition to its fields.

    A subclass names its contents in ``_contained``, returns each as plain data from ``_content``,
    and reads them in ``_from_data``. The elements inside are written by their own ``to_dict``, and
    keep their own classes and tags.
    """

    _contained: ClassVar[tuple[str, ...]] = ()

    def __class_getitem__(cls, parameters: Any) -> Any:
        """Return the class itself, if it is generic and the parameters are classes.

        The parameters are for type checkers; at run time a pile uses its ``item_type``.
        """
        given = parameters if isinstance(parameters, tuple) else (parameters,)
        generic = bool(cls.__pydantic_generic_metadata__["parameters"])
        if generic and not any(isinstance(each, TypeVar) for each in given):
            return cls
        return super().__class_getitem__(parameters)

    def _content(self, name: str, mode: Mode, how: dict[str, Any]) -> Any:
        """Return one of the contents as plain data.

        Args:
            name: One of ``_contained``.
            mode: "python" or "json", for the elements inside.
            how: Further arguments for their ``to_dict``.
        """
        raise NotImplementedError

    @model_serializer(mode="wrap")
    def _dump(self, handler: Any, info: Any) -> dict[str, Any]:
        """Pydantic's own dump, with the contents behind."""
        own: dict[str, Any] = super()._dump(handler, info)
        if own.keys() == {ELEMENT}:
            return own
        for name in self._asked_for(info.include, info.exclude):
            own[name] = self._content(name, "python", {})
        return own

    def _asked_for(
        self, include: Collection[str] | None, exclude: Collection[str] | None
    ) -> list[str]:
        """Return the names of the contents that a dump includes."""
        return [
            name
            for name in self._contained
            if (include is None or name in include) and (exclude is None or name not in exclude)
        ]

    def to_dict(
        self,
        mode: Mode = "python",
        created_at_format: CreatedAtFormat | None = None,
        meta_key: str | None = None,
        item_meta_key: str | None = None,
        item_created_at_format: CreatedAtFormat | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return the element and its contents as plain data, which ``from_dict`` accepts.

        Args:
            mode: See ``Element.to_dict``. In db mode, the contents are JSON as well.
            created_at_format: See ``Element.to_dict``.
            meta_key: See ``Element.to_dict``.
            item_meta_key: ``meta_key`` for the elements inside.
            item_created_at_format: ``created_at_format`` for the elements inside.
            **kwargs: For pydantic's ``model_dump`` (include, exclude, by_alias, ...).

        Raises:
            ValidationError: for an unknown mode, or a datetime in json mode.
        """
        exclude = kwargs.pop("exclude", None)
        asked_for = self._asked_for(kwargs.get("include"), exclude)
        if isinstance(exclude, dict):
            exclude = exclude | dict.fromkeys(self._contained, True)
        else:
            exclude = {*(exclude or ()), *self._contained}
        data = super().to_dict(mode, created_at_format, meta_key, exclude=exclude, **kwargs)
        how = {"meta_key": item_meta_key, "created_at_format": item_created_at_format}
        for name in asked_for:
            data[name] = self._content(name, "python" if mode == "python" else "json", how)
        return data

    @classmethod
    def _decoded(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Decode the tags in data, except those of the contents."""
        contents = {name: data[name] for name in cls._contained if name in data}
        rest = {name: value for name, value in data.items() if name not in contents}
        return super()._decoded(rest) | contents

    def __str__(self) -> str:
        return repr(self)
