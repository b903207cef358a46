"""Batches: events that are appended together, with a handle that any process finds by its id."""

import asyncio
import copy
import time
from typing import Any
from uuid import uuid4

import pytest
from engine.crawling import Fetch, Merge, fetches
from stores.makers import beside

from lionpride import (
    Batch,
    BatchEnd,
    DependencyError,
    Event,
    EventCancelledError,
    EventStatus,
    Executor,
    Flow,
    NotFoundError,
    QueueFullError,
    Skip,
    Then,
    Transition,
    ValidationError,
    current,
)
from lionpride.stores.contract import Store


class Slow(Event):
    """Runs until it is cancelled."""

    async def _invoke(self) -> None:
        await asyncio.Event().wait()


class Crawl(Event):
    """Fetches a page, and returns its text through ``Then``. With ``pauses``, nothing follows."""

    pauses: bool = False

    async def _invoke(self) -> Then[Merge]:
        if self.pauses:
            await current().executor.pause()
        return Then(Merge(), after=[Fetch(url="of the crawl")])


def crawl(store: Store | None, **how: Any) -> Executor:
    return Executor.of(Fetch, Merge, Slow, Crawl, store=store, queue="crawl", **how)


def only(counts: dict[str, int]) -> dict[str, int]:
    """Return the counts that are not zero."""
    return {status: count for status, count in counts.items() if count}


async def test_a_batch_has_counts_and_results(store: Store) -> None:
    executor = crawl(store)
    batch = await executor.batch(fetches(12))
    counts = await batch.counts()
    assert set(counts) == set(EventStatus)
    assert only(counts) == {"pending": 12}
    assert len(batch) == 12
    async with executor:
        assert await batch.result() == [f"<{number}>" for number in range(12)]
        assert only(await batch.counts()) == {"completed": 12}
        await executor.join()
    assert (await executor.get(batch.id)).status is EventStatus.COMPLETED


async def test_another_process_finds_a_batch_by_its_id(store: Store, opened: list[Store]) -> None:
    batch = await crawl(store).batch(fetches(3))
    async with crawl(beside(store, time.time, opened)) as other:
        found = await other.get_batch(batch.id)
        assert found.event_ids == batch.event_ids
        assert await found.result() == ["<0>", "<1>", "<2>"]
        await other.join()
        again = await other.get_batch(str(batch.id))
        assert again.event_ids == batch.event_ids
    assert only(await batch.counts()) == {"completed": 3}
    assert await batch.result() == ["<0>", "<1>", "<2>"]


async def test_an_empty_batch_has_finished(store: Store) -> None:
    async with crawl(store) as executor:
        batch = await executor.batch([])
        assert await batch.result() == []
        assert only(await batch.counts()) == {}
        assert await batch.cancel() == 0
        assert (await executor.get_batch(batch.id)).event_ids == ()
        await executor.join()


async def test_the_first_failure_in_order_is_raised(store: Store) -> None:
    pages = [Fetch(url="a"), Fetch(fails="skip"), Fetch(fails="no page"), Fetch(url="b")]
    async with crawl(store) as executor:
        batch = await executor.batch(pages)
        with pytest.raises(Skip):
            await batch.result()
        first, skipped, failed, last = await batch.result(return_exceptions=True)
    assert (first, last) == ("<a>", "<b>")
    assert isinstance(skipped, Skip)
    assert isinstance(failed, ValueError)
    assert only(await batch.counts()) == {"completed": 2, "skipped": 1, "failed": 1}


async def test_result_waits_for_a_retried_event(store: Store) -> None:
    async with crawl(store) as executor:
        batch = await executor.batch([Fetch(fails="no page")])
        assert len(await batch.result(return_exceptions=True)) == 1
        await executor.join()
        await executor.pause()
        await executor.retry(batch.event_ids[0])
        assert only(await batch.counts()) == {"pending": 1}
        waiting = asyncio.create_task(batch.result())
        await executor.resume()
        with pytest.raises(ValueError, match="no page"):
            await waiting


async def test_known_events_belong_to_the_batch(store: Store) -> None:
    async with crawl(store) as executor:
        done, waits = await executor.append(Fetch(url="done")), Fetch(url="waits")
        await executor.result(done)
        await executor.pause()
        await executor.append(waits)
        batch = await executor.batch([done, waits, Fetch(url="new")])
        assert only(await batch.counts()) == {"pending": 2, "completed": 1}
        await executor.resume()
        assert await batch.result() == ["<done>", "<waits>", "<new>"]
        again = await executor.batch([done])
        assert await again.result() == ["<done>"]


async def test_cancel_ends_what_has_not_finished(store: Store) -> None:
    seen: list[Transition] = []
    async with crawl(store, concurrency_limit=2) as executor:
        executor.observe(seen.append)
        pages = [Fetch(url="a"), Slow(), Slow(), *fetches(600)]
        batch = await executor.batch(pages)
        assert await executor.result(pages[0]) == "<a>"
        while only(await batch.counts()).get("processing") != 2:
            await asyncio.sleep(0)
        assert await batch.cancel() == 602
        first, *others = await batch.result(return_exceptions=True)
        assert first == "<a>"
        assert len(others) == 602
        assert all(isinstance(each, EventCancelledError) for each in others)
        assert only(await batch.counts()) == {"completed": 1, "cancelled": 602}
        assert await batch.cancel() == 0
        await executor.join()
    assert (await executor.get(batch.id)).status is EventStatus.COMPLETED
    cancelled = [one for one in seen if one.after is EventStatus.CANCELLED]
    assert len(cancelled) == 602


async def test_a_batch_follows_continuations(store: Store) -> None:
    async with crawl(store) as executor:
        batch = await executor.batch([Crawl(), Fetch(url="a")])
        assert await batch.result() == ["<of the crawl>", "<a>"]
        assert only(await batch.counts()) == {"completed": 2}
        await executor.join()
        assert await batch.result() == ["<of the crawl>", "<a>"]


async def test_cancel_follows_continuations(store: Store) -> None:
    async with crawl(store) as executor:
        batch = await executor.batch([crawling := Crawl(pauses=True)])
        while crawling.execution.status is not EventStatus.COMPLETED:
            await asyncio.sleep(0)
        assert await batch.cancel() == 1
        with pytest.raises(EventCancelledError):
            await batch.result()
        await executor.resume()
        await executor.join()
    assert only(await batch.counts()) == {"cancelled": 1}
    assert only(await store.counts())["cancelled"] == 2  # the page of the crawl as well


async def test_events_of_a_batch_may_have_parents(store: Store) -> None:
    pages, book = fetches(3), Merge()
    async with crawl(store) as executor:
        batch = await executor.batch([book, *pages], after={book: pages})
        assert (await batch.result())[0] == "<0><1><2>"
        failing, other = Fetch(fails="no page"), Merge()
        batch = await executor.batch([failing, other], after={other: failing})
        _, error = await batch.result(return_exceptions=True)
        assert isinstance(error, DependencyError)


async def test_a_batch_counts_for_the_queue_limit(store: Store) -> None:
    executor = crawl(store, max_queue_size=4)
    with pytest.raises(QueueFullError):
        await executor.batch(fetches(4))
    assert sum(executor.status_counts().values()) == 0
    batch = await executor.batch(fetches(3))
    waiting = asyncio.create_task(executor.batch(fetches(3), wait=True))
    async with executor:
        assert len(await (await waiting).result()) == 3
        assert len(await batch.result()) == 3


async def test_a_batch_needs_no_permission_and_costs_nothing(store: Store) -> None:
    asked: list[str] = []

    async def permit(url: str) -> bool:
        asked.append(url)
        return True

    class Asking(Fetch):
        @property
        def request(self) -> dict[str, Any]:
            return {"url": self.url}

    executor = Executor.of(Asking, store=store, queue="crawl", permission=permit)
    async with executor:
        batch = await executor.batch([Asking(url="a"), Asking(url="b")])
        assert await batch.result() == ["<a>", "<b>"]
        await executor.join()
    assert asked == ["a", "b"]
    assert (await executor.get(batch.id)).status is EventStatus.COMPLETED


@pytest.mark.parametrize("strict", [True, False])
async def test_every_executor_runs_the_end_of_a_batch(store: Store, strict: bool) -> None:
    executor = Executor.of(Fetch, store=store, queue="crawl", strict_event_type=strict)
    async with executor:
        batch = await executor.batch(fetches(2))
        await executor.join()
    assert only(await store.counts()) == {"completed": 3}
    assert len(batch) == 2


@pytest.mark.parametrize("strict", [True, False])
async def test_a_copy_of_the_states_has_the_batch(strict: bool) -> None:
    executor = Executor.of(Fetch, strict_event_type=strict)
    await executor.append(Fetch())
    assert copy.copy(executor.states).items.item_type == {Fetch}
    batch = await executor.batch(fetches(2))
    flow = copy.copy(executor.states)
    assert [each.id for each in flow.items][-1] == batch.id
    assert flow.items.item_type == {Fetch, BatchEnd}
    data = executor.states.to_dict("json")
    assert len(Flow.from_dict(data).items) == 4
    other = Executor.of(Fetch, strict_event_type=strict)
    assert await other.load(data) == 4
    async with other:
        assert await (await other.get_batch(batch.id)).result() == ["<0>", "<1>"]


async def test_what_is_refused(store: Store) -> None:
    executor, page = crawl(store), Fetch()
    with pytest.raises(ValidationError, match=f"batch: the event {page.id} occurs twice"):
        await executor.batch([page, Fetch(), page])
    with pytest.raises(TypeError, match="takes several events"):
        await executor.batch(page)  # type: ignore[call-overload]
    with pytest.raises(NotFoundError):
        await executor.get_batch(uuid4())
    with pytest.raises(ValidationError):
        await executor.get_batch("no id")
    await executor.append(page)
    with pytest.raises(NotFoundError, match="is no batch"):
        await executor.get_batch(page.id)
    with pytest.raises(ValidationError, match="in a cycle"):
        await executor.batch([book := Merge()], after={book: book})
    assert sum(executor.status_counts().values()) == 1


async def test_removed_events_and_batches(store: Store) -> None:
    executor = crawl(store)
    batch: Batch[Any] = await executor.batch(fetches(3))
    async with executor:
        await batch.result()
        await executor.join()
    await executor.remove(batch.event_ids[1])
    assert only(await batch.counts()) == {"completed": 2}
    with pytest.raises(NotFoundError):
        await batch.result(return_exceptions=True)
    await executor.remove(batch.id)
    with pytest.raises(NotFoundError):
        await batch.counts()
    with pytest.raises(NotFoundError):
        await executor.get_batch(batch.id)
