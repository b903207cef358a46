"""Limits in a database: claims under limits, and what a running attempt changes of its usage.

An *account* is a limit by its name in the store, or the share of one key. A claim reserves all that
an event costs of every account, or does not claim it. It holds the lock of the accounts from its
first look until its commit, so what it reads there stays true.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from math import fsum, inf
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from ...errors import OperationError
from ...model.costs import REQUEST
from ...rules.limits.delay_guard import DelayGuard
from ...rules.limits.limit import Account, Limit
from ...rules.limits.limit_set import Limits, Share, excess
from ...rules.state_machine import Pause
from ..clock import boot_time
from ..contract import Claim
from ..inspector import LimitUsage
from .backend import STATES, QueueState, ReadyCandidate, ReadyRow, Reserved, Transaction
from .rows import NOT_BLOCKED

if TYPE_CHECKING:
    from .claiming import ClaimRequest

__all__ = (
    "Begin",
    "LimitedClaimed",
    "PauseRequest",
    "Reservation",
    "Reservations",
    "Spend",
    "UsageChange",
    "account_name",
    "change_usage",
    "claim_within_limits",
    "forget_accounts",
    "pause_account",
    "put_reservations",
    "read_reserved",
    "spend_reserved",
    "usage_of",
)

FINE: Final = 512
"""Parts of a window: amounts that are taken within one of them share an instant."""

AHEAD: Final = 1.0
"""Seconds by which an instant may lie ahead, as clocks differ. Beyond, a clock was set back."""

DEPTH: Final = 300
"""Candidates that may not start yet, after which a claim stops; those of blocked keys are free."""

BREADTH: Final = 50_000
"""Candidates after which a claim stops."""

SPARE, LARGEST_PAGE = 16, 3_200
"""Candidates of the first page, beside those to claim, and of the largest page. Each page is four
times as long as the last."""


# -- statements --------------------------------------------------------------------------------

_QUEUE: Final = f"""
SELECT {{now}}, q.paused_until,
    (SELECT due FROM {{ready}} WHERE queue = $2 AND due > 0 AND {NOT_BLOCKED} ORDER BY due LIMIT 1),
    (SELECT expires FROM {{ready}} WHERE queue = $2 AND expires IS NOT NULL
     ORDER BY expires LIMIT 1),
    EXISTS (SELECT 1 FROM {{parent_change}} WHERE queue = $2)
FROM {{queue}} q WHERE q.number = $2
"""
_PROMOTE: Final = """
UPDATE {ready} SET due = 0 WHERE queue = $2 AND due > 0 AND due <= (SELECT {now})
"""
_COLUMNS: Final = ", ".join(
    f"r.{each} AS {each}" for each in ("number", "due", "priority", *STATES)
)
# CROSS JOIN and LIMIT: the ready events are read in their order, and each is looked up.
_CANDIDATES: Final = f"""
SELECT {_COLUMNS}, e.event_type AS event_type, e.key AS key, e.costs AS costs
FROM {{ready}} r CROSS JOIN {{event}} e
WHERE e.number = r.number AND r.queue = $1 AND (r.expires IS NULL OR r.expires > $2)
    AND r.number <= $3 AND NOT r.number {{in_4}} AND NOT e.event_type {{in_5}}
    AND (r.priority, r.number) > ($6, $7)
"""
_IN_ORDER: Final = "ORDER BY r.priority, r.number LIMIT $8"
READY_CANDIDATES: Final = f"{_CANDIDATES} AND r.due = 0 {_IN_ORDER}"
DENIED_CANDIDATES: Final = f"""
SELECT * FROM (
    SELECT * FROM ({READY_CANDIDATES}) ready_now
    UNION ALL
    SELECT * FROM ({_CANDIDATES} AND r.due > 0 AND r.denials > 0 {_IN_ORDER}) denied
) candidates ORDER BY priority, number LIMIT $8
"""

_ACCOUNTS: Final = """
SELECT 'account', name, window_seconds, paused_until FROM {limit_account} WHERE name {in_1}
UNION ALL
SELECT 'usage', account, at, amount FROM {limit_usage} WHERE account {in_1}
UNION ALL
SELECT 'reserved', one.key, sum(CAST(one.value ->> 0 AS double precision)), 0
FROM {lease} CROSS JOIN {each_reserved} one
WHERE reserved IS NOT NULL AND one.key {in_1} GROUP BY one.key
"""
_SET_BACK: Final = "DELETE FROM {limit_usage} WHERE account = $1 AND at >= $2 RETURNING amount"
_FORGET: Final = "DELETE FROM {limit_usage} WHERE account = $1 AND at <= $2"
_WINDOW: Final = """
INSERT INTO {limit_account} (name, window_seconds, paused_until) VALUES ($1, $2, 0)
ON CONFLICT (name) DO UPDATE SET window_seconds = excluded.window_seconds
"""
_TAKE: Final = """
INSERT INTO {limit_usage} AS u (account, at, amount) VALUES ($1, $2, $3)
ON CONFLICT (account, at) DO UPDATE SET amount = u.amount + excluded.amount
"""
_TAKE_BACK: Final = """
UPDATE {limit_usage} SET amount = amount - $3 WHERE account = $1 AND at = $2
"""
_PAUSE: Final = """
INSERT INTO {limit_account} AS a (name, window_seconds, paused_until) VALUES ($1, 0, $2)
ON CONFLICT (name) DO UPDATE SET paused_until = {greatest}(a.paused_until, excluded.paused_until)
"""
_PAUSE_QUEUE: Final = """
UPDATE {queue} SET paused_until = {greatest}(paused_until, $2) WHERE number = $1
"""
_UNUSED: Final = """
paused_until < {now} - 1 AND NOT EXISTS (
    SELECT 1 FROM {limit_usage} u WHERE u.account = name AND u.at + window_seconds >= {now} - 1
)
"""
_FIND_UNUSED: Final = f"SELECT name FROM {{limit_account}} WHERE {_UNUSED}"
_DELETE_UNUSED: Final = f"""
DELETE FROM {{limit_account}} WHERE name {{in_2}} AND {_UNUSED} RETURNING name
"""
_DELETE_USAGE: Final = "DELETE FROM {limit_usage} WHERE account {in_1} AND at < $2"

_RESERVED: Final = """
SELECT reserved FROM {lease} WHERE number = $1 AND attempt = $2 {for_update}
"""
_COUNT_SPEND: Final = """
UPDATE {lease} SET spends = $3 WHERE number = $1 AND attempt = $2 AND spends < $3
RETURNING reserved
"""
_RESERVE: Final = "UPDATE {lease} SET reserved = $3 WHERE number = $1 AND attempt = $2"


# -- accounts ----------------------------------------------------------------------------------


def account_name(limit: Limit, key: str | None) -> str:
    """Return the name of an account in the store."""
    return f"{limit.pool}\x1f{key}" if limit.per_key else limit.pool


async def lock_accounts(tx: Transaction, pools: Iterable[str]) -> None:
    """Wait until no other transaction claims under these limits, and exclude others."""
    await tx.lock(*(f"account {pool}" for pool in sorted(pools)))


def usage_of(name: str, used: float, per: float | None, paused: float) -> LimitUsage:
    """Return the usage of an account, from its name in the store."""
    pool, has_key, key = name.partition("\x1f")
    return LimitUsage(pool, used, None, per, paused, key if has_key else None)


class _Stored:
    """Row of an account, with its usage.

    Attributes:
        window: The length of its window as recorded; None if the account is not recorded.
        paused_until: Nothing is available before this time.
        usage: Instants and amounts, oldest first.
        reserved: Amount that all leases reserve together.
    """

    __slots__ = ("paused_until", "reserved", "usage", "window")

    def __init__(self) -> None:
        self.window: float | None = None
        self.paused_until = 0.0
        self.usage: list[tuple[float, float]] = []
        self.reserved = 0.0


class _StoredAccount(Account):
    """An account during one claim, which holds its lock.

    Args:
        limit: The limit.
        name: Name of the account in the store.
        stored: Its row.
        now: The time.
    """

    __slots__ = ("_last", "_stored", "_taken", "at", "left", "name")

    def __init__(self, limit: Limit, name: str, stored: _Stored, now: float) -> None:
        super().__init__(limit)
        self.name = name
        self.held = stored.reserved
        self.paused = stored.paused_until
        self.left: float | None = None  # the newest instant that has left the window
        self._stored = stored
        self._taken = 0.0  # in this claim, at this instant
        self.at = now
        self._last = stored.usage[-1][0] if stored.usage else 0.0
        if limit.per is not None:
            usage = stored.usage
            counts = [one for one in usage if fsum((one[0], limit.per, -now)) > 0.0]
            if len(counts) < len(usage):
                self.left = usage[len(usage) - len(counts) - 1][0]
            stored.usage = counts
            self.stamped = fsum(amount for _, amount in counts)

    def used(self, now: float) -> float:
        return self.held if self.limit.per is None else self.stamped + self.held

    def _taken_at(self) -> Iterator[tuple[float, float]]:
        if self.limit.per is not None:
            yield from self._stored.usage
            if self._taken:
                yield self.at, self._taken

    def reserve(self, amount: float, start: bool) -> Reserved | None:
        """Take an amount; return what the lease has to reserve, or None if it counts already.

        Args:
            amount: How much.
            start: True if the event starts at once.
        """
        per = self.limit.per
        if per is None or not start:
            self.held += amount
            return Reserved(amount, per)
        self._taken += amount
        self.stamped += amount
        return None

    def give_back(self, amount: float, start: bool) -> None:
        """Undo a ``reserve``."""
        if self.limit.per is None or not start:
            self.held -= amount
        else:
            self._taken -= amount
            self.stamped -= amount

    def count_from(self, now: float) -> float:
        """Set the instant at which the amounts of this claim count, and return it."""
        if self._taken and self.limit.per is not None:
            self.at = max(self.at, _instant(self.limit.per, now, self._last))
        return self.at

    @property
    def is_recorded(self) -> bool:
        """True if the tables have the account, with its window."""
        return self._stored.window == self.limit.per

    @property
    def taken(self) -> list[tuple[str, float, float]]:
        """The usage to record: account, instant, amount."""
        return [(self.name, self.at, self._taken)] if self._taken > 0 else []


def _instant(per: float, at: float, last: float) -> float:
    """Return the instant at which an amount counts that is taken at a time.

    If amounts follow each other closely, it is the later edge of a small part of the window. It is
    never earlier than the last instant.

    Args:
        per: Length of the window in seconds.
        at: The time.
        last: The last instant at which an amount was taken.
    """
    if at <= last:
        return last
    return at + per / FINE if at - last < per / FINE else at


class _Accounts:
    """The accounts that one claim needs.

    Args:
        tx: The transaction, which has locked them.
        limits: Their limits.
    """

    def __init__(self, tx: Transaction, limits: Limits) -> None:
        self._tx = tx
        self.limits = limits
        self._stored: dict[str, _Stored] = {}
        self._open: dict[str, _StoredAccount] = {}
        self.now = 0.0

    def __iter__(self) -> Iterator[_StoredAccount]:
        return iter(self._open.values())

    def account(self, limit: Limit, key: str | None) -> _StoredAccount:
        """Return an account, which was loaded before."""
        name = account_name(limit, key)
        account = self._open.get(name)
        if account is None:
            stored = self._stored[name]
            account = self._open[name] = _StoredAccount(limit, name, stored, self.now)
        return account

    async def load(self, names: Iterable[str]) -> None:
        """Read accounts that were not read before."""
        wanted = [name for name in dict.fromkeys(names) if name not in self._stored]
        if not wanted:
            return
        await self._read(wanted)
        if self.now:
            await self.set_back(wanted)

    async def load_for(self, candidates: Sequence[ReadyCandidate]) -> None:
        """Read the accounts that events need."""
        await self.load(
            account_name(limit, one.key)
            for one in candidates
            for limit, _ in self.limits.amounts(_costs(one.costs), one.key)
        )

    async def _read(self, names: Sequence[str]) -> None:
        self._stored |= {name: _Stored() for name in names}
        for what, name, one, other in await self._tx.rows(_ACCOUNTS, list(names)):
            stored = self._stored[name]
            if what == "account":
                stored.window, stored.paused_until = one, other
            elif what == "usage":
                stored.usage.append((one, other))
            else:
                stored.reserved = one
        for name in names:
            self._stored[name].usage.sort()

    async def set_back(self, names: Iterable[str]) -> None:
        """Move usage of the future to now: the clock was set back since."""
        late = [
            name
            for name in names
            if (usage := self._stored[name].usage)
            and usage[-1][0] > self.now + AHEAD + (self._stored[name].window or 0.0) / FINE
        ]
        for name in late:
            gone = await self._tx.rows(_SET_BACK, name, self.now)
            await self._tx.many(_TAKE, [(name, self.now, fsum(amount for (amount,) in gone))])
        if late:
            await self._read(late)

    async def set_time(self, now: float) -> None:
        """Note the time, and look at what was read before."""
        self.now = now
        await self.set_back(tuple(self._stored))

    async def write(self) -> None:
        """Record what was taken, and delete what has left its window."""
        gone = [(one.name, one.left) for one in self if one.left is not None]
        if gone:
            await self._tx.many(_FORGET, sorted(gone))
        taken = sorted(row for one in self for row in one.taken)
        new = [one for one in self if one.taken and not one.is_recorded]
        if new:
            windows = [(one.name, float(one.limit.per or 0.0)) for one in new]
            await self._tx.many(_WINDOW, sorted(windows))
        if taken:
            await self._tx.many(_TAKE, taken)


_costs_of: Final = lru_cache(maxsize=1024)(json.loads)
"""Costs of their text; many events cost the same."""


def _costs(text: str | None) -> Mapping[str, float]:
    return REQUEST if text is None else _costs_of(text)


# -- claims under limits -----------------------------------------------------------------------


class Part(NamedTuple):
    """Amount of a limit for an attempt: name, instant (None if its lease reserves it), amount."""

    name: str
    at: float | None
    amount: float


@dataclass(slots=True)
class Reservations:
    """Amounts of limits that a claim reserved.

    Attributes:
        parts: Amounts of each event, by number.
        keys: The key of each.
        refusals: Why an event can never start; it took nothing.
        wait: Seconds until more may be available for blocked events; None if unknown.
        is_cut: True if there may be more to claim at once.
        is_blocked: True if events may not start yet.
    """

    parts: dict[int, list[Part]] = field(default_factory=dict)
    keys: dict[int, str | None] = field(default_factory=dict)
    refusals: dict[int, Exception] = field(default_factory=dict)
    wait: float | None = None
    is_cut: bool = False
    is_blocked: bool = False


class LimitedClaimed(NamedTuple):
    """Result of a claim under limits.

    Attributes:
        rows: The events, each as it was in ``ready``.
        queue: The state of the queue at the claim.
        reservations: The amounts that they reserved.
        unknown: Event types that were found and that this process does not run.
        asked: A value of ``boot_time()`` before the time from which the leases count.
    """

    rows: Sequence[ReadyRow]
    queue: QueueState
    reservations: Reservations
    unknown: frozenset[str]
    asked: float

    @property
    def wait(self) -> float | None:
        """Seconds until another claim may find something; None if unknown."""
        queue = self.queue
        if queue.is_paused:
            return max(1e-9, queue.paused_until - queue.now)
        if self.reservations.is_cut:
            return 0.0
        # A timer of an event loop cannot tell shorter times from now.
        due = None if queue.due is None else max(1e-9, queue.due - queue.now)
        waits = [each for each in (self.reservations.wait, due) if each is not None]
        return min(waits, default=None)


async def claim_within_limits(tx: Transaction, request: ClaimRequest) -> LimitedClaimed:
    """Lease the next events whose costs fit within the limits.

    The accounts are locked first. The time for what counts is read after the events are leased:
    usage is recorded at that time or later, so no window ever contains more than was decided.
    An event that another worker has just claimed reserves nothing.

    A repeat claims other events. Events of a lost commit are leased to a caller that does not know
    of them, until it reaps.

    Round trips on PostgreSQL: 8 to 9 (lock, accounts, queue, candidates, claim, time, usage,
    counters), one for each further page of candidates, and two for each page with new accounts.
    """
    limits = request.limits
    assert limits is not None, "a claim without limits has its own statement"
    await lock_accounts(tx, {limit.pool for limit in limits.values()})
    accounts = _Accounts(tx, limits)
    await accounts.load(limit.pool for limit in limits.values() if not limit.per_key)
    asked = boot_time()
    queue = await _open_queue(tx)
    await accounts.set_time(queue.now)
    selection = _Selection(request, accounts)
    rows: list[ReadyRow] = []
    if not queue.is_paused:
        await _choose(tx, request, accounts, selection)
    if selection.chosen:
        rows = await tx.claim(
            selection.chosen,
            request.worker,
            request.seconds,
            start=request.start,
            reserved=selection.reserved(),
        )
        ((now,),) = await tx.rows("SELECT {now}", tx.time)
        selection.keep({row.number for row in rows}, now)
    await accounts.write()
    return LimitedClaimed(
        rows, queue, selection.reservations(), frozenset(selection.unknown), asked
    )


async def _open_queue(tx: Transaction) -> QueueState:
    """Return the state of the queue, after scheduled events that are due were promoted."""
    queue = await queue_state(tx)
    if queue.due is not None and queue.due <= queue.now and not queue.is_paused:
        await tx.rows(_PROMOTE, tx.time, tx.queue)
        queue = await queue_state(tx)
    return queue


async def queue_state(tx: Transaction) -> QueueState:
    """Return the state of the queue."""
    (row,) = await tx.rows(_QUEUE, tx.time, tx.queue)
    return QueueState(*row)


async def _choose(
    tx: Transaction, request: ClaimRequest, accounts: _Accounts, selection: _Selection
) -> None:
    """Consider candidates page by page, until the selection needs no more."""
    after, size = (-inf, 0), request.size + SPARE
    while True:
        page = await candidates(tx, request, accounts.now, after, size)
        await accounts.load_for(page)
        if not all(map(selection.consider, page)) or len(page) < size:
            return
        after = page[-1].ready.priority, page[-1].ready.number
        size = min(4 * size, LARGEST_PAGE)


async def candidates(
    tx: Transaction, request: ClaimRequest, now: float, after: tuple[float, int], size: int
) -> list[ReadyCandidate]:
    """Return the next ready events in order of priority and number.

    Args:
        tx: The transaction.
        request: Which events.
        now: Events that have expired by then are left out.
        after: Priority and number of the last event that was read.
        size: Maximum number.
    """
    last = 2**62 if request.until is None else request.until
    found = await tx.rows(
        DENIED_CANDIDATES if request.denied else READY_CANDIDATES,
        tx.queue,
        now,
        last,
        list(request.skip),
        list(request.excluded),
        *after,
        size,
    )
    return [
        ReadyCandidate(ReadyRow(number, due, priority, tuple(state)), event_type, key, costs)
        for number, due, priority, *state, event_type, key, costs in found
    ]


class _Selection:
    """Chooses among candidates, in order, those that may start within the limits.

    Args:
        request: The request.
        accounts: The accounts.
    """

    def __init__(self, request: ClaimRequest, accounts: _Accounts) -> None:
        self._request = request
        self._accounts = accounts
        self._result = Reservations()
        self.chosen: list[ReadyRow] = []
        self.unknown: set[str] = set()
        self._reserved: dict[int, dict[str, Reserved]] = {}
        self._taken: dict[int, Sequence[Share]] = {}
        self._shares: dict[tuple[str | None, str | None], Sequence[Share]] = {}
        self._guards: list[DelayGuard] = []
        self._guarded: set[str] = set()
        self._closed: set[str | None] = set()  # keys that wait for their own share
        self._looked = self._blocked = 0
        self._at_best = inf

    def consider(self, one: ReadyCandidate) -> bool:
        """Choose the next candidate if it may start now; return False to stop."""
        self._looked += 1
        is_full = len(self.chosen) == self._request.size
        if is_full or self._blocked == DEPTH or self._looked == BREADTH:
            self._result.is_cut = is_full
            return False
        if one.key in self._closed:
            return True
        if not self._request.runs(one.event_type):
            self.unknown.add(one.event_type)
            return True
        number, now = one.ready.number, self._accounts.now
        shares = self._shares_of(one.key, one.costs)
        over = next((each for each in shares if each[1] > each[0].limit.amount), None)
        if over is not None:
            self._result.refusals[number] = excess(over[0].limit, over[1])
            shares = ()
        elif (at := self._may_start_at(one.key, shares)) > now:
            self._at_best = min(self._at_best, at)
            self._blocked += 1
            return True
        self.chosen.append(one.ready)
        self._result.keys[number] = one.key
        self._take(number, shares)
        return True

    def reserved(self) -> dict[int, str]:
        """Return what the leases reserve, as JSON, by number."""
        return {number: _as_json(one) for number, one in self._reserved.items()}

    def keep(self, numbers: Collection[int], now: float) -> None:
        """Give back what was reserved for events that could not be claimed.

        Args:
            numbers: The events that could be claimed.
            now: The time from which the usage of the others counts.
        """
        for number in self._taken.keys() - numbers:
            for account, amount in self._taken.pop(number):
                assert isinstance(account, _StoredAccount), "every share is of the tables"
                account.give_back(amount, self._request.start)
            self._result.is_cut = True  # another event may take its place
            self._result.refusals.pop(number, None)
        for account in self._accounts:
            account.count_from(now)

    def reservations(self) -> Reservations:
        """Return what the claimed events reserved."""
        result = self._result
        for number, shares in self._taken.items():
            result.parts[number] = [self._part(account, amount) for account, amount in shares]
        result.is_blocked = self._blocked > 0
        if self._at_best < inf:
            result.wait = max(1e-9, self._at_best - self._accounts.now)
        return result

    def _part(self, account: Account, amount: float) -> Part:
        assert isinstance(account, _StoredAccount), "every share is of the tables"
        counts = account.limit.per is not None and self._request.start
        return Part(account.limit.name, account.at if counts else None, amount)

    def _may_start_at(self, key: str | None, shares: Sequence[Share]) -> float:
        """Return when an event may start; inf if that is unknown or another event goes first."""
        at, account, now = self._accounts.now, None, self._accounts.now
        for each, amount in shares:
            if (free_at := each.free_at(amount, now)) > at:
                at, account = free_at, each
        is_allowed = all(guard.allows(shares, now) for guard in self._guards)
        if account is None:
            return at if is_allowed else inf
        assert isinstance(account, _StoredAccount), "every share is of the tables"
        if account.limit.per_key:
            self._closed.add(key)
        elif account.name not in self._guarded:
            self._guarded.add(account.name)
            self._guards.append(DelayGuard(shares, at, now))
            return at
        return at if is_allowed else inf

    def _shares_of(self, key: str | None, costs: str | None) -> Sequence[Share]:
        shares = self._shares.get((key, costs))
        if shares is None:
            amounts = self._accounts.limits.amounts(_costs(costs), key)
            shares = [(self._accounts.account(limit, key), amount) for limit, amount in amounts]
            self._shares[key, costs] = shares
        return shares

    def _take(self, number: int, shares: Sequence[Share]) -> None:
        self._taken[number] = shares
        for account, amount in shares:
            assert isinstance(account, _StoredAccount), "every share is of the tables"
            reserved = account.reserve(amount, self._request.start)
            if reserved is not None:
                self._reserved.setdefault(number, {})[account.name] = reserved
        for guard in self._guards:
            guard.note(shares, self._accounts.now)


# -- what a running attempt changes ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Begin:
    """An event starts: what its lease reserved for the start counts as taken from now on."""

    number: int
    attempt: int
    at: float


@dataclass(frozen=True, slots=True)
class Spend:
    """The true costs of an attempt.

    Attributes:
        nth: The number of this change among those of the attempt, from 1.
        back: Amounts to give back: account, instant at which it was taken, amount.
        more: Additional amounts: account, length of its window, instant, amount.
        reserved: Amounts to reserve until the end, by account.
    """

    number: int
    attempt: int
    nth: int
    back: Sequence[tuple[str, float, float]]
    more: Sequence[tuple[str, float, float, float]]
    reserved: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class PauseRequest:
    """A service said "too many": an account pauses; without one, the queue.

    Attributes:
        until: Nothing is claimed before this time.
    """

    number: int
    attempt: int
    account: str | None
    until: float


UsageChange: TypeAlias = Begin | Spend | PauseRequest
"""A change that an attempt makes before it is settled."""


async def change_usage(tx: Transaction, change: UsageChange) -> None:
    """Apply what a running attempt changes; nothing if it has lost its lease.

    A repeat changes nothing more: a start finds nothing reserved for it, the changes of costs are
    numbered, and a pause is never shortened.

    Round trips on PostgreSQL: 2 to 6.
    """
    lease = change.number, change.attempt
    if isinstance(change, Spend):
        found = await tx.rows(_COUNT_SPEND, *lease, change.nth)
    else:
        found = await tx.rows(_RESERVED, *lease)
    if not found:
        return
    reserved = read_reserved(found[0][0])
    match change:
        case Begin():
            await spend_reserved(tx, reserved, change.at)
            kept = {name: one for name, one in reserved.items() if one.per is None}
            if len(kept) < len(reserved):
                await tx.rows(_RESERVE, *lease, _as_json(kept) or None)
        case Spend():
            await _spend(tx, change, reserved)
        case PauseRequest(account=None):
            await tx.rows(_PAUSE_QUEUE, tx.queue, change.until)
        case PauseRequest(account=str(name)):
            await pause_account(tx, name, change.until)


async def _spend(tx: Transaction, change: Spend, reserved: dict[str, Reserved]) -> None:
    if change.back:
        await tx.many(_TAKE_BACK, sorted(change.back))
    await _take(tx, change.more)
    if change.reserved:
        reserved |= {name: Reserved(amount, None) for name, amount in change.reserved.items()}
        kept = {name: one for name, one in reserved.items() if one.amount}
        await tx.rows(_RESERVE, change.number, change.attempt, _as_json(kept) or None)


async def _take(tx: Transaction, usage: Sequence[tuple[str, float, float, float]]) -> None:
    """Record usage: account, length of its window, when, amount."""
    if usage:
        await tx.many(_WINDOW, sorted({(name, float(per)) for name, per, _, _ in usage}))
        await tx.many(_TAKE, sorted((name, at, amount) for name, _, at, amount in usage))


async def spend_reserved(tx: Transaction, reserved: Mapping[str, Reserved], at: float) -> None:
    """Count as taken what was reserved for a start: the event has started, or may have."""
    usage = [(name, one.per, at, one.amount) for name, one in reserved.items() if one.per]
    await _take(tx, usage)


async def pause_account(tx: Transaction, name: str, until: float) -> None:
    """Make nothing of an account available before a time; a later time stays."""
    await tx.rows(_PAUSE, name, until)


async def forget_accounts(tx: Transaction) -> None:
    """Delete accounts of which nothing counts any more. A repeat deletes nothing more.

    Round trips on PostgreSQL: 1; 4 if there are any.
    """
    names = [name for (name,) in await tx.rows(_FIND_UNUSED, tx.time)]
    if names:
        await lock_accounts(tx, {name.partition("\x1f")[0] for name in names})
        ((now,),) = await tx.rows("SELECT {now}", tx.time)
        gone = [name for (name,) in await tx.rows(_DELETE_UNUSED, tx.time, names)]
        # An attempt may have used the account since: its usage stays.
        await tx.rows(_DELETE_USAGE, gone, now - 1)


def read_reserved(text: str | None) -> dict[str, Reserved]:
    """Return what a lease reserves, from its column."""
    return {name: Reserved(*one) for name, one in json.loads(text or "{}").items()}


def _as_json(reserved: Mapping[str, Reserved]) -> str:
    """Return the column of a lease that reserves amounts; empty if it reserves nothing."""
    return json.dumps(reserved, separators=(",", ":")) if reserved else ""


# -- the claim of one attempt ------------------------------------------------------------------


def put_reservations(
    claims: Sequence[Claim],
    limits: Limits,
    reservations: Reservations,
    apply: Callable[[UsageChange], object],
    clock: Callable[[], float],
) -> None:
    """Put a ``Reservation`` on each event that was claimed under limits.

    Args:
        claims: The claims.
        limits: The limits.
        reservations: The amounts of each.
        apply, clock: See ``Reservation``.
    """
    for event, attempt in claims:
        number = event.__dict__["_arrival"]
        event.__dict__["_meter"] = Reservation(
            apply,
            clock,
            limits,
            (number, attempt, reservations.keys[number]),
            reservations.parts[number],
            reservations.refusals.get(number),
        )


class Reservation:
    """Amounts of limits of one attempt, kept with its event until the attempt is settled.

    Args:
        apply: Applies a change in the store.
        clock: The time.
        limits: The limits.
        claim: The number of the event, its attempt number, and its key.
        parts: Its amounts.
        refusal: Why the event can never start; None if it can.
    """

    __slots__ = (
        "_apply",
        "_attempt",
        "_clock",
        "_key",
        "_limits",
        "_number",
        "_parts",
        "_spends",
        "refusal",
    )

    def __init__(
        self,
        apply: Callable[[UsageChange], object],
        clock: Callable[[], float],
        limits: Limits,
        claim: tuple[int, int, str | None],
        parts: list[Part],
        refusal: Exception | None = None,
    ) -> None:
        self._apply = apply
        self._clock = clock
        self._limits = limits
        self._number, self._attempt, self._key = claim
        self._parts = parts
        self._spends = 0
        self.refusal = refusal

    def _waits_for_start(self, part: Part) -> bool:
        return part.at is None and self._limits[part.name].per is not None

    def begin(self) -> None:
        """Note that the event starts."""
        if any(map(self._waits_for_start, self._parts)):
            at = self._clock()
            self._parts = [
                one._replace(at=at) if self._waits_for_start(one) else one for one in self._parts
            ]
            self._apply(Begin(self._number, self._attempt, at))

    def end(self) -> None:
        """Note that the attempt is settled; what it reserved went with its lease."""

    def pool(self, pause: Pause) -> str | None:
        """Return the account that is to pause; None for the whole queue."""
        limit = None if pause.limit is None else self._limits.get(pause.limit)
        if limit is None or (limit.per_key and self._key is None):
            return None
        return account_name(limit, self._key)

    def spend(self, costs: Mapping[str, float]) -> None:
        """Record the true costs with the next commit; see ``rules.meters.Meter.spend``.

        Raises:
            OperationError: if the attempt has not started.
        """
        if any(map(self._waits_for_start, self._parts)):
            raise OperationError(
                "spend() states the costs of a running attempt: call it in _invoke"
            )
        back: list[tuple[str, float, float]] = []
        more: list[tuple[str, float, float, float]] = []
        reserved: dict[str, float] = {}
        for name, total in costs.items():
            limit = self._limits.get(name)
            if limit is None or (limit.per_key and self._key is None):
                continue
            account = account_name(limit, self._key)
            taken = sum(one.amount for one in self._parts if one.name == name)
            if limit.per is None:
                reserved[account] = total
                self._parts = [one for one in self._parts if one.name != name]
                self._parts.append(Part(name, None, total))
            elif total > taken:
                at = self._clock()
                more.append((account, limit.per, at, total - taken))
                self._parts.append(Part(name, at, total - taken))
            elif total < taken:
                back += [(account, at, part) for at, part in self._less(name, taken - total)]
        self._spends += 1
        if back or more or reserved:
            self._apply(Spend(self._number, self._attempt, self._spends, back, more, reserved))

    def give_back(self) -> None:
        """Give back all that was taken for an attempt that is not made; the lease has the rest."""
        limits, key = self._limits, self._key
        back = [
            (account_name(limits[one.name], key), one.at, one.amount)
            for one in self._parts
            if one.at is not None
        ]
        if back:
            self._spends += 1
            self._apply(Spend(self._number, self._attempt, self._spends, back, [], {}))

    def _less(self, name: str, amount: float) -> list[tuple[float, float]]:
        """Take an amount out of what was taken last; return when that was, and how much."""
        back = []
        for at in range(len(self._parts) - 1, -1, -1):
            one = self._parts[at]
            if amount > 0 and one.name == name and one.at is not None:
                part = min(amount, one.amount)
                self._parts[at] = one._replace(amount=one.amount - part)
                back.append((one.at, part))
                amount -= part
        return back
