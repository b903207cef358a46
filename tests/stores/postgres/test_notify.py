"""News between processes: told together, and heard again when the listener was cut off."""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import asyncpg
import pytest
from stores.asking import put, settle
from stores.homes import Home
from stores.makers import QUEUE, Job
from stores.postgres.wire import wire_to

from lionpride.model.execution import EventStatus
from lionpride.rules.limits.limit import Limit
from lionpride.rules.limits.limit_set import Limits
from lionpride.rules.state_machine import Completion
from lionpride.stores.listeners import Signal
from lionpride.stores.postgres import PostgresStore
from lionpride.stores.postgres.connection_pool import Connector
from lionpride.stores.postgres.notify import INTERVAL, STEADY, NotificationListener, Notifier
from lionpride.stores.postgres.tables import TableNames
from lionpride.stores.sql.backend import ENDED, READY
from lionpride.stores.terms import Terms


class Wire:
    """Takes down what is sent, and when; it fails as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.sent: list[tuple[float, str]] = []
        self.failures = failures

    async def send(self, step: Callable[[Any], Awaitable[Any]]) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError("cut")
        await step(self)

    async def run(self, text: str, channel: str, payload: str) -> None:
        self.sent.append((asyncio.get_running_loop().time(), payload))


@pytest.mark.virtual
async def test_the_first_news_go_at_once_and_what_comes_after_them_together() -> None:
    wire = Wire()
    notifier = Notifier(wire.send, "channel")
    notifier.mark = "me"
    began = asyncio.get_running_loop().time()
    notifier.notify(READY)
    await asyncio.sleep(0)
    for news in (ENDED, READY, ENDED, READY, READY):
        notifier.notify(news)
    await asyncio.sleep(1.0)
    notifier.notify(ENDED)
    await asyncio.sleep(1.0)
    times = [at - began for at, _ in wire.sent]
    assert times == pytest.approx([0.0, INTERVAL, 1.0])
    assert [said for _, said in wire.sent] == [f"me/{READY}", f"me/{ENDED}{READY}", f"me/{ENDED}"]


async def tell_endings(notifier: Notifier, seconds: float) -> None:
    """A thousand a second."""
    for _ in range(round(seconds * 1000)):
        notifier.notify(ENDED)
        await asyncio.sleep(0.001)


def gaps(wire: Wire) -> list[float]:
    times = [at for at, _ in wire.sent]
    return [after - before for before, after in pairwise(times)]


@pytest.mark.virtual
async def test_endings_are_told_less_often_while_more_follow_and_anything_else_as_ever() -> None:
    wire = Wire()
    notifier = Notifier(wire.send, "channel")
    await tell_endings(notifier, 0.1)
    assert gaps(wire)[:5] == pytest.approx([INTERVAL] * 5)
    wire.sent.clear()
    notifier.expect(more=True)
    await tell_endings(notifier, 1.0)
    assert gaps(wire)[:10] == pytest.approx([STEADY] * 10)
    wire.sent.clear()
    began = asyncio.get_running_loop().time()
    notifier.notify(READY)
    await asyncio.sleep(2 * INTERVAL)
    assert wire.sent[0][0] - began <= INTERVAL
    assert READY in wire.sent[0][1]
    await asyncio.sleep(1.0)


@pytest.mark.virtual
async def test_while_others_tell_of_endings_ours_wait_and_then_they_do_not() -> None:
    """Who is woken by theirs sees ours, too: eight who tell by turns would wake all each time."""
    wire = Wire()
    notifier = Notifier(wire.send, "channel")
    notifier.expect(more=True)
    notifier.notify(ENDED)
    await asyncio.sleep(1.0)
    wire.sent.clear()
    time = asyncio.get_running_loop().time
    for _ in range(2_000):
        notifier.note_received()
        notifier.notify(ENDED)
        await asyncio.sleep(0.001)
    assert wire.sent == []
    began = time()
    await asyncio.sleep(1.0)
    assert wire.sent[0][0] - began <= 2 * STEADY
    wire.sent.clear()
    notifier.note_received()
    began = time()
    notifier.notify(ENDED)
    notifier.expect(more=False)
    await asyncio.sleep(2 * INTERVAL)
    assert wire.sent[0][0] - began <= INTERVAL, "the last are not held back"
    await asyncio.sleep(1.0)


@pytest.mark.virtual
async def test_who_was_never_heard_tells_at_once_and_waits_for_others_then() -> None:
    """Those who tell learn from it that he is there, and look for themselves from then on."""
    wire = Wire()
    notifier = Notifier(wire.send, "channel")
    notifier.expect(more=True)
    loop = asyncio.get_running_loop()
    began = loop.time()
    notifier.note_received()
    notifier.notify(ENDED)
    await asyncio.sleep(1.0)
    assert wire.sent[0][0] == began
    began = loop.time()
    notifier.note_received()
    notifier.notify(ENDED)
    await asyncio.sleep(1.0)
    assert STEADY <= wire.sent[1][0] - began <= 2 * STEADY
    began = loop.time()
    notifier.note_received()
    notifier.notify(ENDED)
    notifier.notify(READY)
    await asyncio.sleep(1.0)
    assert wire.sent[2] == (began, f"/{ENDED}{READY}"), "anything else goes at once"


def test_another_loop_is_told_of_as_well() -> None:
    wire = Wire()
    notifier = Notifier(wire.send, "channel")
    notifier.expect(more=True)

    async def endings() -> float:
        began = asyncio.get_running_loop().time()
        await tell_endings(notifier, 2 * STEADY)
        await notifier.stop()
        return asyncio.get_running_loop().time() - began

    for _ in range(2):
        wire.sent.clear()
        took = asyncio.run(endings())
        assert 2 <= len(wire.sent) <= took / STEADY + 2, "as often as in the first"


@pytest.mark.virtual
async def test_the_last_ending_is_told_as_soon_as_nothing_follows() -> None:
    wire = Wire()
    notifier = Notifier(wire.send, "channel")
    notifier.expect(more=True)
    notifier.notify(ENDED)
    await asyncio.sleep(INTERVAL + 0.001)
    notifier.notify(ENDED)
    notifier.expect(more=False)
    await asyncio.sleep(0.001)
    assert len(wire.sent) == 2


@pytest.mark.virtual
async def test_news_that_cannot_be_told_are_let_go_and_the_next_are_told() -> None:
    wire = Wire(failures=1)
    notifier = Notifier(wire.send, "channel")
    notifier.notify(READY)
    await asyncio.sleep(1.0)
    notifier.notify(ENDED)
    await asyncio.sleep(1.0)
    assert [said for _, said in wire.sent] == [f"/{ENDED}"]


@pytest.mark.virtual
async def test_who_leaves_has_told_all_that_there_was_to_tell() -> None:
    wire = Wire()
    notifier = Notifier(wire.send, "channel")
    notifier.notify(READY)
    await notifier.leave()
    assert [said for _, said in wire.sent] == [f"/{READY}"]
    notifier.notify(READY)
    await asyncio.sleep(0)
    notifier.notify(ENDED)
    await notifier.leave()
    assert [said for _, said in wire.sent][1:] == [f"/{READY}", f"/{ENDED}"]
    await notifier.leave()  # nothing is left: it waits for nothing
    await notifier.stop()


@pytest.mark.virtual
async def test_who_leaves_does_not_wait_for_a_server_that_is_away() -> None:
    async def never(step: object) -> None:
        await asyncio.Event().wait()

    notifier = Notifier(never, "channel")
    notifier.notify(READY)
    began = asyncio.get_running_loop().time()
    await notifier.leave()
    assert asyncio.get_running_loop().time() - began <= 1.0
    await notifier.stop()


LISTENERS = "SELECT pid FROM pg_stat_activity WHERE query ILIKE 'LISTEN%' AND pid <> ALL($1)"


async def test_who_was_cut_off_from_the_news_looks_and_hears_again() -> None:
    home, rung = Home(), asyncio.Event()
    connection = await asyncpg.connect(home.url)
    before = [row["pid"] for row in await connection.fetch(LISTENERS, [])]
    producer = PostgresStore(home.url, QUEUE, schema=home.schema, listen=False)
    worker = PostgresStore(home.url, QUEUE, schema=home.schema, poll=60.0)
    try:
        await worker.counts()
        worker.subscribe(Signal.READY, rung.set, once=True)
        await rung.wait()  # it listens: until now something may have been missed
        rows = await connection.fetch(LISTENERS, before)
        assert len(rows) == 1
        for said in range(2):
            rung.clear()
            worker.subscribe(Signal.READY, rung.set, once=True)
            if said == 0:
                await connection.execute("SELECT pg_terminate_backend($1)", rows[0]["pid"])
            else:
                await put(producer, 1.0)
            await rung.wait()
    finally:
        await connection.close()
        await producer.close()
        await worker.close()


class SlowDoor(Connector):
    """Keeps the first connection back until ``let_go`` is set."""

    def __init__(self, home: Home) -> None:
        super().__init__(home.url, TableNames(home.schema, ""), pgbouncer=False, patience=10.0)
        self.opened: list[asyncpg.Connection] = []
        self.opens, self.let_go = asyncio.Event(), asyncio.Event()

    async def open(self) -> Any:
        self.opened.append(await super().open())
        self.opens.set()
        await self.let_go.wait()
        return self.opened[-1]


async def test_a_listener_that_is_to_reopen_while_it_opens_opens_a_new_connection() -> None:
    """The pool finds its server read-only, and the listener may have come to the same server."""
    connector, listens = SlowDoor(Home()), asyncio.Event()
    listener = NotificationListener(connector, "news", lambda _: listens.set())
    listener.open()
    try:
        await connector.opens.wait()
        listener.reopen()
        connector.let_go.set()
        while len(connector.opened) < 2 or not listener.is_connected:
            listens.clear()
            await asyncio.wait_for(listens.wait(), 10.0)
        assert connector.opened[0].is_closed()
    finally:
        await listener.stop()


async def test_what_was_done_just_before_the_store_was_closed_is_heard() -> None:
    home, rung = Home(), asyncio.Event()
    worker = PostgresStore(home.url, QUEUE, schema=home.schema, poll=60.0)
    try:
        await worker.counts()
        worker.subscribe(Signal.READY, rung.set, once=True)
        await rung.wait()  # it listens
        rung.clear()
        worker.subscribe(Signal.READY, rung.set, once=True)
        producer = PostgresStore(home.url, QUEUE, schema=home.schema, listen=False)
        await put(producer, 1.0)
        await producer.close()
        await rung.wait()
    finally:
        await worker.close()


async def test_an_ending_that_is_heard_while_a_claim_under_limits_is_under_way_counts() -> None:
    """The claim has read what is taken of the limit, and is answered after the news."""
    home, limits = Home(), Limits([Limit("requests", 1)])
    async with wire_to(home.url) as wire:
        holder = PostgresStore(home.url, QUEUE, schema=home.schema)
        other = PostgresStore(wire.url, QUEUE, schema=home.schema)
        try:
            hears = asyncio.Event()
            other.register_worker("other", lambda event: None)
            other.subscribe(Signal.READY, hears.set, once=True)
            await hears.wait()
            hears.clear()
            other.subscribe(Signal.READY, hears.set, once=True)
            await put(holder, 1.0, 1.0)
            await hears.wait()
            ((one,), _) = await holder.claim("holder", 1, limits=limits, start=True)
            wire.hold('"ready" r CROSS JOIN')
            claiming = asyncio.create_task(other.claim("other", 1, limits=limits, start=True))
            await wire.held.wait()
            other._local.others.are_known = False
            await settle(holder, one, Completion("done", 0.1))
            while not other._local.others.are_known:  # until it has heard
                await asyncio.sleep(0.001)
            wire.let_go()
            assert await claiming == ([], 0.0), "it has to look again"
        finally:
            other.unregister_worker("other")
            await holder.close()
            await other.close()


async def test_who_tells_steadily_hears_of_the_first_ending_of_somebody_new() -> None:
    """He knows of nobody else yet, and who is new does not wait for him."""
    home, over = Home(), asyncio.Event()
    teller = PostgresStore(home.url, QUEUE, schema=home.schema, poll=60.0)
    other = PostgresStore(home.url, QUEUE, schema=home.schema, poll=60.0)

    async def work() -> None:
        while not over.is_set():
            claims, _ = await teller.claim("teller", 1, start=True)
            for event, attempt in claims:
                teller.complete_soon(event, attempt, None, 0.1)
            await asyncio.sleep(0.01)

    working = None
    try:
        (awaited,) = await put(teller, 1.0)
        ((theirs,), _) = await other.claim("other", 1, start=True)
        await put(teller, *map(float, range(2, 2_000)))
        other.subscribe(Signal.READY, lambda: None, once=True)  # so that it listens
        working = asyncio.create_task(work())
        while (await teller.counts())[EventStatus.COMPLETED] < 20:  # it has told, and goes on
            await asyncio.sleep(0)
        other.complete_soon(*theirs, "done", 0.1)
        await other.claim("other", 1, start=True)
        while awaited.status is not EventStatus.COMPLETED:
            rung = asyncio.Event()
            teller.subscribe(Signal.FINISHED, rung.set, event=awaited, once=True)
            await rung.wait()
        assert awaited.response == "done"
    finally:
        over.set()
        if working is not None:
            await working
        await other.close()
        await teller.close()


async def test_who_tells_of_endings_and_waits_for_one_looks_himself() -> None:
    """Who has heard of them waits with his own."""
    home, rung = Home(), asyncio.Event()
    # Nothing is heard, nor looked for in time.
    teller = PostgresStore(home.url, QUEUE, schema=home.schema, listen=False, poll=60.0)
    other = PostgresStore(home.url, QUEUE, schema=home.schema)
    try:
        (awaited, _) = await put(teller, 1.0, 2.0)
        ((theirs,), _) = await other.claim("other", 1, start=True)
        ((mine,), _) = await teller.claim("teller", 1, start=True)
        shown = asyncio.Event()
        # It checks the event, and notices that there are other processes.
        teller.subscribe(Signal.FINISHED, shown.set, event=awaited, once=True)
        await shown.wait()
        teller.subscribe(Signal.FINISHED, rung.set, event=awaited, once=True)
        await settle(other, theirs, Completion("done", 0.1))
        assert not rung.is_set()
        await settle(teller, mine, Completion("done", 0.1))
        await rung.wait()
        assert awaited.response == "done"
    finally:
        await other.close()
        await teller.close()


async def test_only_an_append_with_a_latest_start_makes_others_read_the_next_expiry() -> None:
    home, ready = Home(), asyncio.Event()
    async with wire_to(home.url) as wire:
        producer = PostgresStore(home.url, QUEUE, schema=home.schema)
        worker = PostgresStore(wire.url, QUEUE, schema=home.schema, poll=60.0)
        try:
            wire.hold(r"SELECT expires FROM")
            worker.register_worker("worker", lambda event: None)
            await worker.counts()
            await wire.held.wait()  # it listens, and has looked for all that it may have missed
            wire.let_go()
            wire.hold(r"SELECT expires FROM")
            for _ in range(3):
                ready.clear()
                worker.subscribe(Signal.READY, ready.set, once=True)
                await put(producer, 1.0)
                await ready.wait()
            assert not wire.held.is_set()
            terms = Terms(expires=producer.time() + 3600.0)
            await producer.append([(Job(), 1.0)], terms=terms)
            await wire.held.wait()
            wire.let_go()
        finally:
            worker.unregister_worker("worker")
            await producer.close()
            await worker.close()


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_a_store_listens_again_in_another_event_loop() -> None:
    """The connections of the loops that have ended can only be dropped."""
    home = Home()
    store = PostgresStore(home.url, QUEUE, schema=home.schema, poll=60.0)

    async def listen() -> None:
        ready = asyncio.Event()
        await store.counts()
        store.subscribe(Signal.READY, ready.set, once=True)
        await asyncio.wait_for(ready.wait(), 30)  # called when it listens

    async def close() -> None:
        await store.close()

    for each in (listen, listen, close):
        asyncio.run(each())
    gc.collect()
