"""Metering: the limits of one processor, and what an event takes of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import TypeAlias

from ..errors import ConfigurationError, ValidationError
from ..model.costs import REQUEST
from ..model.work import Work
from .bills import check_bill
from .limits import Account, Limit

__all__ = (
    "Asked",
    "Bill",
    "Limits",
    "Share",
    "excess",
)

Share: TypeAlias = tuple[Account, float]
"""An account, and what is to be taken from it."""

Asked: TypeAlias = tuple[str | None, Sequence[Share]]
"""The key of an event, and its shares."""


Bill: TypeAlias = tuple[float, ...]
"""What an event costs of each limit, in their order; and at its end, the number of the Limits.

Numbers alone, since the garbage collector lets go of a tuple of those at once: many may wait.
"""

_number = count()


class Limits(Mapping[str, Limit]):
    """The limits of one processor, by name.

    Args:
        limits: Each with a name of its own.

    Attributes:
        holds: Whether any of them counts what runs at once.
        number: Tells them from all others.
        row: The account of each, in order, if all are rates and have no keys; else None.
        bills: Of classes whose events all cost the same, how much, once it has been asked for.

    Raises:
        ConfigurationError: for what is no Limit, or two of one name.
    """

    __slots__ = (
        "_by_key",
        "_by_name",
        "_each",
        "_limits",
        "_usual",
        "bills",
        "holds",
        "number",
        "row",
    )

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
        self._usual: dict[type[Work], Asked | None] = {}
        self.number = next(_number)
        self.bills: dict[type[Work], Bill] = {}
        self._note()

    def _note(self) -> None:
        """Note what is asked of them for each event."""
        limits = self._limits = list(self._by_name.values())
        self.holds = any(limit.per is None for limit in limits)
        self._by_key = any(limit.per_key for limit in limits)
        self._each = [
            (
                limit.name,
                1 if limit.per is None else 0,
                limit,
                None if limit.per_key else limit.account(None),
            )
            for limit in limits
        ]
        accounts = [account for *_, account in self._each if account is not None]
        is_simple = not self.holds and len(accounts) == len(self._each)
        self.row = accounts if is_simple else None
        self._usual.clear()
        self.bills.clear()

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
        """Count together with the limits of a store's other processors.

        Args:
            pools: The limits of the store by their pool; new ones are added.

        Raises:
            ConfigurationError: if one of the same pool is of another measure.
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

    def asked(self, event: Work) -> Asked:
        """What an event takes of each account; nothing where it takes none.

        What a limit in a time is not named is 0; of one that counts what runs at once it is 1.

        Raises:
            ValidationError: names what makes no sense in its ``costs`` or ``key``.
            Exception: whatever its own code raises.
        """
        kind = type(event)
        try:
            usual = self._usual[kind]
        except KeyError:
            usual = self._note_kind(kind)
        if usual is not None:
            return usual
        bill: Bill | None = event.__dict__.get("_bill")
        if bill is not None and bill[-1] == self.number:
            return None, self.shares_of(bill)
        costs, key = event.costs, event.key if self._by_key else None
        if type(costs) is not dict or (key is not None and type(key) is not str):
            check_bill(kind, costs, key)
        found = []
        for name, otherwise, limit, account in self._each:
            amount = costs.get(name, otherwise)
            if type(amount) is not int or amount < 0:
                check_bill(kind, costs, key)
            if amount:
                if account is not None:
                    found.append((account, amount))
                elif key is not None:
                    found.append((limit.account(key), amount))
        return key, found

    def shares_of(self, bill: Bill) -> list[Share]:
        """What is taken of which account, for a bill of theirs."""
        return [each for each in zip(self.row or (), bill, strict=False) if each[1]]

    def amounts(self, costs: Mapping[str, float], key: str | None) -> list[tuple[Limit, float]]:
        """What is taken of each limit, as ``asked`` says, for costs that make sense."""
        found = []
        for name, otherwise, limit, _ in self._each:
            amount = costs.get(name, otherwise)
            if amount and not (limit.per_key and key is None):
                found.append((limit, amount))
        return found

    def _note_kind(self, kind: type[Work]) -> Asked | None:
        """What every event of a class asks for; None if each says so itself."""
        usual: Asked | None = None
        if kind.has_usual_costs() and (kind.key is Work.key or not self._by_key):
            shares = [
                (account, REQUEST.get(name, otherwise))
                for name, otherwise, _, account in self._each
                if account is not None and REQUEST.get(name, otherwise)
            ]
            usual = None, shares
            if self.row is not None:
                self.bills[kind] = *(REQUEST.get(name, 0) for name in self), self.number
        self._usual[kind] = usual
        return usual

    def check(self, event: Work) -> None:
        """Refuse an event that can never start; else note its costs, if they are its own.

        They need not be asked for again then when it is claimed for the first time.

        Raises:
            ValidationError: names the cost and the limit; or what makes no sense in its costs.
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
        if self.row is not None:
            event.__dict__["_bill"] = self._bill_of(event)
            return
        costs, key = event.costs, event.key if self._by_key else None
        if type(costs) is not dict or (key is not None and type(key) is not str):
            check_bill(kind, costs, key)
        for name, otherwise, limit, account in self._each:
            amount = costs.get(name, otherwise)
            if type(amount) is not int or amount < 0:
                check_bill(kind, costs, key)
            if amount > limit.amount and (account is not None or key is not None):
                raise excess(limit, amount)

    def _bill_of(self, event: Work) -> Bill:
        """What an event costs of each, where all are rates without keys; as ``check``."""
        costs = event.costs
        if type(costs) is not dict:
            check_bill(type(event), costs, None)
        amounts = list[float]()
        for limit in self._limits:
            amount = costs.get(limit.name, 0)
            if type(amount) is not int or not 0 <= amount <= limit.amount:
                check_bill(type(event), costs, None)
                if amount > limit.amount:
                    raise excess(limit, amount)
            amounts.append(amount)
        return *amounts, self.number


def excess(limit: Limit, amount: float) -> ValidationError:
    """Says that an event costs more of a limit than there can be."""
    return ValidationError(
        f"costs[{limit.name!r}] is {amount:g}, and {limit!r} can never give more than "
        f"{limit.amount:g}: split the event, or raise the limit's amount"
    )
