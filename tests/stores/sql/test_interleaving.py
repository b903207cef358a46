"""Operations on PostgreSQL that meet others at each of their primitives.

Before each primitive of an operation, another process does something to the same events. It may
finish, or wait for a lock of the operation. Whatever happens, each event has one status, the counts
are right, and no two transactions wait for each other.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import pytest
from stores.asking import bring, pages
from stores.homes import Home, aside
from stores.makers import Clock, Job, postgres_in
from stores.sql.transactions import interleave, operate

from lionpride.core import EventStatus
from lionpride.errors import ExistsError, NotFoundError, OperationError, QueueFullError
from lionpride.rules.limits.limit import Limit
from lionpride.rules.limits.limit_set import Limits
from lionpride.rules.state_machine import RELEASED, Completion
from lionpride.stores.contract import Cancelled, Claim
from lionpride.stores.postgres import PostgresStore
from lionpride.stores.sql import limits, operations
from lionpride.stores.sql.appending import AppendRequest, append
from lionpride.stores.sql.claiming import ClaimRequest
from lionpride.stores.sql.codec import event_row, new_event_row
from lionpride.stores.terms import Terms

S = EventStatus
SLOTS = Limits([Limit("slots", 3), Limit("starts", 100, per=60.0)])

pytestmark = pytest.mark.guard(120)


class Events(NamedTuple):
    """Events of one round, and the claim of the running ones."""

    ready: Job
    expired: Job
    failed: Job
    completed: Job
    running: list[Claim]

    @property
    def all(self) -> list[Any]:
        named = [self.ready, self.expired, self.failed, self.completed]
        return [*named, *(event for event, _ in self.running)]


async def events_of(store: Any, clock: Clock) -> Events:
    """Append events in each status."""
    failed, completed = await bring(store, S.FAILED), await bring(store, S.COMPLETED)
    jobs = [Job(), Job()]
    await store.append([(job, -1e6) for job in jobs])
    running, _ = await store.claim("worker", 2, start=True)
    ready, expired = Job(), Job()
    await store.append([(ready, 1.0)])
    await store.append([(expired, 1.0)], terms=Terms(expires=clock.now + 1.0))
    clock.advance(2.0)
    return Events(ready, expired, failed, completed, list(running))


# -- the operations, and what meets them -----------------------------------------------------------

Numbers = list[int]


def claim_request(size: int = 9) -> ClaimRequest:
    return ClaimRequest(
        worker="limited",
        size=size,
        seconds=10.0,
        until=None,
        skip=(),
        denied=False,
        start=True,
        limits=SLOTS,
        runs=lambda kind: True,
        excluded=frozenset(),
    )


def outcome(number: int, status: str) -> Any:
    """The row of an outcome of the first attempt."""
    return number, 1, status, 0.0, 0.0, 1.0, (1, 0, 0, 0, 0.1, None, None, None, None)


OPERATIONS: dict[str, Callable[[Numbers], Any]] = {
    "cancel": lambda numbers: partial(operations.cancel, numbers=numbers),
    "retry": lambda numbers: partial(operations.retry, numbers=numbers[2:3]),
    "remove": lambda numbers: partial(operations.remove, numbers=numbers[:4]),
    "prune": lambda numbers: partial(
        operations.prune, statuses=["completed", "failed", "cancelled"], limit=9
    ),
    "retain": lambda numbers: partial(operations.retain, keep=1, age=None, limit=9),
    "expire": lambda numbers: operations.expire,
    "settle": lambda numbers: partial(
        operations.settle,
        settlings=[outcome(number, "pending") for number in numbers[4:5]]
        + [outcome(number, "completed") for number in numbers[5:]],
    ),
    "claim": lambda numbers: partial(limits.claim_within_limits, request=claim_request()),
}


async def complete_running(store: PostgresStore, events: Events) -> None:
    await store.settle([(*one, Completion("done", 0.1)) for one in events.running])


async def release_running(store: PostgresStore, events: Events) -> None:
    await store.settle([(*one, RELEASED) for one in events.running])


async def claim_some(store: PostgresStore, events: Events) -> None:
    await store.claim("other", 9, start=True)


async def claim_within_limits(store: PostgresStore, events: Events) -> None:
    await store.claim("other", 9, start=True, limits=SLOTS)


async def cancel_all(store: PostgresStore, events: Events) -> None:
    await store.cancel([event.id for event in reversed(events.all)])


async def retry_failed(store: PostgresStore, events: Events) -> None:
    await store.retry([events.failed.id])


async def remove_finished(store: PostgresStore, events: Events) -> None:
    await store.remove([events.completed.id, events.ready.id, events.failed.id])


async def prune_all(store: PostgresStore, events: Events) -> None:
    await store.prune(list(S))


async def expire_some(store: PostgresStore, events: Events) -> None:
    await store.claim("other", until=0)  # a claim finishes first what has expired


OTHERS: dict[str, Callable[[PostgresStore, Events], Awaitable[None]]] = {
    function.__name__: function
    for function in (
        complete_running,
        release_running,
        claim_some,
        claim_within_limits,
        cancel_all,
        retry_failed,
        remove_finished,
        prune_all,
        expire_some,
    )
}


MOST = 40
"""Primitives of an operation, at most."""


# -- rounds ----------------------------------------------------------------------------------------

_WAITING = """
SELECT EXISTS (SELECT FROM pg_stat_activity WHERE cardinality(pg_blocking_pids(pid)) > 0)
"""
_UNDER_LIMIT = "SELECT count(*) <= 3 FROM {lease} WHERE reserved IS NOT NULL"
_DEADLOCKS = "SELECT sum(deadlocks)::int FROM pg_stat_database"
_WRONG = """
SELECT e.number, count(r.number), count(l.number), count(f.number) FROM {event} e
LEFT JOIN {ready} r ON r.number = e.number LEFT JOIN {lease} l ON l.number = e.number
LEFT JOIN {finished} f ON f.number = e.number GROUP BY e.number
HAVING count(r.number) + count(l.number) + count(f.number) <> 1
"""


class Meeting:
    """Has something else happen before one primitive of an operation.

    Args:
        at: Before which, from 0.
        other: What happens.
    """

    def __init__(self, at: int, other: Callable[[], Awaitable[None]]) -> None:
        self._at = at
        self._other = other
        self.calls = 0
        self.task: asyncio.Task[None] | None = None

    async def __call__(self) -> None:
        self.calls += 1
        if self.calls == self._at + 1:
            self.task = asyncio.create_task(self._met())
            while not (self.task.done() or await is_waiting()):
                await asyncio.sleep(0.001)

    async def _met(self) -> None:
        with suppress(NotFoundError, OperationError):
            await self._other()


async def is_waiting() -> bool:
    """Whether a transaction waits for a lock of another one."""
    return bool(await asyncio.to_thread(fetch, _WAITING))


def fetch(query: str) -> Any:
    one = aside()
    return one.do(one.connection.fetchval(query))


async def check(store: PostgresStore) -> None:
    """Check that each event has one status, and that the counts are right."""
    assert await asyncio.to_thread(fetch, store.names.fill(_WRONG)) is None
    assert await asyncio.to_thread(fetch, store.names.fill(_UNDER_LIMIT))
    counts = await store.counts()
    for status in S:
        assert len(await pages(store, status, limit=50)) == counts[status], status
    assert len(await pages(store, limit=50)) == sum(counts.values())


@pytest.fixture
def stores() -> tuple[PostgresStore, PostgresStore, Clock]:
    """Two stores over the same tables, as of two processes."""
    home, clock = Home(), Clock()
    return postgres_in(home, clock, lease=1e9), postgres_in(home, clock, lease=1e9), clock


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("operation", OPERATIONS)
async def test_s1_an_operation_that_meets_another_leaves_each_event_in_one_status(
    operation: str, other: str, stores: tuple[PostgresStore, PostgresStore, Clock]
) -> None:
    one, beside, clock = stores
    before = fetch(_DEADLOCKS)
    try:
        for at in range(MOST):
            events = await events_of(one, clock)
            numbers = [event.execution.arrival for event in events.all]
            meeting = Meeting(at, partial(OTHERS[other], beside, events))
            result: Any = None
            with suppress(NotFoundError, OperationError):
                result = await interleave(one, OPERATIONS[operation](numbers), meeting)
            if meeting.task is None:
                assert at > 0, "it has met the other before"
                break
            await meeting.task
            await check(one)
            if operation == "cancel" and result is not None:
                await check_cancelled(one, result)
            await clear(one)
        else:
            pytest.fail(f"it has more than {MOST} primitives")
    finally:
        for store in (one, beside):
            await store.close()
    assert fetch(_DEADLOCKS) == before, "no two transactions wait for each other"


async def test_two_processes_that_remove_old_events_keep_as_many_as_asked(
    stores: tuple[PostgresStore, PostgresStore, Clock],
) -> None:
    one, beside, _ = stores
    work = partial(operations.retain, keep=3, age=None, limit=9)

    async def retain_beside() -> None:
        await operate(beside, work)

    try:
        for at in range(MOST):
            for _ in range(6):
                await bring(one, S.COMPLETED)
            meeting = Meeting(at, retain_beside)
            await interleave(one, work, meeting)
            if meeting.task is None:
                break
            await meeting.task
            assert (await one.counts())[S.COMPLETED] == 3
            await clear(one)
    finally:
        for store in (one, beside):
            await store.close()


UNIQUE = Terms(unique=("tick", 1_000.0), due=5.0)

APPENDS: dict[str, Callable[[list[Job]], AppendRequest]] = {
    "new": lambda jobs: AppendRequest([new_event_row(job, 1.0) for job in jobs]),
    "with options": lambda jobs: AppendRequest([event_row(job, 1.0) for job in jobs]),
    "known ids allowed": lambda jobs: AppendRequest(
        [event_row(job, 1.0) for job in jobs], exist_ok=True
    ),
    "with a queue limit": lambda jobs: AppendRequest(
        [new_event_row(job, 1.0) for job in jobs], room=2
    ),
    "unique": lambda jobs: AppendRequest(
        [event_row(job, 1.0, terms=UNIQUE) for job in jobs[:1]], terms=UNIQUE
    ),
}


@pytest.mark.parametrize("kind", APPENDS)
async def test_of_two_appends_of_the_same_events_one_appends_them(
    kind: str, stores: tuple[PostgresStore, PostgresStore, Clock]
) -> None:
    one, beside, _ = stores
    before = fetch(_DEADLOCKS)
    try:
        for at in range(MOST):
            jobs = [Job(), Job()]
            answers: list[Any] = []

            async def note(asked: Awaitable[Any], answers: list[Any] = answers) -> None:
                with suppress(ExistsError, QueueFullError):
                    answers.append(await asked)

            work = partial(append, request=APPENDS[kind](jobs))
            meeting = Meeting(at, partial(lambda work: note(operate(beside, work)), work))
            await note(interleave(one, work, meeting))
            if meeting.task is None:
                assert at > 0
                break
            await meeting.task
            wanted = [job.id for job in (jobs[:1] if kind == "unique" else jobs)]
            assert [record.id for record in await pages(one, limit=50)] == wanted
            assert sum(not answer.known for answer in answers) == 1
            assert len(answers) == (2 if kind in ("known ids allowed", "unique") else 1)
            await check(one)
            await clear(one)
        else:
            pytest.fail(f"it has more than {MOST} primitives")
    finally:
        for store in (one, beside):
            await store.close()
    assert fetch(_DEADLOCKS) == before, "no two transactions wait for each other"


async def check_cancelled(store: PostgresStore, results: dict[int, Cancelled]) -> None:
    """Check that no event that was cancelled is ready or running, unless it was retried."""
    records = {one.number: one for one in await pages(store, limit=50)}
    for number, result in results.items():
        if result is Cancelled.DONE and number in records:
            assert records[number].status in (S.CANCELLED, S.PENDING, S.PROCESSING)


async def clear(store: PostgresStore) -> None:
    """Remove all events."""
    one = aside()
    text = "".join(f"DELETE FROM {{{table}}};" for table in ("event", "ready", "lease", "finished"))
    text += "UPDATE {counter} SET " + ", ".join(f"{status.value} = 0" for status in S)
    await asyncio.to_thread(one.do, one.connection.execute(store.names.fill(text)))
