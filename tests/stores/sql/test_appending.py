"""The append of many events on both databases: what it returns, also if it is repeated."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from stores.asking import check_counts, put
from stores.makers import FOLDERS, HOMES, STORES, Clock, Job
from stores.sql.transactions import operate, repeat

from lionpride.core import EventStatus
from lionpride.errors import ExistsError
from lionpride.stores.contract import Store
from lionpride.stores.postgres import PostgresStore
from lionpride.stores.sql.appending import Appended, AppendRequest, append
from lionpride.stores.sql.codec import event_row, new_event_row
from lionpride.stores.sqlite import SqliteStore
from lionpride.stores.terms import Terms

S = EventStatus


@pytest.fixture(params=["sqlite", "postgres"])
def make(request: pytest.FixtureRequest, clock: Clock, opened: list[Store]) -> Callable[[], Store]:
    """Makes one more empty store over a database."""

    def make() -> Store:
        store = STORES[request.param](clock)
        opened.append(store)
        return store

    return make


def rows_of(jobs: Sequence[Job]) -> list[Any]:
    return [event_row(job, 1.0) for job in jobs]


def new_rows_of(jobs: Sequence[Job]) -> list[Any]:
    return [new_event_row(job, 1.0) for job in jobs]


def work_of(request: AppendRequest) -> Any:
    return partial(append, request=request)


REQUESTS: dict[str, Callable[[Sequence[Job]], AppendRequest]] = {
    "new": lambda jobs: AppendRequest(new_rows_of(jobs)),
    "with a queue limit": lambda jobs: AppendRequest(new_rows_of(jobs), room=100),
    "with options": lambda jobs: AppendRequest(rows_of(jobs), terms=Terms(due=5.0)),
    "known ids allowed": lambda jobs: AppendRequest(rows_of(jobs), exist_ok=True),
}


async def ids_of(store: Any) -> list[Any]:
    return [one.id for one in await store.list_records()]


# -- what it returns -------------------------------------------------------------------------------


async def test_each_new_event_is_appended_once_and_each_gets_its_number(store: Store) -> None:
    known, new = Job(), Job()
    await store.append([(known, 1.0)])
    number = known.execution.arrival
    request = AppendRequest(rows_of([known, new, new]), exist_ok=True)
    result = await operate(store, work_of(request))
    assert result == Appended([number, number + 1, number + 1], [number])
    assert await ids_of(store) == [known.id, new.id]


@pytest.mark.parametrize("kind", ["new", "with a queue limit", "with options"])
async def test_an_id_that_is_known_or_occurs_twice_is_refused_and_nothing_is_appended(
    kind: str, store: Store
) -> None:
    (known,) = await put(store, 1.0)
    twice = Job()
    for jobs in ([Job(), known], [Job(), twice, twice]):
        request = REQUESTS[kind](jobs)
        words = rf"{jobs[-1].id} is known here already.*exist_ok=True"
        with pytest.raises(ExistsError, match=words):
            await operate(store, work_of(request))
    assert await ids_of(store) == [known.id]
    await check_counts(store)


async def test_an_event_of_another_executor_is_refused(store: Store) -> None:
    (other,) = await put(store, 1.0)
    job = Job()
    foreign = AppendRequest(rows_of([job]), frozenset([job.id.bytes]), exist_ok=True)
    with pytest.raises(ExistsError, match="belongs to another executor"):
        await operate(store, work_of(foreign))
    assert await ids_of(store) == [other.id]


async def test_an_id_that_is_known_in_another_queue_is_named_with_it(
    store: Any, clock: Clock, opened: list[Store]
) -> None:
    beside: Store
    if store in FOLDERS:
        container, path = "file", FOLDERS[store].path / "run.db"
        beside = SqliteStore(path, "mails", clock=clock, synchronous="NORMAL")
    else:
        container, home = "schema", HOMES[store]
        beside = PostgresStore(home.url, "mails", schema=home.schema, clock=clock, listen=False)
    opened.append(beside)
    (known,) = await put(beside, 1.0)
    words = f"known in queue 'mails' of this {container}: nothing was appended"
    for entries in ([(Job(id=known.id), 1.0)], [(Job(id=known.id), 1.0), (Job(), 1.0)]):
        for exist_ok in (False, True):
            with pytest.raises(ExistsError, match=words):
                await store.append(entries, exist_ok=exist_ok)
    assert await ids_of(store) == []


# -- repeats ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", REQUESTS)
async def test_a_repeated_append_returns_what_the_first_try_has_appended(
    kind: str, store: Store
) -> None:
    work = work_of(REQUESTS[kind]([Job() for _ in range(3)]))
    first = await operate(store, work)
    assert await repeat(store, work, first) == first
    assert len(await ids_of(store)) == 3
    await check_counts(store)


@pytest.mark.parametrize("kind", REQUESTS)
async def test_an_append_whose_first_try_was_rolled_back_is_done(kind: str, store: Store) -> None:
    jobs = [Job() for _ in range(3)]
    await put(store, 1.0)
    lost = Appended([900, 901, 902])
    result = await repeat(store, work_of(REQUESTS[kind](jobs)), lost)
    assert not result.known
    assert (await ids_of(store))[1:] == [job.id for job in jobs]


async def test_a_repeated_append_recognises_its_events_after_one_was_removed(store: Store) -> None:
    jobs = [Job() for _ in range(3)]
    work = work_of(REQUESTS["new"](jobs))
    first = await operate(store, work)
    await store.remove([jobs[1].id])
    assert await repeat(store, work, first) == first
    assert len(await ids_of(store)) == 2


async def test_a_repeated_append_does_not_take_the_event_of_another_process_for_its_own(
    store: Store,
) -> None:
    job = Job()
    work = work_of(REQUESTS["with options"]([job]))
    ((number,), _) = await operate(store, work)
    with pytest.raises(ExistsError, match="known here already"):
        await repeat(store, work, Appended([number + 7]))


async def test_a_repeated_append_with_a_unique_key_returns_that_its_event_is_new(
    store: Store, clock: Clock
) -> None:
    terms, job = Terms(unique=("tick", clock.now)), Job()
    work = work_of(AppendRequest([event_row(job, 1.0, terms=terms)], terms=terms))
    first = await operate(store, work)
    assert await repeat(store, work, first) == first
    assert await operate(store, work) == Appended(first.numbers, first.numbers)


# -- pieces ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [new_rows_of, rows_of], ids=["new", "whole"])
async def test_an_append_in_pieces_keeps_the_order(rows: Any, store: Store) -> None:
    jobs = [Job() for _ in range(7)]
    result = await operate(store, partial(append, request=AppendRequest(rows(jobs)), piece=3))
    assert result.numbers == sorted(set(result.numbers))
    assert await ids_of(store) == [job.id for job in jobs]
    await check_counts(store)


async def test_a_large_append_of_events_with_options_lets_other_tasks_run_in_its_transaction(
    clock: Clock, opened: list[Store]
) -> None:
    store: Any = STORES["sqlite"](clock)
    opened.append(store)
    await put(store, 1.0)
    connection, turn, ended, turns = store._backend.file.commits._connection, 0, False, set[int]()
    connection.set_update_hook(lambda *_: turns.add(turn))  # called for each row

    async def count() -> None:
        nonlocal turn
        while not ended:
            turn += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await store.append([(Job(), 1.0) for _ in range(2_000)], terms=Terms(due=5.0))
    ended = True
    await counting
    assert len(turns) >= 4, "500 events at a time"
    await check_counts(store)
