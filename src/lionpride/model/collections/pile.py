"""Pile: a typed collection of elements that are found by id."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from typing import Any, ClassVar, Generic, Self, TypeAlias, TypeVar, overload
from uuid import UUID

from pydantic import Field, field_serializer, field_validator

from ...errors import ExistsError, NotFoundError, ValidationError
from ..element import Element, Mode, as_id, made_on_first_use
from ..registry import key_of
from ..unset import Unset
from .container import Container, IdLike
from .item_types import Kinds, check_kind, kind_of, kinds_of, names_of
from .progression import Progression

__all__ = ("Pile",)

T = TypeVar("T", bound=Element)
D = TypeVar("D")

Several: TypeAlias = list[int] | list[UUID] | list[str] | tuple[int | UUID | str, ...]


class Pile(Container, Generic[T]):
    """Elements in the order in which they were added, each once.

    Finding, adding and removing an element by id takes constant time. Iteration uses a copy, so the
    pile may be changed during it. An empty pile is false.

    A subclass with other storage overrides two methods: ``_mapping``, which every read uses, and
    ``_mutable``, which every change uses.

    Args:
        items: The first items: any number, or one.
        item_type: The classes that items may have: one, several, or a union; None is any.
        order: Ids of items that come first, in this order.
        strict_type: True to refuse subclasses of these classes.

    Raises:
        TypeError: if an item has another class.
        ExistsError: if an item is given twice.
        NotFoundError: if an id in ``order`` is not among the items.
    """

    _contained: ClassVar[tuple[str, ...]] = ("items",)

    item_type: set[type[Any]] | None = Field(default=None, frozen=True)
    strict_type: bool = Field(default=False, frozen=True)

    def __init__(
        self,
        items: Iterable[T] | T | None = None,
        item_type: Any = None,
        order: Iterable[IdLike] | None = None,
        strict_type: bool = False,
        **data: Any,
    ) -> None:
        if item_type is not None:
            data["item_type"] = item_type
        if strict_type:
            data["strict_type"] = strict_type
        super().__init__(**data)
        if items is not None:
            self._fill(_each(items))
        if order is not None:
            self._sort(order)

    @classmethod
    def reserved(cls) -> Mapping[str, str]:
        """Return names that a field of a subclass cannot have, each with its meaning."""
        return {**super().reserved(), "items": "what is in it", "progression": "its order"}

    @made_on_first_use
    def _items(self) -> dict[UUID, T]:
        """The items by id, if they are stored here."""
        return {}

    def _mapping(self) -> Mapping[UUID, T]:
        """Return the items to read, in order; override it together with ``_mutable``."""
        return self._items

    def _mutable(self) -> MutableMapping[UUID, T]:
        """Return the items to change; an override may raise to refuse every change."""
        return self._items

    # --- which items it takes

    @field_validator("item_type", mode="before")
    @classmethod
    def _read_item_type(cls, value: Any) -> Kinds | None:
        return None if value is None else kinds_of(value)

    @field_serializer("item_type")
    def _write_item_type(self, value: Kinds | None) -> list[str] | None:
        return None if value is None else sorted(map(key_of, value))

    def _check(self, item: Any) -> None:
        """Raise TypeError if the pile does not accept the item."""
        if not isinstance(item, Element):
            raise TypeError(f"a pile holds elements, not {type(item).__name__}")
        check_kind(type(item), self.item_type, self.strict_type)

    def _fill(self, items: Iterable[Any]) -> None:
        """Add items; plain data is read first."""
        for item in items:
            element: Any = Element.from_dict(item) if isinstance(item, Mapping) else item
            self.add(element)

    def _sort(self, order: Iterable[IdLike]) -> None:
        """Move the items of these ids to the front."""
        items = self._mutable()
        ids = [as_id(each) for each in order]
        if len(set(ids)) < len(ids):
            raise ValidationError("order names an item twice: name each once")
        first = {uid: self.get(uid) for uid in ids}
        rest = {uid: item for uid, item in items.items() if uid not in first}
        items.clear()
        items.update(first | rest)

    # --- adding and removing

    def add(self, item: T) -> None:
        """Add an item at the end.

        Raises:
            TypeError: if the pile does not accept its class.
            ExistsError: if an item with this id is in the pile.
        """
        items = self._mutable()
        self._check(item)
        if item.id in items:
            raise ExistsError(f"{item!r} is in the pile: update() replaces it")
        items[item.id] = item

    def update(self, item: T) -> None:
        """Replace the item that has the same id.

        Raises:
            TypeError: if the pile does not accept its class.
            NotFoundError: if there is no such item.
        """
        items = self._mutable()
        self._check(item)
        if item.id not in items:
            raise NotFoundError(f"{item!r} is not in the pile: add() adds it")
        items[item.id] = item

    def remove(self, item: IdLike) -> T:
        """Remove and return an item.

        Raises:
            NotFoundError: if it is not in the pile.
        """
        return self.pop(item)

    @overload
    def pop(self, item: IdLike) -> T: ...
    @overload
    def pop(self, item: IdLike, default: D) -> T | D: ...
    def pop(self, item: IdLike, default: Any = Unset) -> Any:
        """Remove and return an item, or return ``default`` if it is not in the pile.

        Raises:
            NotFoundError: if it is not in the pile, and there is no default.
        """
        found = self._mutable().pop(as_id(item), default)
        return _unless_missing(found, item)

    def clear(self) -> None:
        """Remove every item."""
        self._mutable().clear()

    def include(self, item: T) -> bool:
        """Add an item if it is not in the pile. Return False only if the pile refuses its class."""
        items = self._mutable()
        try:
            self._check(item)
        except TypeError:
            return False
        items.setdefault(item.id, item)
        return True

    def exclude(self, item: IdLike) -> bool:
        """Remove an item if it is in the pile. Return False only if the argument is not an id."""
        items = self._mutable()
        try:
            items.pop(as_id(item), None)
        except ValidationError:
            return False
        return True

    # --- asking

    @overload
    def get(self, item: IdLike) -> T: ...
    @overload
    def get(self, item: IdLike, default: D) -> T | D: ...
    def get(self, item: IdLike, default: Any = Unset) -> Any:
        """Return the item with an id, or ``default`` if it is not in the pile.

        Raises:
            NotFoundError: if it is not in the pile, and there is no default.
        """
        return _unless_missing(self._mapping().get(as_id(item), default), item)

    def __len__(self) -> int:
        return len(self._mapping())

    def __bool__(self) -> bool:
        return len(self) > 0

    def is_empty(self) -> bool:
        """Return True if there are no items."""
        return not self

    def __contains__(self, item: object) -> bool:
        try:
            return as_id(item) in self._mapping()
        except ValidationError:
            return False

    def __iter__(self) -> Iterator[T]:  # type: ignore[override]  # items, not pydantic's fields
        return iter(list(self._mapping().values()))

    def keys(self) -> Iterator[UUID]:
        """Iterate over a snapshot of the ids, in order."""
        return iter(list(self._mapping()))

    def items(self) -> Iterator[tuple[UUID, T]]:
        """Iterate over a snapshot of pairs of id and item, in order."""
        return iter(list(self._mapping().items()))

    @property
    def progression(self) -> Progression:
        """The ids, in order, as a new progression."""
        return Progression(order=self.keys())

    # --- selecting

    @overload
    def __getitem__(self, key: Progression | slice | Several | Callable[[T], bool]) -> Pile[T]: ...
    @overload
    def __getitem__(self, key: IdLike | int) -> T: ...
    def __getitem__(self, key: Any) -> T | Pile[T]:
        """Return one item by id or position, or a new pile of several, with the same item types.

        Several items are selected by a slice of positions, by a list or tuple of positions or ids,
        or by a progression (each id once). A function selects the items for which it returns True.

        Raises:
            NotFoundError: if an id is not in the pile.
            IndexError: if a position is out of range.
            TypeError: if the key is none of these, or mixes positions and ids.
            ValueError: if a list is empty, or a text is not an id.
        """
        if isinstance(key, int):
            return list(self._mapping().values())[key]
        if isinstance(key, slice):
            return self._like(list(self)[key])
        if isinstance(key, Progression):
            return self._like(self.get(uid) for uid in dict.fromkeys(key))
        if isinstance(key, UUID | str | Element):
            return self.get(key)
        if isinstance(key, list | tuple):
            return self._like(self._several(key))
        if callable(key):
            return self._like(item for item in self if key(item))
        raise TypeError(
            f"{type(key).__name__} does not select items: give an id, a position, a slice, "
            "a list of ids or positions, a progression, or a function"
        )

    def _several(self, keys: list[Any] | tuple[Any, ...]) -> list[T]:
        """Return the items of a list of positions, or of a list of ids."""
        if not keys:
            raise ValidationError("an empty list selects nothing: give ids or positions")
        if all(isinstance(key, int) for key in keys):
            items = list(self)
            return [items[key] for key in keys]
        if all(isinstance(key, UUID | str | Element) for key in keys):
            return [self.get(key) for key in keys]
        raise TypeError("a list selects by positions or by ids: give all of one kind")

    def filter_by_type(self, item_type: Any) -> Pile[T]:
        """Return a new pile of the items of some classes or their subclasses.

        Raises:
            TypeError: if the pile does not accept these classes.
            NotFoundError: if there is no such item.
        """
        wanted = kinds_of(item_type)
        for kind in wanted:
            is_base = any(issubclass(allowed, kind) for allowed in self.item_type or ())
            if self.strict_type or not is_base:
                check_kind(kind, self.item_type, self.strict_type)
        found = [item for item in self if isinstance(item, tuple(wanted))]
        if not found:
            raise NotFoundError(f"the pile has no {names_of(wanted)}")
        return self._like(found)

    def _like(self, items: Iterable[T]) -> Pile[T]:
        return Pile(items=items, item_type=self.item_type, strict_type=self.strict_type)

    # --- plain data and copies

    def _content(self, name: str, mode: Mode, how: dict[str, Any]) -> Any:
        return [item.to_dict(mode, **how) for item in self]

    @classmethod
    def from_dict(
        cls,
        data: Mapping[str, Any],
        meta_key: str | None = None,
        item_meta_key: str | None = None,
        item_type: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Return the pile of ``to_dict``'s result, with its items in their own classes.

        All classes of the items are found and checked before any item is created.

        Args:
            data: The result of ``to_dict``; it is not changed.
            meta_key: The key of its metadata, if not ``metadata``.
            item_meta_key: The key of the items' metadata, if not ``metadata``.
            item_type: The classes that items may have, instead of those in the data.
            **kwargs: For pydantic's ``model_validate``.

        Raises:
            TypeError: if an item has another class.
            NotFoundError: if this process has not defined an item's class.
            ExistsError: if the data contains an item twice.
        """
        how = {"item_meta_key": item_meta_key, "item_type": item_type}
        return super().from_dict(data, meta_key, **how, **kwargs)

    @classmethod
    def _from_data(cls, data: dict[str, Any], kwargs: dict[str, Any]) -> Self:
        data, kwargs = dict(data), dict(kwargs)
        items, meta_key = data.pop("items", None), kwargs.pop("item_meta_key", None)
        items = [] if items is None else list(_each(items))
        item_type = kwargs.pop("item_type", None)
        if item_type is not None:
            data["item_type"] = item_type
        pile = super()._from_data(data, kwargs)
        for item in items:
            kind = kind_of(item, meta_key) if isinstance(item, Mapping) else type(item)
            check_kind(kind, pile.item_type, pile.strict_type)
        pile._fill(
            Element.from_dict(item, meta_key) if isinstance(item, Mapping) else item
            for item in items
        )
        return pile

    def __copy__(self) -> Self:
        copied = super().__copy__()
        copied.__dict__["_items"] = dict(self._mapping())
        return copied

    def __repr__(self) -> str:
        return f"{self.class_name()}(len={len(self)})"


def _each(items: Any) -> Iterable[Any]:
    """Return one item as several; a pile counts as its items."""
    return [items] if isinstance(items, Element) and not isinstance(items, Pile) else items


def _unless_missing(found: Any, item: IdLike) -> Any:
    if found is Unset:
        raise NotFoundError(f"{as_id(item)} is not in the pile", details={"id": str(as_id(item))})
    return found
