"""Flow: items, and progressions that contain their ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any, ClassVar, Generic, Self, TypeVar
from uuid import UUID

from ...errors import ExistsError, NotFoundError, ValidationError
from ..element import Element, Mode, as_id, made_on_first_use
from .container import Container, IdLike
from .pile import Pile
from .progression import Progression

__all__ = ("Flow",)

E = TypeVar("E", bound=Element)
P = TypeVar("P", bound=Progression)

_TYPES = ("item_type", "strict_type")
"""Additional entries of plain data for items of declared types."""

_PROGRESSIONS: Mapping[str, Any] = {"item_type": Progression}
"""Arguments of the pile of progressions."""


class Flow(Container, Generic[E, P]):
    """A pile of items, and a pile of progressions with ids of these items.

    An item may be in any number of progressions, or in none. Progressions are found by their
    names, which are unique; a name may change at any time. Add and remove items through the flow:
    an item that is removed from ``flow.items`` directly stays in the progressions.

    A subclass with other storage overrides ``items`` and ``progressions``; all other methods use
    these two piles and the progressions in them.

    Args:
        items: A Pile, which is used as it is; or the items, any number or one.
        progressions: A Pile, which is used as it is; or the progressions, any number or one.
        name: The name of the flow.
        item_type: The classes that items may have, as for a Pile.
        strict_type: True to refuse subclasses of these classes.

    Raises:
        NotFoundError: if a progression contains an id that is not among the items.
        ExistsError: if two progressions have one name or id, or two items one id.
        TypeError: if an item has another class, or a progression is not a Progression.
    """

    _contained: ClassVar[tuple[str, ...]] = ("items", "progressions", *_TYPES)

    name: str | None = None

    def __init__(
        self,
        items: Pile[E] | Iterable[E] | E | None = None,
        progressions: Pile[P] | Iterable[P] | P | None = None,
        name: str | None = None,
        item_type: Any = None,
        strict_type: bool = False,
        **data: Any,
    ) -> None:
        if name is not None:
            data["name"] = name
        super().__init__(**data)
        typed = item_type is not None or strict_type
        if typed and isinstance(items, Pile):
            raise ValidationError(
                "the pile has its own item types: pass item_type to the pile instead"
            )
        if typed or items is not None:
            types = {"item_type": item_type, "strict_type": strict_type} if typed else {}
            self.__dict__["items"] = _as_pile(items, types)
        if progressions is not None:
            self.__dict__["progressions"] = _as_pile(progressions, _PROGRESSIONS)
            self._verify()

    @classmethod
    def reserved(cls) -> Mapping[str, str]:
        """Return names that a field of a subclass cannot have, each with its meaning."""
        return {**super().reserved(), **dict.fromkeys(cls._contained, "part of the flow")}

    @made_on_first_use
    def items(self) -> Pile[E]:
        """The items."""
        return Pile()

    @made_on_first_use
    def progressions(self) -> Pile[P]:
        """The progressions."""
        return Pile(**_PROGRESSIONS)

    def _verify(self) -> None:
        """Raise if a name is used twice, or a progression does not fit the items."""
        for each in self.progressions:
            _check_progression(each)
        names = Counter(each.name for each in self.progressions if each.name)
        for name, count in names.items():
            if count > 1:
                raise ExistsError(f"{count} progressions are named {name!r}: names are unique")
        for progression in self.progressions:
            self._verify_ids(progression)

    def _verify_ids(self, progression: Progression) -> None:
        missing = [str(uid) for uid in dict.fromkeys(progression) if uid not in self.items]
        if missing:
            raise NotFoundError(
                f"{progression!r} holds {missing[0]}, which is not among the items: add it first",
                details={"missing": missing},
            )

    # --- progressions

    def get_progression(self, key: IdLike) -> P:
        """Return a progression by its name, by its id, or by itself.

        Raises:
            NotFoundError: if it is not in this flow.
        """
        if isinstance(key, str):
            for each in self.progressions:
                if each.name == key:
                    return each
        try:
            return self.progressions.get(as_id(key))
        except (NotFoundError, ValidationError):
            pass
        raise NotFoundError(f"{key!r} is no progression of {self!r}")

    def add_progression(self, progression: P) -> None:
        """Add a progression.

        Raises:
            ExistsError: if its name or id is already in use.
            NotFoundError: if it contains an id that is not among the items.
            TypeError: if it is not a Progression.
        """
        _check_progression(progression)
        name = progression.name
        if name and any(each.name == name for each in self.progressions):
            raise ExistsError(f"a progression is named {name!r}: names are unique")
        self._verify_ids(progression)
        self.progressions.add(progression)

    def remove_progression(self, key: IdLike) -> P:
        """Remove and return a progression by its name, by its id, or by itself; its items stay.

        Raises:
            NotFoundError: if it is not in this flow.
        """
        return self.progressions.remove(self.get_progression(key))

    # --- items

    def add_item(self, item: E, progressions: Iterable[IdLike] | IdLike | None = None) -> None:
        """Add an item, and its id at the end of progressions: all of it, or nothing.

        Args:
            item: The item.
            progressions: One or several, each by its name, by its id, or by itself.

        Raises:
            ExistsError: if an item with this id is in the flow.
            NotFoundError: if a progression is not in this flow.
            TypeError: if the flow does not accept its class.
        """
        if progressions is None:
            progressions = ()
        elif isinstance(progressions, UUID | str | Element):
            progressions = (progressions,)
        joined = [self.get_progression(each) for each in progressions]
        self.items.add(item)
        for progression in joined:
            progression.append(item)

    def remove_item(self, item: IdLike) -> E:
        """Remove and return an item; all its occurrences are removed from the progressions.

        Raises:
            NotFoundError: if it is not in this flow.
        """
        removed = self.items.remove(item)
        for progression in self.progressions:
            while progression.exclude(removed):
                pass
        return removed

    def clear(self) -> None:
        """Remove every progression and every item."""
        self.progressions.clear()
        self.items.clear()

    # --- plain data

    def _asked_for(
        self, include: Collection[str] | None, exclude: Collection[str] | None
    ) -> list[str]:
        names = super()._asked_for(include, exclude)
        typed = self.items.item_type is not None
        return [name for name in names if typed or name not in _TYPES]

    def _content(self, name: str, mode: Mode, how: dict[str, Any]) -> Any:
        if name in _TYPES:
            return self.items.model_dump(include={name})[name]
        return [each.to_dict(mode, **how) for each in getattr(self, name)]

    @classmethod
    def _from_data(cls, data: dict[str, Any], kwargs: dict[str, Any]) -> Self:
        """Return a flow from data; the original package's nested piles are accepted too."""
        data, kwargs = dict(data), dict(kwargs)
        how = {"item_meta_key": kwargs.pop("item_meta_key", None)}
        types = {name: data.pop(name) for name in _TYPES if name in data}
        items = _as_pile(data.pop("items", None), types, **how)
        progressions = _as_pile(data.pop("progressions", None), _PROGRESSIONS, **how)
        flow = super()._from_data(data, kwargs)
        flow.__dict__.update(items=items, progressions=progressions)
        flow._verify()
        return flow

    def _repr_html_(self) -> str:
        """Return the HTML that a notebook displays: a chart of events; other items by class."""
        from ...drawing.notebook import html_of, picture_of, title_of  # late: for charts alone
        from ..event_data import EventData  # late: for charts alone
        from ..spans import counts_of, spans_of  # late: for charts alone

        title = title_of(self.class_name(), self.name)
        items: list[Any] = list(self.items)
        if not items or not all(isinstance(each, EventData) for each in items):
            return html_of(title, Counter(type(each).__name__ for each in items), None)
        return html_of(title, counts_of(items), picture_of(spans_of(items), title))

    def __repr__(self) -> str:
        named = f", name={self.name!r}" if self.name else ""
        return (
            f"{self.class_name()}(items={len(self.items)}, "
            f"progressions={len(self.progressions)}{named})"
        )


def _check_progression(value: object) -> None:
    if not isinstance(value, Progression):
        raise TypeError(f"a flow takes progressions, not {type(value).__name__}")


def _as_pile(value: Any, types: Mapping[str, Any], **how: Any) -> Pile[Any]:
    """Return an argument for one of the piles, elements or plain data, as a pile."""
    if isinstance(value, Pile):
        return value
    if not isinstance(value, Mapping):  # the original package nests the pile itself
        value = {"items": value}
    return Pile.from_dict({**value, **types}, **how)
