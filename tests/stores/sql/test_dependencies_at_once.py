"""Dependencies on PostgreSQL: appends of children and resolvers that meet other transactions.

Before each primitive of the operation, another process does something to the parents. In the end,
each child is blocked, released or cancelled as the final status of its parents requires.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from stores.homes import Home
from stores.makers import Clock, Job, postgres_in
from stores.sql.test_interleaving import MOST, Meeting, check, clear, fetch
from stores.sql.transactions import interleave

from lionpride.core import EventStatus
from lionpride.errors import NotFoundError, OperationError
from lionpride.model.after import After
from lionpride.rules.state_machine import Completion, Ending
from lionpride.stores.contract import Claim
from lionpride.stores.postgres import PostgresStore
from lionpride.stores.sql import operations, resolving
from lionpride.stores.sql.appending import AppendRequest, append
from lionpride.stores.sql.codec import event_row

S = EventStatus
FAILED = Ending(S.FAILED, error=ValueError("no"), retryable=True, tries=1)

pytestmark = pytest.mark.guard(240)

_WRONG_MISSING = """
SELECT c.number FROM {child} c WHERE c.missing <> (
    SELECT count(*) FROM {dependency} d WHERE d.child = c.number AND d.met IS NOT TRUE)
"""
_CHANGES = "SELECT count(*) FROM {parent_change}"
_DEADLOCKS = "SELECT sum(deadlocks)::int FROM pg_stat_database"


class Scene:
    """Parents in several statuses, a child that was appended, and one to append."""

    def __init__(self) -> None:
        self.running: list[Claim] = []
        self.ready, self.failed = Job(), Job()
        self.known, self.new = Job(), Job()

    @property
    def parents(self) -> list[Any]:
        return [*(event for event, _ in self.running), self.ready, self.failed]

    async def prepare(self, store: PostgresStore) -> None:
        jobs: list[Any] = [Job(), Job(), Job()]
        await store.append([(job, -1e6) for job in jobs])
        self.running = list((await store.claim("worker", 3, start=True))[0])
        await store.append([(self.failed, -1e6)])
        claims, _ = await store.claim("worker", 1, start=True)
        await store.settle([(*claims[0], FAILED)])
        await store.append([(self.ready, 1.0)])
        await store.append([(self.known, 2.0)], after={self.known.id: self.known_after})

    @property
    def known_after(self) -> After:
        """Parents of the known child. The third running event has no child."""
        return After(tuple(event.id for event, _ in self.running[:2]))

    @property
    def after(self) -> After:
        """Parents of the event to append: a running, a ready and a failed one."""
        return After((self.running[0][0].id, self.ready.id, self.failed.id), "finished")


async def complete(store: PostgresStore, scene: Scene) -> None:
    await store.settle([(*one, Completion("done", 0.1)) for one in scene.running])


async def fail(store: PostgresStore, scene: Scene) -> None:
    await store.settle([(*one, FAILED) for one in scene.running[:1]])


async def fail_and_retry(store: PostgresStore, scene: Scene) -> None:
    await fail(store, scene)
    await store.retry([scene.running[0][0].id])


async def cancel(store: PostgresStore, scene: Scene) -> None:
    await store.cancel([scene.ready.id])


async def cancel_child(store: PostgresStore, scene: Scene) -> None:
    await store.cancel([scene.known.id])


async def retry(store: PostgresStore, scene: Scene) -> None:
    await store.retry([scene.failed.id])


async def remove(store: PostgresStore, scene: Scene) -> None:
    await store.remove([scene.failed.id])


async def prune(store: PostgresStore, scene: Scene) -> None:
    await store.prune(list(S))


async def claim(store: PostgresStore, scene: Scene) -> None:
    await store.claim("other", 9, start=True)


OTHERS: dict[str, Callable[[PostgresStore, Scene], Awaitable[None]]] = {
    each.__name__: each
    for each in (
        complete,
        fail,
        fail_and_retry,
        cancel,
        cancel_child,
        retry,
        remove,
        prune,
        claim,
    )
}


def work_of(operation: str, scene: Scene) -> Any:
    if operation == "append":
        rows = [event_row(scene.new, 3.0)]
        request = AppendRequest(rows, after={scene.new.id.bytes: scene.after})
        return partial(append, request=request)
    if operation == "retry":
        return partial(operations.retry, numbers=[scene.failed.execution.arrival])
    return resolving.resolve


def meets(when: str, status: S | None) -> bool | None:
    """Whether a parent meets a condition; None while it is unfinished."""
    if status in (S.PENDING, S.PROCESSING):
        return None
    if status is None:
        return False
    return when == "finished" or status in (S.COMPLETED, S.SKIPPED)


async def check_child(store: PostgresStore, child: Job, after: After) -> None:
    (record,) = await store.get([child.id])
    if record is None:
        return  # it was not appended
    found = await store.get(after.parents)
    answers = [meets(after.when, one and one.status) for one in found]
    if False in answers and None not in answers:
        assert record.status is S.CANCELLED, (record, answers)
    elif None in answers and False not in answers and record.status is S.PENDING:
        assert record.is_blocked, (record, answers)
    elif answers == [True] * len(answers):
        assert not record.is_blocked, (record, answers)


@pytest.fixture
def stores() -> tuple[PostgresStore, PostgresStore, Clock]:
    """Two stores over the same tables, as of two processes."""
    home, clock = Home(), Clock()
    return postgres_in(home, clock, lease=1e9), postgres_in(home, clock, lease=1e9), clock


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("operation", ["append", "resolve", "retry"])
async def test_children_are_as_their_parents_require_whatever_happens_at_once(
    operation: str, other: str, stores: tuple[PostgresStore, PostgresStore, Clock]
) -> None:
    one, beside, _ = stores
    deadlocks = await asyncio.to_thread(fetch, _DEADLOCKS)
    try:
        for at in range(MOST):
            scene = Scene()
            await scene.prepare(one)
            if operation == "resolve":
                await leave_changes(one, scene)
            meeting = Meeting(at, partial(OTHERS[other], beside, scene))
            with suppress(NotFoundError, OperationError):
                await interleave(one, work_of(operation, scene), meeting)
            if meeting.task is None:
                assert at > 0, "it has met the other before"
                break
            await meeting.task
            for store in (one, beside):
                await store.claim("resolver", until=0)  # a claim resolves what is left
            assert not await asyncio.to_thread(fetch, one.names.fill(_CHANGES))
            assert await asyncio.to_thread(fetch, one.names.fill(_WRONG_MISSING)) is None
            await check(one)
            await check_child(one, scene.new, scene.after)
            await check_child(one, scene.known, scene.known_after)
            await clear_all(one)
        else:
            pytest.fail(f"it has more than {MOST} primitives")
    finally:
        for store in (one, beside):
            await store.close()
    assert await asyncio.to_thread(fetch, _DEADLOCKS) == deadlocks


async def settle_slowly(scene: Scene, tx: Any) -> None:
    """Settle an attempt, with time between the statement and the commit."""
    number = scene.running[2][0].execution.arrival
    state = (1, 0, 0, 0, 0.1, None, None, None, None)
    await operations.settle(tx, [(number, 1, "completed", 0.0, 0.0, 1.0, state)])
    await tx.rows("SELECT 1")


async def cancel_slowly(scene: Scene, tx: Any) -> None:
    """Cancel a ready event, with time between the statements and the commit."""
    await operations.cancel(tx, [scene.ready.execution.arrival])
    await tx.rows("SELECT 1")


@pytest.mark.parametrize("work", [settle_slowly, cancel_slowly])
async def test_a_child_that_is_appended_while_its_parent_ends_is_not_forgotten(
    work: Any, stores: tuple[PostgresStore, PostgresStore, Clock]
) -> None:
    one, beside, _ = stores

    async def append_child(scene: Scene) -> None:
        await beside.append([(scene.new, 3.0)], after={scene.new.id: After(parents(scene))})

    def parents(scene: Scene) -> Any:
        parent = scene.running[2][0] if work is settle_slowly else scene.ready
        return (parent.id,)

    try:
        for at in range(MOST):
            scene = Scene()
            await scene.prepare(one)
            meeting = Meeting(at, partial(append_child, scene))
            await interleave(one, partial(work, scene), meeting)
            if meeting.task is None:
                assert at > 1
                break
            await meeting.task
            await one.claim("resolver", until=0)
            (record,) = await beside.get([scene.new.id])
            assert record is not None
            assert not record.is_blocked
            assert record.status is (S.PENDING if work is settle_slowly else S.CANCELLED)
            await clear_all(one)
    finally:
        for store in (one, beside):
            await store.close()


async def leave_changes(store: PostgresStore, scene: Scene) -> None:
    """Leave a change of a parent that no process has resolved, as a killed one would."""
    number = scene.running[1][0].execution.arrival
    text = f"INSERT INTO {{parent_change}} (parent, queue) SELECT {number}, number FROM {{queue}}"
    await asyncio.to_thread(fetch, store.names.fill(f"{text} RETURNING 1"))


async def clear_all(store: PostgresStore) -> None:
    """Remove all events and dependencies."""
    for table in ("dependency", "child", "parent_change"):
        await asyncio.to_thread(fetch, store.names.fill(f"DELETE FROM {{{table}}} RETURNING 1"))
    await clear(store)
