"""Faults planted in the SQLite store, each named for what it does.

A fault changes the store's own code for one test; ``breaks`` are the invariants that each catch it
alone, over several processes on one file.
"""

import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import pytest

from lionpride.errors import ExistsError
from lionpride.stores.sql import (
    appending,
    backend,
    leases,
    local_events,
    operations,
    resolving,
    store,
)
from lionpride.stores.sql.operations import Expired
from lionpride.stores.sqlite import hot_claim, hot_complete, opened, steps
from lionpride.stores.sqlite.rows import Rows
from lionpride.stores.sqlite.steps import AppendStep
from lionpride.stores.sqlite.transaction import SqliteTransaction

Plant: TypeAlias = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Fault:
    """A fault and how to plant it."""

    name: str
    breaks: tuple[str, ...]
    plant: Plant


FAULTS: list[Fault] = []


def fault(*breaks: str) -> Callable[[Plant], Plant]:
    def enter(plant: Plant) -> Plant:
        FAULTS.append(Fault(plant.__name__, breaks, plant))
        return plant

    return enter


def instead(patch: pytest.MonkeyPatch, owner: Any, name: str) -> Callable[[Any], Any]:
    """Put a function in place of one; it is given that one first."""

    def put(new: Any) -> Any:
        old = getattr(owner, name)
        patch.setattr(owner, name, lambda *args, **how: new(old, *args, **how))
        return new

    return put


# -- taking in -------------------------------------------------------------------------------------


@fault("A1")
def a_known_id_is_overwritten(patch: pytest.MonkeyPatch) -> None:
    @instead(patch, AppendStep, "__call__")
    def call(old: Any, self: AppendStep, rows: Rows) -> Any:
        if self.request.exist_ok:
            ids = [(uid,) for uid in self.request.ids]
            update = (
                "UPDATE lionpride_event SET payload = json_set(payload, '$.label', 'over') "
                "WHERE id = ?"
            )
            rows._db.executemany(update, ids)
        return old(self, rows)


@fault("A1")
def a_refused_append_leaves_an_orphan(patch: pytest.MonkeyPatch) -> None:
    def undo(self: Rows, before: Any) -> None:
        if not isinstance(sys.exc_info()[1], ExistsError):
            self._change, self.new = before
            self._db.execute("ROLLBACK TO step")
        self._db.execute("RELEASE step")

    patch.setattr(Rows, "undo", undo)

    @instead(patch, AppendStep, "__call__")
    def call(old: Any, self: AppendStep, rows: Rows) -> Any:
        try:
            return old(self, rows)
        except ExistsError:
            if not rows.known(self.request.ids[:1]):
                transaction = SqliteTransaction(rows, self.clocks)
                backend.run(transaction.insert_events(self.request.rows[:1]))
            raise


@fault("S2")
def counts_are_not_rolled_back(patch: pytest.MonkeyPatch) -> None:
    def undo(self: Rows, before: Any) -> None:
        _, self.new = before
        self._db.execute("ROLLBACK TO step")
        self._db.execute("RELEASE step")

    patch.setattr(Rows, "undo", undo)


@fault("S2")
def counts_leave_one_status_out(patch: pytest.MonkeyPatch) -> None:
    @instead(patch, Rows, "write_counts")
    def write_counts(old: Any, self: Rows) -> Any:
        self._change.pop("cancelled", None)
        return old(self)


@fault("D3")
def an_import_forgets_denials(patch: pytest.MonkeyPatch) -> None:
    @instead(patch, store, "record_event_row")
    def record_event_row(old: Any, *args: Any) -> Any:
        place = old(*args)
        return place._replace(state=(*place.state[:2], 0, *place.state[3:]))


# -- claiming --------------------------------------------------------------------------------------


@fault("P1")
def order_is_that_of_arrival(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(hot_claim.ClaimStep, "is_unconditional", False)
    patch.setattr(hot_claim, "_order", lambda one: (one[0], one[2]))
    for name in ("_CANDIDATES", "_LEASE", "_DELETE_READY"):
        text = getattr(hot_claim, name)
        assert "priority, number" in text
        patch.setattr(hot_claim, name, text.replace("priority, number", "number, priority"))


@fault("P1")
def what_is_not_due_is_claimed(patch: pytest.MonkeyPatch) -> None:
    @instead(patch, hot_claim.ClaimStep, "__call__")
    def call(old: Any, self: Any, rows: Rows) -> Any:
        promote = "UPDATE lionpride_ready SET due = 0 WHERE queue = ? AND due > 0"
        rows.connection.execute(promote, (rows.queue,))
        return old(self, rows)


@fault("F1")
def a_claim_is_no_attempt(patch: pytest.MonkeyPatch) -> None:
    @instead(patch, hot_claim.ClaimStep, "__call__")
    def call(old: Any, self: Any, rows: Rows) -> Any:
        done = old(self, rows)
        numbers = [(one[0],) for one in done.rows] + [(number,) for _, number in done.new]
        update = "UPDATE lionpride_lease SET attempt = attempt - 1 WHERE number = ?"
        rows.connection.executemany(update, numbers)
        return done


@fault("L1")
def nobody_waits_for_what_is_due_later(patch: pytest.MonkeyPatch) -> None:
    @instead(patch, hot_claim.ClaimStep, "__call__")
    def call(old: Any, self: Any, rows: Rows) -> Any:
        done = old(self, rows)
        return done._replace(wait=None) if done.wait else done


@fault("X1")
def a_claim_trusts_what_this_process_knew(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(local_events, "matches_state", lambda own, state: True)


# -- leases ----------------------------------------------------------------------------------------


@fault("C4")
def a_sweep_takes_live_leases(patch: pytest.MonkeyPatch) -> None:
    @instead(patch, leases, "_lapsed")
    async def lapsed(old: Any, tx: Any, request: Any, workers: Any, now: float) -> Any:
        return await old(tx, request, {}, now + 1e9)


@fault("C4")
def who_opens_takes_all_leases(patch: pytest.MonkeyPatch) -> None:
    @instead(patch, opened, "open_file")
    def open_file(old: Any, *args: Any, **how: Any) -> Any:
        connection = old(*args, **how)
        connection.execute("UPDATE lionpride_lease SET leased_until = 0")
        return connection


@fault("C5", "X1")
def a_cancel_is_not_passed_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(operations, "_REQUEST_CANCEL", "SELECT number FROM {lease} WHERE number {in_1}")


@fault("C5", "X1")
def a_settlement_forgets_a_cancel(patch: pytest.MonkeyPatch) -> None:
    @instead(patch, SqliteTransaction, "settle")
    async def settle(old: Any, self: Any, settlings: Any) -> Any:
        forget = "UPDATE {lease} SET cancel_requested = 0 WHERE number = $1"
        await self.many(forget, [one[:1] for one in settlings])
        return await old(self, settlings)


@fault("C5", "X1")
def a_sweep_forgets_a_cancel(patch: pytest.MonkeyPatch) -> None:
    @instead(patch, leases, "_lapsed")
    async def lapsed(old: Any, tx: Any, request: Any, workers: Any, now: float) -> Any:
        forget = "UPDATE {lease} SET cancel_requested = 0 WHERE leased_until < $1"
        await tx.rows(forget, now)
        return await old(tx, request, workers, now)


def _spoil_pack(patch: pytest.MonkeyPatch, at: int) -> None:
    """Have a sweep keep a counter as it was."""

    @instead(patch, leases, "state_after_ending")
    def pack(old: Any, ending: Any, state: Any) -> Any:
        after = list(old(ending, state))
        after[at] = state[at]
        return tuple(after)


@fault("F5")
def a_sweep_keeps_denials(patch: pytest.MonkeyPatch) -> None:
    _spoil_pack(patch, 2)


@fault("F5")
def a_sweep_counts_no_interruption(patch: pytest.MonkeyPatch) -> None:
    _spoil_pack(patch, 3)


@fault("F5")
def poison_is_swept_for_ever(patch: pytest.MonkeyPatch) -> None:
    @instead(patch, leases, "after_interruption")
    def after_interruption(old: Any, interruptions: int) -> Any:
        return old(0)


# -- settling --------------------------------------------------------------------------------------


@fault("F2", "F3")
def settlements_are_guarded_by_id(patch: pytest.MonkeyPatch) -> None:
    @instead(patch, Rows, "end_leases")
    def end_leases(old: Any, self: Rows, claims: Any) -> Any:
        query = "SELECT attempt FROM lionpride_lease WHERE number = ?"
        old(self, [(number, self._db.execute(query, (number,)).get) for number, _ in claims])

    @instead(patch, SqliteTransaction, "settle")
    async def settle(old: Any, self: Any, settlings: Any) -> Any:
        query = "SELECT number, attempt FROM {lease} WHERE number {in_1}"
        now = dict(await self.rows(query, [one[0] for one in settlings]))
        asked = {(one[0], now.get(*one[:2])): one for one in settlings}
        done = await old(self, [(*token, *one[2:]) for token, one in asked.items()])
        return [asked[token][:2] for token in done]


@fault("X1")
def denials_are_not_kept(patch: pytest.MonkeyPatch) -> None:
    @instead(patch, SqliteTransaction, "insert_ready")
    async def insert_ready(old: Any, self: Any, rows: Any) -> None:
        kept = [(*one.state[:2], 0, *one.state[3:]) for one in rows]
        await old(self, [one._replace(state=state) for one, state in zip(rows, kept, strict=True)])


@fault("X1")
def a_lost_claim_speaks_for_its_event(patch: pytest.MonkeyPatch) -> None:
    def as_known(self: Any, record: Any) -> Any:
        mine = self._local_events.cache.find(record.number)
        if record.number not in self._local_events.claims or mine is None:
            return record
        return type(record).of(mine, self.queue, record.status)

    patch.setattr(store.SqlStore, "_as_known", as_known)


@fault("X1")
def completions_forget_what_went_before(patch: pytest.MonkeyPatch) -> None:
    @instead(patch, hot_complete, "complete")
    def complete(old: Any, rows: Rows, ended: Any) -> Any:
        return old(rows, [(*one[:5], 0, 0, *one[7:]) for one in ended])


@fault("S1")
def completions_end_the_leases_between_them(patch: pytest.MonkeyPatch) -> None:
    @instead(patch, hot_complete, "complete")
    def complete(old: Any, rows: Rows, ended: Any) -> Any:
        done = old(rows, ended)
        numbers = [one[0] for one in ended]
        delete = "DELETE FROM lionpride_lease WHERE number BETWEEN ? AND ?"
        rows.connection.execute(delete, (min(numbers), max(numbers)))
        return done


@fault("C4")
def a_sweep_leaves_first_attempts(patch: pytest.MonkeyPatch) -> None:
    @instead(patch, leases, "_lapsed")
    async def lapsed(old: Any, *bounds: Any) -> Any:
        return [one for one in await old(*bounds) if one.state[0] > 1]


# -- by hand ---------------------------------------------------------------------------------------


@fault("X1")
def a_retry_keeps_the_counters(patch: pytest.MonkeyPatch) -> None:
    @instead(patch, operations, "retry")
    async def retry(old: Any, tx: Any, numbers: Any, **how: Any) -> Any:
        query = "SELECT failures, denials, number FROM {finished} WHERE number {in_1}"
        was = await tx.rows(query, list(numbers))
        done = await old(tx, numbers, **how)
        await tx.many("UPDATE {ready} SET failures = $1, denials = $2 WHERE number = $3", was)
        return done


@fault("X1")
def the_newest_endings_are_pruned_first(patch: pytest.MonkeyPatch) -> None:
    newest = operations._OLDEST.replace("finished_at, number LIMIT", "finished_at DESC LIMIT")
    patch.setattr(operations, "_OLDEST", newest)


# -- terms -----------------------------------------------------------------------------------------


@fault("P1")
def what_is_too_late_is_claimed(patch: pytest.MonkeyPatch) -> None:
    async def nothing(tx: Any) -> Expired:
        return Expired([], None)

    patch.setattr(operations, "expire", nothing)
    for module in (hot_claim, steps):
        patch.setattr(module, "expire_late", lambda *given: Expired([], None))


@fault("X1")
def the_last_ones_that_expire_are_left(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(operations, "EXPIRE", 1)


@fault("X1")
def a_value_is_any_value(patch: pytest.MonkeyPatch) -> None:
    async def find_unique(tx: Any, request: Any) -> None:
        return None

    patch.setattr(appending, "_find_unique", find_unique)


# -- parents and children --------------------------------------------------------------------------


@fault("X1")
def a_change_of_a_parent_is_forgotten(patch: pytest.MonkeyPatch) -> None:
    @instead(patch, resolving, "_ended")
    async def ended(old: Any, *given: Any) -> Any:
        parents, has_locked_ready = await old(*given)
        return parents[1:], has_locked_ready


@fault("X1")
def the_end_of_a_parent_during_an_append_is_missed(patch: pytest.MonkeyPatch) -> None:
    @instead(patch, appending, "insert_dependencies")
    async def insert_dependencies(old: Any, tx: Any, *given: Any) -> None:
        await _without_changes(tx, old(tx, *given))


@fault("X1")
def the_first_parent_releases_its_children(patch: pytest.MonkeyPatch) -> None:
    @instead(patch, resolving, "count_met")
    async def count_met(old: Any, tx: Any, children: Any, by: int = 1) -> Any:
        children = sorted(set(children))
        await old(tx, children, by)
        return children


@fault("X1")
def a_retried_parent_blocks_no_child_again(patch: pytest.MonkeyPatch) -> None:
    async def note_retried(tx: Any, numbers: Any) -> None:
        pass

    patch.setattr(operations, "note_retried", note_retried)


@fault("X1")
def a_retried_parent_blocks_its_own_children_alone(patch: pytest.MonkeyPatch) -> None:
    async def note_retried(tx: Any, numbers: Any) -> None:
        pass

    patch.setattr(resolving, "note_retried", note_retried)


@fault("X1")
def a_cancelled_child_cancels_no_other(patch: pytest.MonkeyPatch) -> None:
    @instead(patch, resolving, "_cancel")
    async def cancel(old: Any, tx: Any, *given: Any) -> Any:
        return await _without_changes(tx, old(tx, *given))


async def _without_changes(tx: Any, work: Awaitable[Any]) -> Any:
    """Do something that notes no change of a parent."""
    ((last,),) = await tx.rows("SELECT max(number) FROM {parent_change}")
    done = await work
    await tx.rows("DELETE FROM {parent_change} WHERE number > $1", last or 0)
    return done


# -- the file --------------------------------------------------------------------------------------


@fault("D2")
def an_ending_is_another_when_the_file_is_opened(patch: pytest.MonkeyPatch) -> None:
    @instead(patch, opened, "open_file")
    def open_file(old: Any, path: Any, **how: Any) -> Any:
        is_first = not path.with_name("run.db-shm").exists()
        connection = old(path, **how)
        if is_first:
            connection.execute("UPDATE lionpride_finished SET failures = failures + 1")
        return connection


@fault("D1")
def the_log_of_a_killed_process_is_thrown_away(patch: pytest.MonkeyPatch) -> None:
    @instead(patch, opened, "open_file")
    def open_file(old: Any, path: Any, **how: Any) -> Any:
        if not path.with_name("run.db-shm").exists():  # nobody has it open
            path.with_name("run.db-wal").unlink(missing_ok=True)
        return old(path, **how)
