"""Every durable store is asked the same questions: what it does with content that is too large.

The limits are lowered here: SQLite's is 1,000,000,000 bytes, and PostgreSQL's a little less than
a gibibyte.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any, ClassVar, cast

import apsw
import pytest
from engine.kit import Job, background
from stores.asking import S, check_counts, claim, listed, settle
from stores.makers import STORES, Clock

from lionpride.core import Event, Executor, Processor, Retry
from lionpride.errors import ValidationError
from lionpride.model.execution import EventStatus
from lionpride.rules.state_machine import Completion, after_unstorable
from lionpride.stores.contract import BufferedPath, Claim, Settled, Store
from lionpride.stores.listeners import Signal
from lionpride.stores.sql.codec import split_rows
from lionpride.stores.terms import Terms

MOST = 100_000
"""Bytes that the stores of these tests keep in one row."""

LARGE = "x" * MOST
FITS = "x" * (MOST - 20_000)


@pytest.fixture(autouse=True)
def low_limits(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lower the limits of the stores that are opened in a test."""

    def lower(connection: apsw.Connection) -> None:
        connection.limit(apsw.SQLITE_LIMIT_LENGTH, MOST)

    monkeypatch.setattr("lionpride.stores.postgres.backend.LARGEST", MOST - 10_000)
    apsw.connection_hooks.append(lower)
    yield
    apsw.connection_hooks.remove(lower)


@pytest.fixture(params=sorted(STORES.keys() - {"memory"}))
def store(request: pytest.FixtureRequest, clock: Clock, opened: list[Store]) -> Store:
    store = STORES[request.param](clock)
    opened.append(store)
    return store


async def claimed(store: Store, *labels: str) -> list[Claim]:
    """Claims of new events, which have started."""
    await store.append([(Job(label=label), 1.0) for label in labels])
    return await claim(store, len(labels), start=True)


# -- outcomes --------------------------------------------------------------------------------------


async def test_a_response_that_is_too_large_is_refused_and_its_claim_holds(store: Store) -> None:
    one, other = await claimed(store, "one", "other")
    large, small = await asyncio.gather(
        settle(store, one, Completion(LARGE, 0.1)),
        settle(store, other, Completion(FITS, 0.1)),
        return_exceptions=True,
    )
    assert small is Settled.APPLIED
    assert isinstance(large, ValidationError)
    assert f"the response of event {one[0].id} is too large to be stored" in str(large)
    assert await listed(store) == {one[0].id: S.PROCESSING, other[0].id: S.COMPLETED}
    assert await settle(store, one, after_unstorable(large, 0.1)) is Settled.APPLIED
    assert await listed(store) == {one[0].id: S.FAILED, other[0].id: S.COMPLETED}
    await check_counts(store)


async def test_a_response_that_is_handed_over_and_too_large_fails_its_own_event(
    store: Store,
) -> None:
    assert isinstance(store, BufferedPath)
    heard: asyncio.Queue[Any] = asyncio.Queue()
    store.subscribe(Signal.EXPIRED, lambda event, before: heard.put_nowait((event, before)))
    one, other = await claimed(store, "one", "other")
    store.complete_soon(*one, LARGE, 0.1)
    store.complete_soon(*other, FITS, 0.1)
    assert await heard.get() == (one[0], EventStatus.PROCESSING), "observers hear of it"
    await store.settled()
    assert await listed(store) == {one[0].id: S.FAILED, other[0].id: S.COMPLETED}
    assert isinstance(one[0].execution.error, ValidationError)
    assert "is too large to be stored" in str(one[0].execution.error)
    await check_counts(store)


# -- appends ---------------------------------------------------------------------------------------


async def test_an_event_that_is_too_large_is_refused_and_others_are_appended(store: Store) -> None:
    assert isinstance(store, BufferedPath)
    jobs = [Job(label="one"), Job(label=LARGE), Job(label=FITS)]
    asked = [store.append([(job, 1.0)]) for job in jobs]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(answers[1], ValidationError)
    assert f"event {jobs[1].id} is too large to be stored" in str(answers[1])
    assert await listed(store) == {jobs[0].id: S.PENDING, jobs[2].id: S.PENDING}
    await check_counts(store)


@pytest.mark.parametrize("how", [{}, {"terms": Terms(due=1.0)}, {"exist_ok": True}], ids=str)
async def test_a_batch_with_an_event_that_is_too_large_is_refused_as_a_whole(
    store: Store, how: dict[str, Any]
) -> None:
    jobs = [Job(label="one"), Job(label=LARGE)]
    with pytest.raises(ValidationError, match=str(jobs[1].id)):
        await store.append([(job, 1.0) for job in jobs], **how)
    assert await listed(store) == {}


async def test_a_text_beside_the_content_counts_too(store: Store) -> None:
    class Keyed(Event):
        @property
        def key(self) -> str:
            return LARGE

    with pytest.raises(ValidationError, match="too large"):
        await store.append([(Keyed(), 1.0)])
    assert await listed(store) == {}


# -- a run -----------------------------------------------------------------------------------------


class Large(Event):
    """Ends, or shows of itself, what is too large."""

    what: str = ""
    retry: ClassVar[Retry | None] = Retry(attempts=2, backoff=0.01)

    async def _invoke(self) -> str:
        if self.what == "error":
            raise ValueError(LARGE)
        return LARGE if self.what == "response" else FITS

    async def _stream(self) -> AsyncIterator[Any]:
        yield "small"
        await asyncio.sleep(0.3)  # so that it is shown to other processes
        yield LARGE
        await asyncio.sleep(0.3)


class Larges(Processor):
    event_type: ClassVar[type[Event]] = Large


class LargeExecutor(Executor):
    processor_type: ClassVar[type[Processor]] = Larges


@pytest.mark.parametrize("observed", [False, True])
async def test_a_run_goes_on_when_outcomes_are_too_large(store: Store, observed: bool) -> None:
    executor = LargeExecutor(store=store)
    seen: list[Any] = []
    if observed:
        executor.observe(lambda step: seen.append((cast("Large", step.event).what, step.after)))
    async with background(executor):
        events = [Large(what=what) for what in ("", "response", "error", "")]
        events.append(Large(what="stream", streaming=True))
        await asyncio.gather(*map(executor.append, events))
        done = await asyncio.gather(*map(executor.result, events), return_exceptions=True)
        later = await executor.append(Large())
        assert await executor.result(later) == FITS
    assert (done[0], done[3]) == (FITS, FITS)
    for event, error in zip(events, done, strict=True):
        if event.what:
            assert isinstance(error, ValidationError)
            assert str(event.id) in str(error)
            assert event.status is S.FAILED
            assert not observed or (event.what, S.FAILED) in seen
            assert (event.what, S.COMPLETED) not in seen


# -- characters that a database may not keep -------------------------------------------------------


ODD = "a\x00b\ud800c"
"""A NUL character, which no text of PostgreSQL has, and a lone surrogate, which UTF-8 has not."""


class Odd(Large):
    """Shows, and ends with, a text that holds such characters."""

    retry: ClassVar[Retry | None] = None

    async def _invoke(self) -> Any:
        self.progress(0.5, ODD)
        await asyncio.sleep(0.3)  # so that it is shown to other processes
        if self.what == "error":
            raise ValueError(ODD)
        return {ODD: [ODD, b"\x00\xff"]}


@pytest.mark.parametrize("observed", [False, True])
async def test_outcomes_hold_characters_that_a_text_of_a_database_may_not(
    store: Store, observed: bool
) -> None:
    executor = LargeExecutor(store=store)
    if observed:
        executor.observe(lambda step: None)
    async with background(executor):
        events = [Odd(), Odd(what="error"), Large()]
        await asyncio.gather(*map(executor.append, events))
        done = await asyncio.gather(*map(executor.result, events), return_exceptions=True)
    assert done[0] == {ODD: [ODD, b"\x00\xff"]}
    assert (type(done[1]), str(done[1])) == (ValueError, ODD)
    assert done[2] == FITS
    record = (await store.get([events[0].id]))[0]
    assert record is not None
    assert record.status is S.COMPLETED


@pytest.mark.parametrize("exist_ok", [False, True])
async def test_a_batch_that_is_too_large_for_one_statement_is_appended(
    store: Store, exist_ok: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lionpride.stores.sql.codec._STATEMENT", 2 * MOST)
    jobs = [Job(label=FITS) for _ in range(7)]
    await store.append([(job, 1.0) for job in jobs], exist_ok=exist_ok)
    assert list(await listed(store)) == [job.id for job in jobs]


def test_pieces_have_all_rows_in_order_and_none_is_too_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("lionpride.stores.sql.codec._STATEMENT", 10)
    rows = ["x" * size for size in (4, 4, 4, 11, 1, 1, 1, 1)]
    pieces = [list(piece) for piece in split_rows(rows, str, 3)]
    assert pieces == [rows[:2], rows[2:3], rows[3:4], rows[4:6], rows[6:]]
    assert list(split_rows([], str, 3)) == []
