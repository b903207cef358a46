"""Progression: an ordered list of ids that is an element itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, TypeVar, overload
from uuid import UUID

import pydantic_core
from pydantic_core import PydanticCustomError

from ...errors import NotFoundError, ValidationError
from ..element import Element, Mode, as_id, made_on_first_use
from ..unset import Unset
from .container import Container, IdLike
from .ordering import Ordering

__all__ = ("Progression",)

D = TypeVar("D")


class Progression(Container):
    """Ordered ids, with repeats: a stage of a workflow, a queue, a path.

    It contains ids, and no elements. ``append``, ``in``, ``remove``, ``include``, ``exclude`` and
    ``popleft`` take constant time. Iteration uses a copy, so the progression may be changed during
    it. An empty progression is false.

    A subclass with other storage overrides two methods: ``_ids``, which every read uses, and
    ``_mutable``, which every change uses.

    Args:
        name: The name of the progression, by which a Flow finds it.
        order: An id, or any number of them; each a UUID, its text, or an Element.

    Raises:
        pydantic.ValidationError: if an item of ``order`` is not an id; the message names it.
    """

    _contained: ClassVar[tuple[str, ...]] = ("order",)

    name: str | None = None

    def __init__(
        self,
        *,
        name: str | None = None,
        order: IdLike | Iterable[IdLike] | None = None,
        **data: Any,
    ) -> None:
        ids = self._checked(order)
        if name is not None:
            data["name"] = name
        super().__init__(**data)
        if ids:
            self._order.replace(ids)

    @classmethod
    def reserved(cls) -> Mapping[str, str]:
        """Return names that a field of a subclass cannot have, each with its meaning."""
        return {**super().reserved(), "order": "the ids"}

    @made_on_first_use
    def _order(self) -> Ordering:
        """The ids, if they are stored here."""
        return Ordering()

    def _ids(self) -> Sequence[UUID]:
        """Return the ids to read; override it together with ``_mutable``."""
        return self._order

    def _mutable(self) -> Ordering:
        """Return the ids to change; an override may raise to refuse every change."""
        return self._order

    def _checked(self, order: Any) -> list[UUID]:
        """Return the argument ``order`` as a list of ids."""
        if order is None:
            return []
        if isinstance(order, UUID | str | Element) or not isinstance(order, Iterable):
            order = [order]
        ids: list[UUID] = []
        problems: list[pydantic_core.InitErrorDetails] = []
        for position, item in enumerate(order):
            try:
                ids.append(as_id(item))
            except ValidationError as error:
                reason = PydanticCustomError("id", "{reason}", {"reason": str(error)})
                problems.append({"type": reason, "loc": ("order", position), "input": item})
        if problems:
            raise pydantic_core.ValidationError.from_exception_data(self.class_name(), problems)
        return ids

    # --- reading

    @property
    def order(self) -> list[UUID]:
        """The ids as a new list. To change the order, assign a list."""
        return list(self._ids())

    @order.setter
    def order(self, order: IdLike | Iterable[IdLike] | None) -> None:
        self._mutable().replace(self._checked(order))

    def __len__(self) -> int:
        return len(self._ids())

    def __bool__(self) -> bool:
        return len(self) > 0

    def __iter__(self) -> Iterator[UUID]:  # type: ignore[override]  # ids, not pydantic's fields
        return iter(self.order)

    def __reversed__(self) -> Iterator[UUID]:
        return reversed(self.order)

    def __contains__(self, item: object) -> bool:
        try:
            return as_id(item) in self._ids()
        except ValidationError:
            return False

    @overload
    def __getitem__(self, index: int) -> UUID: ...
    @overload
    def __getitem__(self, index: slice) -> list[UUID]: ...
    def __getitem__(self, index: int | slice) -> UUID | list[UUID]:
        return list(self._ids()[index]) if isinstance(index, slice) else self._ids()[index]

    def index(self, item: IdLike) -> int:
        """Return the first position of an id.

        Raises:
            ValueError: if the id is not in the progression.
        """
        uid = as_id(item)
        try:
            return self._ids().index(uid)
        except ValueError:
            raise ValueError(f"{uid} is not in {self!r}") from None

    # --- changing: list operations

    def append(self, item: IdLike) -> None:
        """Add an id at the end."""
        self._mutable().append(as_id(item))

    def extend(self, items: Iterable[IdLike]) -> None:
        """Add ids at the end: all of them, or none if one is invalid."""
        self._mutable().extend([as_id(item) for item in items])

    def insert(self, index: int, item: IdLike) -> None:
        """Insert an id before a position; a position out of range is the nearest end."""
        self._mutable().insert(index, as_id(item))

    def __setitem__(self, index: int | slice, value: IdLike | list[IdLike]) -> None:
        ids = self._mutable()
        if not isinstance(index, slice):
            ids[index] = as_id(value)
            return
        if not isinstance(value, list):
            raise TypeError(f"a slice takes a list of ids, not {type(value).__name__}")
        order = list(ids)
        order[index] = [as_id(item) for item in value]
        ids.replace(order)

    def remove(self, item: IdLike) -> None:
        """Remove the first occurrence of an id.

        Raises:
            ValueError: if the id is not in the progression.
        """
        uid = as_id(item)
        try:
            self._mutable().remove(uid)
        except ValueError:
            raise ValueError(f"{uid} is not in {self!r}: exclude() accepts that") from None

    @overload
    def pop(self, index: int = -1) -> UUID: ...
    @overload
    def pop(self, index: int, default: D) -> UUID | D: ...
    def pop(self, index: int = -1, default: Any = Unset) -> Any:
        """Remove and return the id at a position, or return ``default`` if there is none.

        Raises:
            NotFoundError: if there is none, and no default.
        """
        ids = self._mutable()
        try:
            return ids.pop(index)
        except IndexError:
            if default is not Unset:
                return default
            raise NotFoundError(
                f"no index {index} in {self!r}: give a default, or look at its length first",
                details={"index": index, "length": len(self)},
            ) from None

    def popleft(self) -> UUID:
        """Remove and return the first id.

        Raises:
            NotFoundError: if the progression is empty.
        """
        ids = self._mutable()
        if not ids:
            raise NotFoundError(f"{self!r} is empty: there is no first id to pop")
        return ids.pop(0)

    def clear(self) -> None:
        """Remove every id."""
        self._mutable().replace(())

    def reverse(self) -> None:
        """Reverse the order."""
        ids = self._mutable()
        ids.replace(list(reversed(ids)))

    # --- changing: workflow and set operations

    def move(self, from_index: int, to_index: int) -> None:
        """Move the id at one position to before the id that is now at another.

        ``to_index`` may be the length, which is the end.

        Raises:
            NotFoundError: if a position is out of range.
        """
        ids = self._mutable()
        source, target = self._position(from_index), self._position(to_index, end=True)
        order = list(ids)
        uid = order.pop(source)
        order.insert(target - (source < target), uid)
        ids.replace(order)

    def swap(self, index1: int, index2: int) -> None:
        """Exchange the ids at two positions.

        Raises:
            NotFoundError: if a position is out of range.
        """
        ids = self._mutable()
        first, second = self._position(index1), self._position(index2)
        ids[first], ids[second] = ids[second], ids[first]

    def include(self, item: IdLike) -> bool:
        """Add an id at the end if it is not in the progression. Return True if it was added."""
        ids, uid = self._mutable(), as_id(item)
        if uid in ids:
            return False
        ids.append(uid)
        return True

    def exclude(self, item: IdLike) -> bool:
        """Remove the first occurrence of an id, if there is one. Return True if it was removed."""
        ids, uid = self._mutable(), as_id(item)
        if uid not in ids:
            return False
        ids.remove(uid)
        return True

    def _position(self, index: int, end: bool = False) -> int:
        """Return an index counted from the front; with ``end``, the length is valid too."""
        length = len(self)
        position = index + length if index < 0 else index
        if not 0 <= position < length + end:
            raise NotFoundError(
                f"no index {index} in {self!r}", details={"index": index, "length": length}
            )
        return position

    # --- plain data and copies

    def _content(self, name: str, mode: Mode, how: dict[str, Any]) -> Any:
        return self.order if mode == "python" else [str(uid) for uid in self]

    def __copy__(self) -> Progression:
        copied = super().__copy__()
        copied.__dict__["_order"] = Ordering(self)
        return copied

    def __repr__(self) -> str:
        named = f", name={self.name!r}" if self.name else ""
        return f"{self.class_name()}(len={len(self)}{named})"
