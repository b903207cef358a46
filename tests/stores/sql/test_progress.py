"""Live progress: rows that are written for running attempts, how often, and their removal."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import pytest
from engine.kit import Job, JobExecutor, Tape

from lionpride.core import Executor
from lionpride.errors import StoreError
from lionpride.model.execution import EventStatus
from lionpride.model.progress import Live, Progress
from lionpride.stores.sql.progress import INTERVAL, MOST, PIECE, ProgressPublisher
from lionpride.stores.sql.rows import ProgressRow
from lionpride.stores.sqlite import SqliteStore

URL = "sqlite:///run.db?synchronous=NORMAL"


class WriteProgress(NamedTuple):
    """A write that was asked for."""

    progress: Sequence[ProgressRow]
    ended: Sequence[tuple[int, int]]


class Office:
    """Progress publisher whose writes are recorded, and answered by the test."""

    def __init__(self) -> None:
        self.claims: dict[int, int] = {}
        self.steps: list[WriteProgress] = []
        self.at: list[float] = []
        self.failing = False
        self.pending: asyncio.Future[None] | None = None  # the answer to the next writes
        self.publisher = ProgressPublisher(self.claims, self.publish, lambda: 10**9)

    def publish(self, news: Any, over: Any) -> asyncio.Future[None]:
        return self.ask(WriteProgress(news, over))

    def ask(self, step: WriteProgress) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        self.steps.append(step)
        self.at.append(loop.time())
        if self.pending is not None:
            return self.pending
        future: asyncio.Future[None] = loop.create_future()
        if self.failing:
            future.set_exception(StoreError("the disk is full"))
        else:
            future.set_result(None)
        return future

    def begin(self, number: int, chunks: list[Any] | None = None, attempt: int = 1) -> Live:
        event = Job()
        event.__dict__["_attempt"] = self.claims[number] = attempt
        live = Live.of(event.__dict__)
        live.begin(attempt, chunks)
        self.publisher.publish(number, event, attempt)
        return live

    def written(self, number: int) -> list[int]:
        """The places of the chunks that were written of an attempt, and how many there were."""
        return [one.first for step in self.steps for one in step.progress if one.number == number]


@pytest.mark.virtual
async def test_one_step_an_interval_for_all_that_runs_and_none_when_nothing_is_new() -> None:
    office, began = Office(), asyncio.get_running_loop().time()
    one, other = office.begin(1, ["a"]), office.begin(2, ["b"])
    for _ in range(15):
        assert one.chunks is not None
        one.chunks.append("more")
        await asyncio.sleep(INTERVAL / 10)
    other.progress = Progress(0.5, "half")
    await asyncio.sleep(10)
    assert office.at == pytest.approx([began + INTERVAL, began + 2 * INTERVAL])
    (first, second) = office.steps
    assert (
        {news.number for news in first.progress}
        == {news.number for news in second.progress}
        == {1, 2}
    )
    assert [(n.fraction, n.note) for n in second.progress if n.number == 2] == [(0.5, "half")]
    assert len(office.written(1)) == 2


@pytest.mark.virtual
async def test_what_was_written_is_taken_away_when_the_attempt_is_over() -> None:
    office = Office()
    office.begin(1, ["a"])
    office.begin(2, ["a"])
    office.begin(3, [])
    await asyncio.sleep(INTERVAL)
    del office.claims[1]
    office.claims[2] = 2  # another attempt, by the same process
    office.begin(2, [], attempt=2)
    await asyncio.sleep(INTERVAL)
    assert sorted(office.steps[-1].ended) == [(1, 1), (2, 1)]
    office.claims.clear()
    await asyncio.sleep(10)
    assert len(office.steps) == 2, "nothing was written of the others"


@pytest.mark.virtual
async def test_a_step_writes_no_more_than_it_may_and_everybody_has_a_turn() -> None:
    office = Office()
    for number in range(10):
        office.begin(number, ["x"] * 1200)
    await asyncio.sleep(INTERVAL)
    assert len(office.steps[0].progress) == MOST // PIECE + 6, "what has no room tells its number"
    for step in office.steps:
        assert sum(one.chunks is not None for one in step.progress) <= MOST // PIECE
    await asyncio.sleep(INTERVAL * 20)
    for number in range(10):
        places = [
            one.first
            for step in office.steps
            for one in step.progress
            if one.number == number and one.chunks is not None
        ]
        assert places == [0, 500, 1000]


@pytest.mark.virtual
async def test_of_large_chunks_a_step_writes_few() -> None:
    office = Office()
    office.begin(1, ["x" * 100_000] * 10)
    office.begin(2, [["x" * 200_000]] * 4)
    office.begin(3, [b"x" * 1_000_000] * 2)
    await asyncio.sleep(INTERVAL * 20)
    assert office.written(1) == [0, 2, 4, 6, 8]
    assert office.written(2) == [0], "nobody knew how large they were; and there were four"
    assert office.written(3) == [0, 1]


async def test_a_note_may_be_any_text_of_any_length(executor: Executor, tmp_path: Path) -> None:
    gate = Gate()

    async def do(event: Job) -> None:
        event.progress(0.5, "\ud800" + "x" * 2000)
        await gate.open.wait()

    async with executor:
        event = await executor.append(Job(do=do))
        await until(lambda: bool(rows(tmp_path)))
        other = SqliteStore(tmp_path / "run.db", "q")
        (record,) = await other.get([event.id])
        assert record is not None
        assert record.progress == (0.5, "?" + "x" * 999)
        await other.close()
        gate.open.set()


@pytest.mark.virtual
async def test_what_could_not_be_written_is_written_later() -> None:
    office = Office()
    office.begin(1, ["a", "b"])
    office.failing = True
    await asyncio.sleep(INTERVAL * 3)
    office.failing = False
    await asyncio.sleep(INTERVAL * 3)
    assert set(office.written(1)) == {0}
    assert len(office.steps) == 4
    del office.claims[1]
    office.failing = True
    await asyncio.sleep(INTERVAL * 3)
    office.failing = False
    await asyncio.sleep(INTERVAL * 3)
    assert [step.ended for step in office.steps[4:]] == [[(1, 1)]] * 4


@pytest.mark.virtual
async def test_stop_takes_away_what_was_written_and_it_can_begin_again() -> None:
    office = Office()
    office.begin(1, ["a"])
    await asyncio.sleep(INTERVAL)
    await office.publisher.stop()
    assert office.steps[-1].ended == [(1, 1)]
    await asyncio.sleep(10)
    assert len(office.steps) == 2
    office.failing = True
    office.begin(2, ["a"])
    await office.publisher.stop()
    assert len(office.steps) == 2
    office.failing = False
    office.begin(2, ["a"])
    await asyncio.sleep(INTERVAL)
    assert office.written(2) == [0]


@pytest.mark.virtual
async def test_nothing_is_written_after_stop_if_the_write_under_way_fails() -> None:
    office = Office()
    office.begin(1, ["a"])
    await asyncio.sleep(INTERVAL)
    office.claims.clear()
    office.pending = asyncio.get_running_loop().create_future()
    await asyncio.sleep(INTERVAL)
    assert office.steps[-1].ended == [(1, 1)]
    under_way, office.pending = office.pending, None
    await office.publisher.stop()
    under_way.set_exception(StoreError("the server is gone"))
    count = len(office.steps)
    await asyncio.sleep(10)
    assert len(office.steps) == count


def test_a_loop_that_is_over_does_not_stop_it_in_the_next() -> None:
    office = Office()

    async def once(number: int) -> None:
        office.begin(number, ["a"])
        if number == 2:
            await asyncio.sleep(INTERVAL * 2)

    asyncio.run(once(1))
    asyncio.run(once(2))
    assert office.written(2) == [0]


# -- in a file -------------------------------------------------------------------------------------


def rows(folder: Path) -> list[Any]:
    """What is in the two tables."""
    with apsw.Connection(str(folder / "run.db")) as connection:
        return [
            *connection.execute("SELECT number, attempt, chunks FROM lionpride_progress"),
            *connection.execute("SELECT number, attempt, first FROM lionpride_chunk"),
        ]


class Gate:
    """A stream that stands still after its first chunk."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def do(self, event: Job) -> AsyncIterator[str]:
        yield "a"
        await self.open.wait()


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.01)


@pytest.fixture
def executor(tmp_path: Path, monkeypatch: Any) -> Executor:
    monkeypatch.chdir(tmp_path)
    return JobExecutor(store=URL, queue="q")


async def test_a_file_holds_what_runs_and_nothing_of_what_has_ended(
    executor: Executor, tmp_path: Path
) -> None:
    gate = Gate()
    async with executor:
        event = await executor.append(Tape(do=gate.do))
        plain = await executor.append(Job(do=says_and_waits(gate)))
        await until(lambda: len(rows(tmp_path)) == 3)
        assert sorted(rows(tmp_path)) == [(1, 1, 0), (1, 1, 1), (2, 1, 0)]
        gate.open.set()
        await executor.result(event)
        assert await executor.result(plain) == "said"
        await until(lambda: not rows(tmp_path))


def says_and_waits(gate: Gate) -> Any:
    async def do(event: Job) -> str:
        event.progress(0.5)
        await gate.open.wait()
        return "said"

    return do


async def test_a_file_that_is_closed_holds_nothing_of_what_ran(
    executor: Executor, tmp_path: Path
) -> None:
    gate = Gate()
    async with executor:
        event = await executor.append(Tape(do=gate.do))
        await until(lambda: bool(rows(tmp_path)))
        gate.open.set()
        await executor.result(event)
    assert not rows(tmp_path)


@pytest.mark.parametrize("how", ["reap", "register_worker"])
async def test_what_a_dead_process_left_is_taken_away(
    executor: Executor, tmp_path: Path, how: str
) -> None:
    """It is written for an attempt that has its lease, and goes when that is gone."""
    store = executor.store
    assert isinstance(store, SqliteStore)
    event, late = await executor.append_many([Job(), Job()])
    ((_, attempt), _), _ = await store.claim("w", 2)
    for each in (event, late):
        Live.of(each.__dict__).begin(attempt, ["a"])
        store.publish(each, attempt)
    await until(lambda: len(rows(tmp_path)) == 4)
    if how == "reap":
        with apsw.Connection(str(tmp_path / "run.db")) as connection:
            connection.execute("UPDATE lionpride_lease SET leased_until = 0")
        other = SqliteStore(tmp_path / "run.db", "q")
        assert await other.reap() == 2
        assert not rows(tmp_path)
        assert await store.counts() == {**dict.fromkeys(EventStatus, 0), EventStatus.PENDING: 2}
    else:
        with apsw.Connection(str(tmp_path / "run.db")) as connection:
            connection.execute("UPDATE lionpride_lease SET attempt = 7")
        other = SqliteStore(tmp_path / "run.db", "q")
        other.register_worker("o", lambda _: None)
        await until(lambda: not rows(tmp_path))
        other.unregister_worker("o")
    await other.close()
    await store.close()
