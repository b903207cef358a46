"""Dependencies through an executor: fan-in, continuations, and what is refused."""

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar
from uuid import UUID, uuid4

import pytest
from engine.crawling import Fetch, Merge, fetches

from lionpride import (
    DependencyError,
    Event,
    EventStatus,
    Executor,
    NotFoundError,
    OperationError,
    QueueFullError,
    Transition,
    ValidationError,
    current,
    job,
)
from lionpride.model.after import After
from lionpride.stores.contract import Store
from lionpride.stores.memory import MemoryStore
from lionpride.testing.faults import Faults, fail, lose

S = EventStatus


class Alarm(Event):
    """Counts that it ran."""

    ran: ClassVar[list[UUID]] = []

    async def _invoke(self) -> int:
        self.ran.append(self.id)
        return len(self.ran)


def crawl(store: Store | None = None, **how: Any) -> Executor:
    return Executor.of(Fetch, Merge, Alarm, store=store, queue=how.pop("queue", "crawl"), **how)


# -- use -------------------------------------------------------------------------------------------


async def test_a_crawl_with_a_final_merge(store: Store) -> None:
    pages, book = fetches(9), Merge()
    async with crawl(store, concurrency_limit=4) as executor:
        await executor.append_many([*pages, book], after={book: pages})
        assert await executor.result(book) == "".join(f"<{number}>" for number in range(9))
        assert book.execution.attempt_number == 1


async def test_parents_are_read_in_the_order_of_the_append(store: Store) -> None:
    pages, book = fetches(5), Merge()
    order = [pages[i] for i in (3, 0, 4)]
    async with crawl(store) as executor:
        await executor.append_many(pages)
        await executor.append(book, after=order)
        assert await executor.result(book) == "<3><0><4>"


async def test_a_store_in_memory_yields_the_parents_themselves() -> None:
    pages, seen = fetches(3), []

    @job
    async def merge() -> None:
        seen.extend([page async for page in current().parents()])

    async with Executor.of(Fetch, merge, queue="q") as executor:
        await executor.append_many(pages)
        await executor.run(merge(), after=pages)
    assert [id(each) for each in seen] == [id(each) for each in pages]


@pytest.mark.parametrize("given", [lambda e: e, lambda e: e.id, lambda e: str(e.id)])
@pytest.mark.parametrize("several", [False, True])
async def test_a_parent_is_given_as_an_event_or_an_id(
    store: Store, given: Callable[[Event], Any], several: bool
) -> None:
    (page,), book = fetches(1), Merge()
    executor = crawl(store)
    await executor.append(page)
    await executor.append(book, after=[given(page), page] if several else given(page))
    assert book.execution.after == After((page.id,))
    assert [each.record.id async for each in executor.parents(given(book))] == [page.id]
    assert [each.record.id async for each in executor.children(given(page))] == [book.id]


@pytest.mark.parametrize("pairs", [2, 20])
async def test_parents_and_children_in_turn_keep_the_order_of_the_append(
    store: Store, pairs: int
) -> None:
    pages, books = fetches(pairs), [Merge() for _ in range(pairs)]
    events = [event for pair in zip(pages, books, strict=True) for event in pair]
    executor = crawl(store)
    after = dict(zip(books, pages, strict=True))
    assert await executor.append_many(events, [1.0] * len(events), after=after) == events
    numbers = [event.execution.arrival or 0 for event in events]
    assert numbers == sorted(set(numbers))
    async with executor:
        for number, book in enumerate(books):
            assert await executor.result(book) == f"<{number}>"


async def test_children_of_a_batch_are_given_by_id_as_well(store: Store) -> None:
    pages, book, alarm = fetches(2), Merge(), Alarm()
    executor = crawl(store)
    await executor.append_many(
        [alarm, book, *pages], after={str(book.id): pages, alarm.id: book}, when="finished"
    )
    assert book.execution.after == After((pages[0].id, pages[1].id), "finished")
    assert alarm.execution.after == After((book.id,), "finished")


async def test_no_parents_are_no_dependency(store: Store) -> None:
    executor = crawl(store)
    book, other = Merge(), Merge()
    await executor.append(book, after=[])
    await executor.append_many([other], after={other: ()})
    await executor.append_many([Alarm()], after={})
    assert [each async for each in executor.parents(book)] == []
    assert not book.execution.is_blocked
    assert not other.execution.is_blocked


async def test_run_waits_for_the_parents(store: Store) -> None:
    pages = fetches(2)
    async with crawl(store) as executor:
        await executor.append_many(pages)
        assert await executor.run(Merge(), after=pages, priority=0.0) == "<0><1>"


async def test_a_generator_of_parents_is_accepted(store: Store) -> None:
    pages = fetches(2)
    async with crawl(store) as executor:
        await executor.append_many(pages)
        assert await executor.run(Merge(), after=(page.id for page in pages)) == "<0><1>"


async def test_more_parents_than_a_page_are_listed(store: Store) -> None:
    pages, book = fetches(1_203), Merge()
    executor = crawl(store)
    await executor.append_many([*pages, book], after={book: pages})
    found = [each async for each in executor.parents(book)]
    assert [each.record.id for each in found] == [page.id for page in pages]
    assert [each.place for each in found] == list(range(1_203))
    children = [Alarm() for _ in range(1_001)]
    await executor.append_many(children, after=dict.fromkeys(children, pages[0]))
    found = [each async for each in executor.children(pages[0])]
    assert [each.record.id for each in found] == [book.id, *(each.id for each in children)]


async def test_parents_of_an_unknown_event_are_not_found(store: Store) -> None:
    executor = crawl(store)
    with pytest.raises(NotFoundError):
        [each async for each in executor.parents(uuid4())]
    with pytest.raises(ValidationError):
        [each async for each in executor.children("x")]


async def test_parents_outside_of_an_executor_are_refused() -> None:
    merge = Merge()
    await merge.invoke()
    assert isinstance(merge.execution.error, OperationError)


# -- conditions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fails", "when", "runs"),
    [
        ("", "completed", True),
        ("skip", "completed", True),
        ("no page", "completed", False),
        ("", "failed", False),
        ("no page", "failed", True),
        ("", "finished", True),
        ("no page", "finished", True),
    ],
)
async def test_a_child_runs_if_its_parent_finished_as_required(
    store: Store, fails: str, when: Any, runs: bool
) -> None:
    page, alarm = Fetch(fails=fails), Alarm()
    async with crawl(store) as executor:
        await executor.append_many([page, alarm], after={alarm: page}, when=when)
        if runs:
            await executor.result(alarm)
        else:
            with pytest.raises(DependencyError, match=str(page.id)):
                await executor.result(alarm)
        await executor.join()
    assert (alarm.id in Alarm.ran) is runs


async def test_a_parent_that_takes_too_long_has_not_completed(store: Store) -> None:
    class Slow(Event):
        timeout: float | None = 0.01

        async def _invoke(self) -> None:
            await asyncio.Event().wait()

    slow, book, alarm = Slow(), Merge(), Alarm()
    async with Executor.of(Slow, Merge, Alarm, store=store, queue="q") as executor:
        await executor.append(slow)
        await executor.append(book, after=slow)
        await executor.append(alarm, after=slow, when="failed")
        await executor.join()
    assert (slow.status, book.status, alarm.status) == (S.CANCELLED, S.CANCELLED, S.COMPLETED)


async def test_a_parent_whose_permission_is_denied_has_failed(store: Store) -> None:
    async def allow(**_: Any) -> bool:
        return False

    page, alarm = Fetch(), Alarm()
    executor = crawl(store, permission=allow, denial_backoff=0.0)
    await executor.append(page)
    await executor.append(alarm, after=page, when="completed")
    for _ in range(3):
        await executor.forward()
    assert page.status is S.ABORTED
    assert alarm.status is S.CANCELLED


async def test_a_retry_of_the_parent_runs_its_children(store: Store) -> None:
    page, book, last = Fetch(url="a", fails="no page"), Merge(), Alarm()
    async with crawl(store) as executor:
        await executor.append_many([page, book, last], after={book: page, last: book})
        await executor.join()
        assert (book.status, last.status) == (S.CANCELLED, S.CANCELLED)
        await executor.pause()
        await executor.retry(page)
        assert (book.execution.is_blocked, last.execution.is_blocked) == (True, True)


async def test_the_cancel_of_a_parent_cancels_its_children(store: Store) -> None:
    page, book, last = Fetch(), Merge(), Alarm()
    executor = crawl(store)
    await executor.append_many([page, book, last], after={book: page, last: book})
    assert await executor.cancel(page)
    assert [each.status for each in (page, book, last)] == [S.CANCELLED] * 3
    with pytest.raises(DependencyError, match=str(book.id)):
        await executor.result(last)


# -- what is refused -------------------------------------------------------------------------------

PAGE, BOOK = Fetch(), Merge()
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"after": 5}, "after: 5 is no event and no id: give an event"),
    ({"after": "x"}, "after: 'x' is no event and no id"),
    ({"after": [PAGE, None]}, "after: None is no event"),
    (
        {"after": PAGE, "when": "done"},
        "when must be one of completed, failed, finished, not 'done'",
    ),
    ({"after": PAGE, "when": ["failed"]}, "when must be one of"),
    ({"when": "failed"}, "when='failed' needs after: give both"),
    ({"after": BOOK}, "wait for each other in a cycle"),
    ({"after": [PAGE, BOOK.id]}, "wait for each other in a cycle"),
]


@pytest.mark.parametrize(("how", "text"), WRONG, ids=[text for _, text in WRONG])
async def test_a_wrong_dependency_is_refused(how: dict[str, Any], text: str) -> None:
    executor = crawl()
    with pytest.raises(ValidationError, match=text):
        await executor.append(BOOK, **how)
    assert len(executor.states.items) == 0
    assert BOOK.execution.after is None


MANY: list[tuple[dict[str, Any], str]] = [
    ({"after": [PAGE]}, "after must be a mapping from a child to its parents"),
    ({"after": {uuid4(): PAGE}}, "is not among the events: an existing event cannot gain parents"),
    ({"after": {"x": PAGE}}, "after: 'x' is no event"),
    ({"after": {BOOK: [7]}}, "after: 7 is no event"),
    ({"after": {BOOK: PAGE, PAGE: BOOK}}, "cycle"),
    ({"after": {BOOK: PAGE}, "when": "never"}, "when must be one of"),
    ({"when": "failed"}, "needs after"),
]


@pytest.mark.parametrize(("how", "text"), MANY, ids=[text for _, text in MANY])
async def test_a_wrong_dependency_of_a_batch_is_refused(how: dict[str, Any], text: str) -> None:
    executor = crawl()
    with pytest.raises(ValidationError, match=text):
        await executor.append_many([PAGE, BOOK], **how)
    assert len(executor.states.items) == 0


async def test_an_unknown_parent_is_refused(store: Store) -> None:
    executor, page, book = crawl(store), Fetch(), Merge()
    with pytest.raises(NotFoundError, match=str(page.id)):
        await executor.append(book, after=page)
    with pytest.raises(NotFoundError, match=str(page.id)):
        await executor.append_many([book, Alarm()], after={book: page})
    assert len(executor.states.items) == 0
    await executor.append_many([book, page], after={book: page})


async def test_a_parent_with_an_unfinished_child_is_not_removed(store: Store) -> None:
    page, book = Fetch(), Merge()
    executor = crawl(store)
    await executor.append_many([page, book], after={book: page})
    with pytest.raises(OperationError):
        await executor.remove(page)
    await executor.forward()
    assert page.status is S.COMPLETED
    if book.status is not S.COMPLETED:
        with pytest.raises(OperationError):
            await executor.remove(page)
        assert await executor.cleanup_events() == 0
        await executor.forward()
    assert await executor.cleanup_events() == 2


# -- running ---------------------------------------------------------------------------------------


async def test_rounds_run_parents_before_children(store: Store) -> None:
    pages, book = fetches(3), Merge()
    executor = crawl(store)
    await executor.append_many([book, *pages], [0.0, 1.0, 1.0, 1.0], after={book: pages})
    await executor.forward()
    assert [page.status for page in pages] == [S.COMPLETED] * 3
    await executor.forward()
    assert book.response == "<0><1><2>"


async def test_join_waits_for_blocked_events(store: Store) -> None:
    chain: list[Event] = [Fetch(url=str(number)) for number in range(20)]
    after = dict(zip(chain[1:], chain, strict=False))
    async with crawl(store) as executor:
        await executor.append_many(chain, after=after)
        await executor.join()
        assert [each.status for each in chain] == [S.COMPLETED] * 20


async def test_an_event_appends_its_own_continuation(store: Store) -> None:
    """The child is appended while its parent runs, just before that ends."""

    class Crawl(Event):
        async def _invoke(self) -> str:
            await current().executor.append(Merge(), after=current().event)
            return "crawled"

    async with Executor.of(Crawl, Merge, store=store, queue="q", concurrency_limit=8) as executor:
        await executor.append_many([Crawl() for _ in range(30)])
        await executor.join()
        merges = [each for each in executor.completed_events if isinstance(each, Merge)]
        assert [each.response for each in merges] == ["crawled"] * 30


async def test_no_child_is_forgotten_that_is_appended_while_its_parent_ends(store: Store) -> None:
    async with crawl(store, concurrency_limit=8) as executor:
        pages, alarms = fetches(60), [Alarm() for _ in range(60)]

        async def append(page: Fetch, alarm: Alarm) -> None:
            await executor.append(page)
            await executor.append(alarm, after=page)

        await asyncio.gather(*map(append, pages, alarms))
        await executor.join()
        assert [alarm.status for alarm in alarms] == [S.COMPLETED] * 60


async def test_two_parents_that_end_at_the_same_moment_release_their_child_once(
    store: Store,
) -> None:
    class Together(Event):
        async def _invoke(self) -> None:
            await barrier.wait()

    barrier = asyncio.Barrier(2)
    async with Executor.of(Together, Alarm, store=store, queue="q", concurrency_limit=4) as it:
        for _ in range(25):
            pair, alarm = [Together(), Together()], Alarm()
            await it.append_many([*pair, alarm], after={alarm: pair})
            await it.result(alarm)
        await it.join()
        ids = {each.id for each in it.completed_events}
        assert sum(each in ids for each in Alarm.ran) == 25


async def test_a_fan_out_and_fan_in_of_many_events_runs(store: Store) -> None:
    root, pages, book = Fetch(url="root"), fetches(300), Merge()
    after: dict[Event, Any] = dict.fromkeys(pages, root) | {book: pages}
    async with crawl(store, concurrency_limit=8) as executor:
        await executor.append_many([root, *pages, book], after=after)
        assert await executor.result(book) == "".join(f"<{number}>" for number in range(300))


async def test_observers_are_told_of_an_append_and_of_the_cancellation(store: Store) -> None:
    """A durable store may resolve what has ended before ``append`` has returned."""
    page, book, later = Fetch(fails="no page"), Merge(), Merge()
    seen: list[tuple[str, EventStatus | None, EventStatus | None]] = []
    names = {book.id: "book", later.id: "later"}
    executor = crawl(store)

    def observe(change: Transition) -> None:
        if change.event.id in names:
            seen.append((names[change.event.id], change.before, change.after))
            if len(seen) == 4:
                done.set()

    done = asyncio.Event()
    executor.observe(observe)
    await executor.append_many([page, book], after={book: page})
    await executor.forward()
    await executor.append(later, after=page)
    await done.wait()
    assert seen == [
        ("book", None, S.PENDING),
        ("book", S.PENDING, S.CANCELLED),
        ("later", None, S.PENDING),
        ("later", S.PENDING, S.CANCELLED),
    ]


async def test_why_names_the_first_parent(store: Store) -> None:
    pages, book = fetches(3), Merge()
    executor = crawl(store)
    await executor.append_many([*pages, book], after={book: pages})
    text = f"it waits for 3 parents to complete, first {Fetch.class_name(full=True)} {pages[0].id}"
    assert f"{text} (pending)" in str(await executor.why(book))


async def test_the_options_of_an_append_combine(store: Store) -> None:
    page, other = fetches(2)
    executor = crawl(store, max_queue_size=3)
    await executor.append_many([page, other])
    book = await executor.append(Merge(), after=page, unique="book", ttl=60.0, delay=5.0)
    assert book.execution.is_blocked
    assert await executor.append(Merge(), after=other, unique="book") is book
    assert await executor.append(book, after=other, exist_ok=True) is book
    assert [each.record.id async for each in executor.parents(book)] == [page.id]
    with pytest.raises(QueueFullError):
        await executor.append(Alarm(), after=page)


async def test_a_state_that_is_loaded_has_its_dependencies(store: Store) -> None:
    page, book, last = Fetch(url="a"), Merge(), Alarm()
    first = crawl()
    await first.append_many([page, book, last], after={book: page, last: book})
    async with crawl(store) as second:
        await second.load(first.states.to_dict())
        held = await second.get(book.id)
        assert isinstance(held, Merge)
        assert await second.result(held) == "<a>"
        await second.result(last.id)


async def test_a_cancelled_child_is_loaded_without_a_parent_that_was_removed(store: Store) -> None:
    (page, other), book = fetches(2), Merge()
    first = crawl()
    await first.append_many([page, other])
    await first.cancel(page)
    await first.append(book, after=[page, other])
    async with first:
        await first.result(other)
    assert book.status is S.CANCELLED
    await first.remove(page)
    executor = crawl(store)
    await executor.load(first.states.to_dict())
    assert [each.record.id async for each in executor.parents(book.id)] == [other.id]
    held = await executor.get(book.id)
    assert isinstance(held, Merge)
    await executor.retry(held)
    async with executor:
        assert await executor.result(held) == "<1>"


# -- a store with faults ---------------------------------------------------------------------------


async def test_a_store_with_faults_has_dependencies() -> None:
    faults = Faults(fail("append", nth=2), lose("append", nth=3), fail("parents"))
    executor = crawl(faults.around(MemoryStore("crawl")))
    page, book = Fetch(), Merge()
    await executor.append(page)
    with pytest.raises(Exception, match="injected"):
        await executor.append(book, after=page)
    assert book.execution.after is None
    with pytest.raises(Exception, match="injected"):
        await executor.append(book, after=page)
    assert book.execution.is_blocked
    with pytest.raises(Exception, match="injected"):
        [each async for each in executor.parents(book)]
    assert [each.record.id async for each in executor.parents(book)] == [page.id]
