"""Claims that a live worker gives up, in a file that cannot be written at that moment.

The worker renews its lease, so no sweep would return such a claim.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator

import apsw
import pytest
from stores.makers import Clock, Folder, Job, sqlite_in
from stores.test_contract_unreadable import Releases

from lionpride.errors import StoreError
from lionpride.model.execution import EventStatus
from lionpride.stores.sqlite import SqliteStore

S = EventStatus

OnClaim = Callable[[Callable[[], object]], None]


class OnWarning(logging.Handler):
    """Makes a call when a claim warns of an unreadable event: after its COMMIT."""

    def __init__(self, call: Callable[[], object]) -> None:
        super().__init__(logging.WARNING)
        self._call = call

    def emit(self, record: logging.LogRecord) -> None:
        if "cannot be read" in record.getMessage():
            self._call()


@pytest.fixture
def on_warning() -> Iterator[OnClaim]:
    logger, handlers = logging.getLogger("lionpride"), list[OnWarning]()

    def add(call: Callable[[], object]) -> None:
        handlers.append(OnWarning(call))
        logger.addHandler(handlers[-1])

    yield add
    for each in handlers:
        logger.removeHandler(each)


@pytest.mark.parametrize("fails", [False, True], ids=["pending", "failed"])
@pytest.mark.parametrize("cancelled", [False, True], ids=["answered", "cancelled"])
async def test_what_a_claim_gives_up_is_given_up_once_the_file_can_be_written(
    clock: Clock, on_warning: OnClaim, cancelled: bool, fails: bool
) -> None:
    folder, new = Folder(), Releases.new()
    first = sqlite_in(folder, clock)
    await first.append([(new(note="a"), 1.0), (Job(), 2.0)])  # type: ignore[call-arg]
    await first.close()
    old, store = Releases.old(), sqlite_in(folder, clock, patience=0.05)
    if fails:
        store.event_types.fail_unreadable()
    store.register_worker("worker", lambda event: None)
    await store.settled()
    other = apsw.Connection(str(folder.path / "run.db"))
    claim = asyncio.create_task(store.claim("worker", 2, start=True))

    def lock() -> None:
        other.execute("BEGIN IMMEDIATE")
        if cancelled:
            claim.cancel()

    on_warning(lock)
    await asyncio.wait([claim])
    assert claim.cancelled() is cancelled
    with pytest.raises(StoreError, match="locked by another process"):
        await store.settled()
    assert (await store.counts())[S.PROCESSING] == 2
    other.execute("ROLLBACK")
    other.close()
    await until_processing(store, 0 if cancelled else 1)
    counts = await store.counts()
    released = int(cancelled) + int(not fails)
    assert (counts[S.FAILED], counts[S.PENDING]) == (int(fails), released)
    await store.close()
    assert old is not None


async def until_processing(store: SqliteStore, total: int) -> None:
    """Return when so many are claimed: each commit of the store may be the one."""
    async with asyncio.timeout(30):
        while (await store.counts())[S.PROCESSING] != total:
            await asyncio.sleep(0.02)
