"""Continuations through an executor: events that return ``Then``."""

import asyncio
from typing import Any

import pytest
from engine.crawling import Fetch, Merge

from lionpride import (
    DependencyError,
    Event,
    EventStatus,
    Executor,
    ExistsError,
    NotFoundError,
    Retry,
    Then,
    Transition,
    ValidationError,
    current,
)
from lionpride.model.after import After
from lionpride.model.continuation import ContinuedBy
from lionpride.rules.state_machine import Completion, Continued
from lionpride.stores.contract import Settled, Store
from lionpride.stores.memory import MemoryStore
from lionpride.stores.terms import Terms

S = EventStatus


class Crawl(Event):
    """Fetches pages and merges them."""

    urls: tuple[str, ...] = ()
    fails: str = ""

    async def _invoke(self) -> Then[Merge]:
        return Then(
            Merge(), after=[Fetch(url=u, fails=u if u == self.fails else "") for u in self.urls]
        )


class Count(Event):
    """Counts down, with an event for each number."""

    n: int = 0

    async def _invoke(self) -> Any:
        return Then(Count(n=self.n - 1)) if self.n else "done"


class Odd(Event):
    """Continues with an event that cannot be appended."""

    way: str = ""

    async def _invoke(self) -> Any:
        if self.way == "unknown parent":
            return Then(Merge(), after="01a234e2-9c1e-7de0-8281-6da233ac32ce")
        if self.way == "itself":
            return Then(current().event)
        if self.way == "cycle":
            merge = Merge()
            return Then(merge, after=merge)
        return Then(Strange())


class Strange(Event):
    """An event that the executor does not take."""


def executor_of(store: Store) -> Any:
    return Executor.of(Crawl, Fetch, Merge, Count, Odd, store=store, queue="crawl")


async def test_the_result_is_that_of_the_continuation(store: Store) -> None:
    async with executor_of(store) as executor:
        crawl = await executor.append(Crawl(urls=("a", "b", "c")))
        assert await executor.result(crawl) == "<a><b><c>"
        assert crawl.execution.status is S.COMPLETED
        assert isinstance(crawl.response, ContinuedBy)
        counts = await store.counts()
    assert counts[S.COMPLETED] == 5


async def test_a_continuation_of_a_continuation_is_followed(store: Store) -> None:
    async with executor_of(store) as executor:
        assert await executor.run(Count(n=50)) == "done"


async def test_a_child_waits_for_the_continuation_of_its_parent(store: Store) -> None:
    async with executor_of(store) as executor:
        await executor.pause()
        crawl, book = Crawl(urls=("a", "b")), Merge()
        await executor.append_many([crawl, book], after={book: crawl})
        await executor.resume()
        assert await executor.result(book) == "<a><b>"
        later = await executor.append(Merge(), after=crawl)
        assert await executor.result(later) == "<a><b>"


async def test_a_failure_reaches_the_events_after_the_continuation(store: Store) -> None:
    async with executor_of(store) as executor:
        crawl, book, alarm = Crawl(urls=("a", "b"), fails="b"), Merge(), Count()
        await executor.append_many([crawl, book], after={book: crawl})
        with pytest.raises(DependencyError):
            await executor.result(book)
        await executor.append(alarm, after=book, when="finished")
        assert await executor.result(alarm) == "done"
        with pytest.raises(DependencyError):
            await executor.result(crawl)


class Ring(Event):
    """Continues with an event that waits for a given one."""

    parent: str = ""

    async def _invoke(self) -> Any:
        return Then(Merge(), after=self.parent or self)


@pytest.mark.parametrize("length", [0, 1, 3])
async def test_a_continuation_does_not_wait_for_the_event_itself(length: int, store: Store) -> None:
    executor = Executor.of(Ring, Count, Merge, store=store, queue="crawl")
    chain = [Count() for _ in range(length)]
    ring = Ring(parent=str(chain[-1].id) if chain else "")
    events = [ring, *chain]
    after = dict(zip(chain, events, strict=False))
    async with executor:
        await executor.append_many(events, after=after)
        with pytest.raises(ValidationError, match="the continuation would wait for"):
            await executor.result(ring)
        for event in chain:
            with pytest.raises(DependencyError):
                await executor.result(event)
        assert sum((await store.counts()).values()) == len(events)


async def test_a_continuation_of_a_failed_event_cancels_all_that_waits_for_it(store: Store) -> None:
    executor = Executor.of(Ring, Count, Fetch, Merge, store=store, queue="crawl")
    async with executor:
        broken = await executor.append(Fetch(fails="broken"))
        await executor.join()
        ring, book, last = Ring(parent=str(broken.id)), Merge(), Count()
        await executor.append_many([ring, book, last], after={book: ring, last: book})
        await asyncio.wait_for(executor.join(), 60.0)
        assert [each.execution.status for each in (book, last)] == [S.CANCELLED] * 2
        with pytest.raises(DependencyError):
            await executor.result(last)


async def test_a_continuation_waits_for_an_event_that_waits_no_more(store: Store) -> None:
    executor = Executor.of(Ring, Count, Merge, store=store, queue="crawl")
    child = Count()
    ring = Ring(parent=str(child.id))
    await executor.append_many([ring, child], after={child: ring})
    await executor.cancel(child)
    await executor.retry(child)
    async with executor:
        assert await executor.result(ring) == await executor.result(child) == "done"


@pytest.mark.parametrize(
    ("way", "error"),
    [
        ("unknown parent", NotFoundError),
        ("itself", ExistsError),
        ("cycle", ValueError),
        ("other type", TypeError),
    ],
)
async def test_a_continuation_that_cannot_be_appended_fails_the_event(
    way: str, error: type[Exception], store: Store
) -> None:
    async with executor_of(store) as executor:
        odd = await executor.append(Odd(way=way))
        with pytest.raises(error):
            await executor.result(odd)
        counts = await store.counts()
    assert {status: count for status, count in counts.items() if count} == {S.FAILED: 1}


async def test_a_stale_attempt_appends_nothing(store: Store) -> None:
    crawl, merge = Crawl(), Merge()
    await store.append([(crawl, 0.0)])
    (claim,), _ = await store.claim("worker", start=True)
    await store.settle([(*claim, Continued([(Merge(), 1.0)], {}, 0.1))])
    (again,) = await store.settle([(*claim, Continued([(merge, 1.0)], {}, 0.1))])
    assert again is Settled.REPLAYED
    assert await store.get([merge.id]) == [None]
    assert sum((await store.counts()).values()) == 2


async def test_unique_holds_until_the_continuation_has_finished(store: Store) -> None:
    terms, merge, second = Terms(unique=("crawl", store.time())), Merge(), Crawl()
    first = Crawl()
    await store.append([(first, 0.0)], terms=terms)
    (claim,), _ = await store.claim("worker", start=True)
    await store.settle([(*claim, Continued([(merge, 1.0)], {}, 0.1))])
    (held,) = await store.append([(second, 0.0)], terms=terms)
    assert held is first
    ((continuation, attempt),), _ = await store.claim("worker", start=True)
    assert continuation.id == merge.id
    await store.settle([(continuation, attempt, Completion("done", 0.1))])
    (held,) = await store.append([(second, 0.0)], terms=terms)
    assert held is second


async def test_cancel_reaches_the_continuation_and_events_appended_with_it(
    store: Store,
) -> None:
    executor = executor_of(store)
    old = await executor.append(Fetch(url="old"), priority=9.0)
    crawl = await executor.append(Crawl(urls=("a", "b")), priority=0.0)
    ((claimed, attempt),), _ = await store.claim("worker", start=True)
    assert claimed.id == crawl.id
    fetches, merge = [Fetch(url="a"), Fetch(url="b")], Merge()
    parents = After((old.id, *(each.id for each in fetches)))
    entries = [(each, 5.0) for each in (*fetches, merge)]
    await store.settle([(claimed, attempt, Continued(entries, {merge.id: parents}, 0.5))])
    assert await executor.cancel(crawl) is True
    assert [each.status for each in (old, crawl, *fetches, merge)] == [
        S.PENDING,
        S.COMPLETED,
        S.CANCELLED,
        S.CANCELLED,
        S.CANCELLED,
    ]
    assert await executor.cancel(crawl) is False


async def test_observers_see_the_appended_events() -> None:
    executor = Executor.of(Crawl, Fetch, Merge, queue="crawl")
    seen: list[Transition] = []
    executor.observe(seen.append)
    async with executor:
        await executor.run(Crawl(urls=("a",)))
    appended = [step.event.class_name() for step in seen if step.before is None]
    assert sorted(appended) == ["Crawl", "Fetch", "Merge"]


async def test_an_event_without_an_executor_cannot_be_continued() -> None:
    crawl = Crawl(urls=("a",))
    await crawl.invoke()
    assert crawl.execution.status is S.FAILED
    assert "append" in str(crawl.execution.error)


async def test_a_retried_attempt_may_be_continued(store: Store) -> None:
    class Flaky(Crawl):
        async def _invoke(self) -> Then[Merge]:
            if current().attempt_number == 1:
                raise ValueError("not yet")
            return await super()._invoke()

    async with Executor.of(Flaky, Fetch, Merge, store=store, queue="crawl") as executor:
        flaky = await executor.append(
            Flaky(urls=("a",)), retry=Retry(max_attempts=2, backoff=0.001)
        )
        assert await executor.result(flaky) == "<a>"


@pytest.mark.parametrize("way", ["load", "import"])
async def test_a_copy_of_a_child_waits_for_the_continuation_of_its_parent(
    way: str, store: Store
) -> None:
    first = executor_of(MemoryStore("crawl"))
    crawl, book = Crawl(urls=("a", "b")), Merge()
    await first.append_many([crawl, book], after={book: crawl})
    await first.forward()
    assert isinstance(crawl.response, ContinuedBy)
    second = executor_of(store)
    if way == "load":
        await second.load(first.states.to_dict())
    else:
        await store.import_records(await first.store.list_records())
    later = await second.append(Merge(), after=crawl.id)
    await store.claim("worker", until=0)  # a claim resolves what has ended
    assert [each.record.id async for each in second.parents(later)] == [crawl.response.id]
    async with second:
        assert await second.result(book.id) == "<a><b>"
        assert await second.result(later) == "<a><b>"


async def test_a_cancelled_child_may_have_lost_a_parent_before_another_is_continued(
    store: Store,
) -> None:
    async with executor_of(store) as executor:
        page = await executor.append(Fetch(url="a"))
        await executor.result(page)
        await executor.pause()
        crawl, book = Crawl(urls=("b",)), Merge()
        await executor.append_many([crawl, book], after={book: [page, crawl]})
        await executor.cancel(book)
        await executor.remove(page)
        await executor.resume()
        assert await executor.result(crawl) == "<b>"
        assert book.status is S.CANCELLED
