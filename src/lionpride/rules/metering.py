"""Metering: what an event takes of the limits, from its claim to its end, to the unit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Protocol, TypeAlias

from ..errors import ConfigurationError, OperationError, ValidationError
from ..model.costs import REQUEST
from ..model.work import Work
from .bills import check_bill
from .lifecycle import Pause
from .limits import Account, Entry, Limit

__all__ = (
    "Asked",
    "Limits",
    "Meter",
    "Refused",
    "Share",
    "end_meter",
    "excess",
    "refusal_of",
)

Share: TypeAlias = tuple[Account, float]
"""An account, and what is to be taken from it."""

Asked: TypeAlias = tuple[str | None, Sequence[Share]]
"""The key of an event, and its shares."""


class Limits(Mapping[str, Limit]):
    """The limits of one processor, by name.

    Args:
        limits: Each with a name of its own.

    Attributes:
        holds: Whether any of them counts what runs at once.

    Raises:
        ConfigurationError: for what is no Limit, or two of one name.
    """

    __slots__ = ("_by_key", "_by_name", "_each", "_usual", "holds")

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
        self._note()

    def _note(self) -> None:
        """Note what is asked of them for each event."""
        limits = self._by_name.values()
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
        self._usual.clear()

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
        self._usual[kind] = usual
        return usual

    def check(self, event: Work) -> None:
        """Refuse an event that can never start.

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
        costs, key = event.costs, event.key if self._by_key else None
        if type(costs) is not dict or (key is not None and type(key) is not str):
            check_bill(kind, costs, key)
        for name, otherwise, limit, account in self._each:
            amount = costs.get(name, otherwise)
            if type(amount) is not int or amount < 0:
                check_bill(kind, costs, key)
            if amount > limit.amount and (account is not None or key is not None):
                raise excess(limit, amount)


def excess(limit: Limit, amount: float) -> ValidationError:
    """Says that an event costs more of a limit than there can be."""
    return ValidationError(
        f"costs[{limit.name!r}] is {amount:g}, and {limit!r} can never give more than "
        f"{limit.amount:g}: split the event, or raise the limit's amount"
    )


class Source(Protocol):
    """Where a meter belongs: the limits, and the time in seconds."""

    limits: Limits
    clock: Callable[[], float]


class Meter:
    """What one claim has taken, kept with its event until it is settled.

    A rate is held from the claim to the start and stamped then, so that what waits for its
    permission is counted the whole time, and once; if it never starts, it is given back. What
    counts at once is held to the end.

    Args:
        source: Whose limits, and what time.
        key: The event's.
        shares: The accounts, and what is taken of each.
        entries: For an event that has started: of each account, what its ``take`` gave.
    """

    __slots__ = ("_entries", "_key", "_shares", "_source", "_takes")

    def __init__(
        self,
        source: Source,
        key: str | None,
        shares: Sequence[Share],
        entries: list[Entry] | None,
    ) -> None:
        self._source = source
        self._key = key
        self._shares = shares
        self._entries = entries
        self._takes: dict[str, Take] | None = None

    @property
    def refusal(self) -> Exception | None:
        """Why the event is not to be run at all; None if it is."""
        return None

    def hold(self) -> None:
        """Take, for a start that is to come."""
        for account, amount in self._shares:
            account.held += amount

    def begin(self, at: float | None = None) -> None:
        """The event starts, for which was held; now, if nothing else is said, and once."""
        if self._entries is not None:
            return
        now, entries = self._source.clock() if at is None else at, list[Entry]()
        for account, amount in self._shares:
            if account.limit.per is None:
                entries.append([])
            else:
                account.held -= amount
                entries.append(account.stamp(amount, now))
                if at is None:
                    account.ring()  # only now it is known when that will leave the window
        self._entries = entries

    def pause(self, pause: Pause) -> bool:
        """Let nothing be had of a limit for a while; False if there is none of that name."""
        limit = None if pause.limit is None else self._source.limits.get(pause.limit)
        if limit is None or (limit.per_key and self._key is None):
            return False
        limit.account(self._key).pause(self._source.clock() + pause.seconds)
        return True

    def end(self) -> None:
        """The claim is settled: let go of what is held."""
        if self._takes is not None:
            for take in self._takes.values():
                if take.account.limit.per is None:
                    take.account.let_go(take.total)
        elif self._entries is None or self._source.limits.holds:
            self._let_go()

    def _let_go(self) -> None:
        for account, amount in self._shares:
            if self._entries is None or account.limit.per is None:
                account.let_go(amount)

    def spend(self, costs: Mapping[str, float]) -> None:
        """State what the attempt has cost so far in all; limits that are not named stay as is.

        What was taken beyond it is given back, unless it has left its window by now. What goes
        beyond what was taken is taken now, whether there is so much or not.

        Raises:
            OperationError: if it has not started.
        """
        if self._entries is None:
            raise OperationError("spend() states what a running attempt costs: call it in _invoke")
        if self._takes is None:
            self._takes = {
                account.limit.name: Take(account, amount, [(entry, amount)])
                for (account, amount), entry in zip(self._shares, self._entries, strict=True)
            }
        for name, total in costs.items():
            limit = self._source.limits.get(name)
            if limit is None or (limit.per_key and self._key is None):
                continue
            if name not in self._takes:
                self._takes[name] = Take(limit.account(self._key), 0, [])
            self._takes[name].become(total, self._source.clock())


class Refused(Meter):
    """The meter of an event that can never start: it takes nothing.

    Args:
        source: Whose limits, and what time.
        refusal: Why.
    """

    __slots__ = ("_refusal",)

    def __init__(self, source: Source, refusal: Exception) -> None:
        super().__init__(source, None, (), None)
        self._refusal = refusal

    @property
    def refusal(self) -> Exception:
        return self._refusal


def refusal_of(event: Work) -> Exception | None:
    """Why a claimed event is not to be run at all; None if it is."""
    meter: Meter | None = event.__dict__.get("_meter")
    return None if meter is None else meter.refusal


def end_meter(event: Work) -> None:
    """The claim of an event is settled: let go of what it holds."""
    meter: Meter | None = event.__dict__.pop("_meter", None)
    if meter is not None:
        meter.end()


class Take:
    """What a running attempt has taken of one account, by and by."""

    __slots__ = ("_parts", "account", "total")

    def __init__(self, account: Account, total: float, parts: list[tuple[Entry, float]]) -> None:
        self.account = account
        self.total = total
        self._parts = parts

    def become(self, total: float, now: float) -> None:
        """Take more, or give back, so that it is so much in all."""
        account, more = self.account, total - self.total
        self.total = total
        if account.limit.per is None:
            account.let_go(-more)
        elif more > 0:
            account.used(now)
            self._parts.append((account.stamp(more, now), more))
        else:
            account.used(now)
            self._give_back(-more)

    def _give_back(self, amount: float) -> None:
        """Give back what was taken last."""
        while amount > 0 and self._parts:
            entry, taken = self._parts.pop()
            part = min(amount, taken)
            self.account.return_to(entry, part)
            amount -= part
            if part < taken:
                self._parts.append((entry, taken - part))
