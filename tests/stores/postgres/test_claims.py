"""What a worker claims while what it has done is not on record."""

from typing import ClassVar

import asyncpg
from stores.homes import Home

from lionpride.core import Event, EventStatus, Executor, Processor
from lionpride.stores.postgres.claims import AHEAD
from lionpride.stores.postgres.names import Names

SLOTS = 4


class Quick(Event):
    """Counts that it has run."""

    ran: ClassVar[list[int]] = []
    n: int = 0

    async def _invoke(self) -> None:
        self.ran.append(self.n)


class QuickProcessor(Processor):
    event_type: ClassVar[type[Event]] = Quick


class QuickDesk(Executor):
    processor_type: ClassVar[type[Processor]] = QuickProcessor


async def test_nothing_is_claimed_while_far_more_has_ended_than_is_on_record() -> None:
    """Claims go over a connection of their own: they do not stop where settlements do."""
    home = Home()
    store = f"{home.url}&lionpride_schema={home.schema}"
    desk = QuickDesk({"concurrency_limit": SLOTS}, store=store)
    await desk.append_many([Quick(n=n) for n in range(200)])
    other: asyncpg.Connection = await asyncpg.connect(home.url)
    lock = other.transaction()
    try:
        await lock.start()
        await other.execute(Names(home.schema, "").fill("LOCK TABLE {finished} IN EXCLUSIVE MODE"))
        async with desk:
            before = -1
            while before < SLOTS or len(Quick.ran) > before:  # a hundred looks without one more
                before = len(Quick.ran)
                for _ in range(100):
                    await desk.store.counts()
            assert before <= (AHEAD + 1) * SLOTS, "a kill would have run more again"
            await lock.rollback()
            await desk.join()
            assert (await desk.store.counts())[EventStatus.COMPLETED] == 200
    finally:
        await other.close()
        await desk.store.close()
    assert sorted(Quick.ran) == list(range(200))
