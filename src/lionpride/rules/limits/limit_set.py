"""The limits of one processor, and the amounts that an event takes of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from ...errors import ConfigurationError, ValidationError
from ...model.costs import REQUEST
from ...model.event_data import EventData
from ...model.finite import LARGEST
from .costs import check_bill
from .limit import Account, Limit
from .taking import Pair

__all__ = ("Asked", "Limits", "Share", "excess")

Share: TypeAlias = tuple[Account, float]
"""An account, and the amount to take from it."""

Asked: TypeAlias = tuple[str | None, Sequence[Share]]
"""The key of an event, and its shares."""


class Limits(Mapping[str, Limit]):
    """The limits of one processor, by name.

    Args:
        limits: The limits, each with a different name.

    Attributes:
        holds: True if one of them counts running events.
        pair: All of them, if they are one or two rates without keys; else None.

    Raises:
        ConfigurationError: if one is not a Limit, or two have the same name.
    """

    __slots__ = ("_by_key", "_by_name", "_each", "_silent", "_usual", "holds", "pair")

    def __init__(self, limits: Iterable[Limit]) -> None:
        self._by_name: dict[str, Limit] = {}
        if isinstance(limits, Limit | str) or not isinstance(limits, Iterable):
            raise ConfigurationError(f"limits must be a list of Limit(...), not {limits!r}")
        for limit in limits:
            if not isinstance(limit, Limit):
                raise ConfigurationError(
                    f"limits must be a list of Limit(...), not {limit!r} in it"
                )
            if limit.name in self._by_name:
                raise ConfigurationError(
                    f"two limits are named {limit.name!r}: give each a name of its own"
                )
            self._by_name[limit.name] = limit
        self._usual: dict[type[EventData], Asked | None] = {}
        self._silent: set[type[EventData]] = set()  # classes whose costs come from `request`
        self._note()

    def _note(self) -> None:
        """Note the usual cost of each limit."""
        limits = self._by_name.values()
        self.holds = any(limit.per is None for limit in limits)
        self._by_key = any(limit.per_key for limit in limits)
        self._each = [
            (
                limit.name,
                (1 if limit.per is None else 0) if limit.each is None else limit.each,
                limit,
                None if limit.per_key else limit.account(None),
            )
            for limit in limits
        ]
        self._usual.clear()
        is_usual = all(limit.each is None for limit in limits)
        is_pair = is_usual and len(limits) in (1, 2) and not (self.holds or self._by_key)
        self.pair = Pair(tuple(limits)) if is_pair else None

    def __getitem__(self, name: str) -> Limit:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def __repr__(self) -> str:
        return repr(list(self._by_name.values()))

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def adopt(self, pools: dict[str, Limit]) -> None:
        """Share the limits of the other processors of a store.

        Args:
            pools: The limits of the store by their pool; new ones are added.

        Raises:
            ConfigurationError: if a limit of the same pool has another amount or window.
        """
        for name, limit in self._by_name.items():
            first = pools.setdefault(limit.pool, limit)
            if (first.amount, first.per, first.per_key) != (limit.amount, limit.per, limit.per_key):
                raise ConfigurationError(
                    f"{limit!r}: the store counts {first!r} under that name already: give it the "
                    "same measure to share it, or a pool=... of its own"
                )
            self._by_name[name] = first
        self._note()

    def asked(self, event: EventData) -> Asked:
        """Return the amounts that an event takes of each account; none that are 0.

        If its costs do not name a limit, the amount is 0 for a rate, and 1 for a limit that counts
        running events.

        Raises:
            ValidationError: if its ``costs`` or ``key`` are invalid.
            Exception: any error of the event's own code.
        """
        kind = type(event)
        try:
            usual = self._usual[kind]
        except KeyError:
            usual = self._note_kind(kind)
        if usual is not None:
            return usual
        costs, key = event.costs, event.key if self._by_key else None
        if type(costs) is not dict or (key is not None and type(key) is not str):
            check_bill(kind, costs, key)
        found = []
        for name, otherwise, limit, account in self._each:
            amount = costs.get(name, otherwise)
            if type(amount) is not int or not 0 <= amount <= LARGEST:
                check_bill(kind, costs, key)
            if amount:
                if account is not None:
                    found.append((account, amount))
                elif key is not None:
                    found.append((limit.account(key), amount))
        return key, found

    def amounts(self, costs: Mapping[str, float], key: str | None) -> list[tuple[Limit, float]]:
        """What is taken of each limit, as ``asked`` says, for costs that make sense."""
        found = []
        for name, otherwise, limit, _ in self._each:
            amount = costs.get(name, otherwise)
            if amount and not (limit.per_key and key is None):
                found.append((limit, amount))
        return found

    def are_strange(self, costs: Mapping[str, float]) -> bool:
        """Return True if costs name limits, but none of these: most likely a typing error."""
        counted = any(otherwise or name in costs for name, otherwise, *_ in self._each)
        return bool(costs) and not counted

    def _note_kind(self, kind: type[EventData]) -> Asked | None:
        """Return the amounts that every event of a class takes; None if its events differ."""
        usual: Asked | None = None
        if kind.has_usual_costs() and (kind.key is EventData.key or not self._by_key):
            shares = [
                (account, REQUEST.get(name, otherwise))
                for name, otherwise, _, account in self._each
                if account is not None and REQUEST.get(name, otherwise)
            ]
            usual = None, shares
        elif not kind.has_own_costs():
            self._silent.add(kind)
        if self.pair is not None:
            self.pair.note_kind(kind)
        self._usual[kind] = usual
        return usual

    def check(self, event: EventData) -> None:
        """Refuse an event that can never start.

        Costs that come from its ``request`` are noted on the event, so that a store need not run
        the code of ``request``.

        Raises:
            ValidationError: if a cost exceeds its limit, or the costs are invalid.
            Exception: any error of the event's own code.
        """
        kind = type(event)
        try:
            usual = self._usual[kind]
        except KeyError:
            usual = self._note_kind(kind)
        if usual is not None:
            for each, amount in usual[1]:
                if amount > each.limit.amount:
                    raise excess(each.limit, amount)
            return
        costs, key = event.costs, event.key if self._by_key else None
        if type(costs) is not dict or (key is not None and type(key) is not str):
            check_bill(kind, costs, key)
        for name, otherwise, limit, account in self._each:
            amount = costs.get(name, otherwise)
            if type(amount) is not int or not 0 <= amount <= LARGEST:
                check_bill(kind, costs, key)
            if amount > limit.amount and (account is not None or key is not None):
                raise excess(limit, amount)
        if kind in self._silent and costs is not REQUEST:
            event.__dict__["_told"] = costs


def excess(limit: Limit, amount: float) -> ValidationError:
    """Return the error for an event that costs more than the whole amount of a limit."""
    return ValidationError(
        f"costs[{limit.name!r}] is {amount:g}, and {limit!r} can never give more than "
        f"{limit.amount:g}: split the event, or raise the limit's amount"
    )
