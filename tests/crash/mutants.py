"""Stores that are spoilt on purpose: the crash tests have to notice each."""

import asyncio
from pathlib import Path
from typing import Any

from crash.deeds import Deed, Doer

from lionpride.stores.contract import Settled
from lionpride.stores.postgres import hot_complete, transaction
from lionpride.stores.sql import continuing, leases, resolving, store
from lionpride.stores.sql.appending import AppendRequest
from lionpride.stores.sql.heartbeat import Heartbeat
from lionpride.stores.sql.runnable import RunnableEvents
from lionpride.stores.sql.seen_heartbeats import SeenHeartbeats
from lionpride.stores.sqlite import opened
from lionpride.stores.sqlite import transaction as sqlite_transaction
from lionpride.stores.sqlite.rows import Rows
from lionpride.stores.sqlite.transaction import SqliteTransaction


def guard_by_id() -> None:
    """A settle ends the lease of its event, whoever has it by now."""
    guard = " AND l.attempt = given.attempt"

    def spoilt(text: str) -> str:
        assert guard in text
        return text.replace(guard, "")

    transaction._SETTLE = spoilt(transaction._SETTLE)  # type: ignore[misc]
    hot_complete._COMPLETE = spoilt(hot_complete._COMPLETE)  # type: ignore[misc]
    end_leases = Rows.end_leases

    def of_today(self: Rows, number: int, attempt: int) -> int:
        query = "SELECT attempt FROM lionpride_lease WHERE number = ?"
        return self._db.execute(query, (number,)).get or attempt

    def spoilt_end(self: Rows, claims: Any) -> None:
        end_leases(self, [(number, of_today(self, number, attempt)) for number, attempt in claims])

    Rows.end_leases = spoilt_end  # type: ignore[method-assign]
    settle = SqliteTransaction.settle

    async def spoilt_settle(self: Any, settlings: Any) -> Any:
        asked = {(one[0], of_today(self._rows, *one[:2])): one for one in settlings}
        done = await settle(self, [(*token, *one[2:]) for token, one in asked.items()])
        return [asked[token][:2] for token in done]

    SqliteTransaction.settle = spoilt_settle  # type: ignore[method-assign]


def forgets_cancels() -> None:
    """The transaction that ends a lease does not see that its cancel was answered."""
    check = " AND NOT (l.cancel_requested AND given.status = 'pending')"
    settle = " ".join(transaction._SETTLE.split())
    assert check in settle
    transaction._SETTLE = settle.replace(check, "")  # type: ignore[misc]
    leases.state_after_cancel = lambda state: ("pending", state)  # type: ignore[attr-defined]
    ended = sqlite_transaction._END_LEASES
    assert "(cancel_requested AND" in ended
    sqlite_transaction._END_LEASES = ended.replace(  # type: ignore[misc]
        "(cancel_requested AND", "(false AND"
    )


def no_pulse() -> None:
    """Nobody renews the leases."""
    Heartbeat.renew_for = lambda self, workers: None  # type: ignore[method-assign]


def no_age() -> None:
    """A claim is started however old it is."""
    Heartbeat.holds = lambda self, until: True  # type: ignore[method-assign]


def starts_later() -> None:
    """The event loop goes on between the check of a claim and the code of its event."""
    invoke = Deed._invoke

    async def spoilt(self: Deed) -> Any:
        await asyncio.sleep(0)
        return await invoke(self)

    Deed._invoke = spoilt  # type: ignore[method-assign]


def keeps_late_claims() -> None:
    """A reap leaves the claims that were committed after their connection had been cut."""
    leases._OWNED += " AND false"  # type: ignore[misc]


def mortal_pulse() -> None:
    """The thread of the heartbeat ends at the first error, and is not started again."""
    Heartbeat._try = lambda self, work: work()  # type: ignore[method-assign,assignment]
    Heartbeat.watch = lambda self: None  # type: ignore[method-assign]


def fail_unreadable() -> None:
    """An event that cannot be built is marked as FAILED."""
    RunnableEvents.refuse = lambda self, one, kept, error: self._fail(one, error)  # type: ignore[method-assign]


def dead_or_alive() -> None:
    """Everybody is taken for dead."""
    assert callable(leases.is_dead)
    leases.is_dead = lambda *process: True


def early_word() -> None:
    """Who appends is told before the commit."""
    append, append_many = Doer.append, Doer.append_many

    async def spoilt(self: Doer, event: Any) -> Any:
        self.early = asyncio.ensure_future(append(self, event))  # type: ignore[attr-defined]
        return event

    async def spoilt_many(self: Doer, events: Any, **how: Any) -> Any:
        under_way = append_many(self, events, **how)
        self.early = asyncio.ensure_future(under_way)  # type: ignore[attr-defined]
        return events

    Doer.append, Doer.append_many = spoilt, spoilt_many  # type: ignore[assignment]


def drop_locks() -> None:
    """A store opens and closes its file beside SQLite, which drops the locks of this process."""
    open_file = opened.open_file

    def spoilt(path: Path, **how: Any) -> Any:
        path.open("ab").close()
        return open_file(path, **how)

    opened.open_file = spoilt


def trust_the_clock() -> None:
    """A lease ends when the wall clock says so, though its worker gives signs of life."""
    SeenHeartbeats.is_recent = lambda self, worker, until: False  # type: ignore[method-assign]


def forgets_children() -> None:
    """The end of a parent is noted, and its children do not learn of it."""

    async def ended(*_: Any) -> tuple[list[Any], bool]:
        return [], False

    resolving._ended = ended  # type: ignore[assignment]


def releases_early() -> None:
    """A child is released as soon as one of its parents has ended."""
    count_met = resolving.count_met

    async def spoilt(tx: Any, children: Any, by: int = 1) -> list[int]:
        children = sorted(set(children))
        await count_met(tx, children, by)
        return children

    resolving.count_met = spoilt


def runs_after_any_end() -> None:
    """A child is released however its parents have ended."""
    resolving._Parent.meets = lambda self, when: True  # type: ignore[method-assign]


def resolves_what_it_keeps() -> None:
    """The changes of parents are deleted in one transaction, and resolved in the next."""
    resolve, kept = resolving.resolve, list[Any]()

    async def spoilt(tx: Any) -> Any:
        if not kept:
            kept.extend(await tx.rows("SELECT parent, queue FROM {parent_change}"))
            await tx.rows("DELETE FROM {parent_change} WHERE queue > $1", 0)
            return resolving.Resolved(left=bool(kept))
        for parent, queue in kept:
            insert = "INSERT INTO {parent_change} (parent, queue) VALUES ($1, $2)"
            await tx.rows(insert, parent, queue)
        kept.clear()
        return await resolve(tx)

    resolving.resolve = spoilt


def continues_what_it_lost() -> None:
    """The continuation of an attempt is appended though its settlement was refused."""

    async def spoilt(tx: Any, row: Any, request: Any) -> Any:
        (settled,) = await continuing.settle(tx, [row])
        appended = await continuing.append(tx, request)
        if settled is Settled.APPLIED:
            await continuing.continue_event(tx, row[0], appended.numbers[-1])
        return continuing.ContinuedResult(settled, *appended)

    store.settle_continued = spoilt  # type: ignore[attr-defined]


def ends_before_it_continues() -> None:
    """An event completes in one transaction, and its continuation is appended in the next."""

    async def spoilt(self: Any, event: Any, attempt: int, outcome: Any) -> Any:
        (answer,) = await self._settle([(event, attempt, outcome)])
        rows = await self._event_rows(outcome.entries, None)
        after = {uid.bytes: one for uid, one in outcome.after.items()}

        async def append(tx: Any) -> Any:
            appended = await continuing.append(tx, AppendRequest(rows, after=after))
            number = event.execution.arrival
            await continuing.continue_event(tx, number, appended.numbers[-1])
            return appended

        async def appended(result: Any) -> Any:
            return await self._appended(outcome.entries, result, None, outcome.after)

        if answer is Settled.APPLIED:
            await self._backend.run(append, appended)
        return answer

    store.SqlStore._settle_continued = spoilt  # type: ignore[method-assign]


MUTANTS = {
    each.__name__: each
    for each in (
        guard_by_id,
        forgets_cancels,
        no_pulse,
        no_age,
        starts_later,
        keeps_late_claims,
        mortal_pulse,
        fail_unreadable,
        dead_or_alive,
        early_word,
        drop_locks,
        trust_the_clock,
        forgets_children,
        releases_early,
        runs_after_any_end,
        resolves_what_it_keeps,
        continues_what_it_lost,
        ends_before_it_continues,
    )
}
"""By name, since they are put in by the worker process itself."""
