"""A process without a free file descriptor: SQLite needs none once the file is open."""

import asyncio
from pathlib import Path

from crash.descriptors import exhaust

from lionpride import Event, EventStatus, Executor, ExistsError, StoreError


class Page(Event):
    text: str = ""

    async def _invoke(self) -> str:
        return self.text


async def test_large_steps_need_no_temporary_file(tmp_path: Path) -> None:
    """What SQLite keeps to undo a statement exceeds 64 KiB, in a batch and in savepoints."""
    executor = Executor.of(Page, store=f"sqlite:///{tmp_path / 'run.db'}")
    (known,) = await executor.append_many([Page()])
    release = exhaust()
    try:
        await executor.append_many([Page(text="x" * 2000) for _ in range(3000)])
        alone = [executor.append(Page(text="y" * 3000)) for _ in range(300)]
        again = executor.append(Page(id=known.id))
        *_, refused = await asyncio.gather(*alone, again, return_exceptions=True)
    finally:
        release()
    assert isinstance(refused, ExistsError)
    counts = await executor.store.counts()
    assert counts[EventStatus.PENDING] == 3301
    await executor.store.close()


async def test_a_store_that_could_not_be_opened_keeps_no_file_open(tmp_path: Path) -> None:
    """Whichever of its files is the first that cannot be opened."""
    url = f"sqlite:///{tmp_path / 'run.db'}"
    first = Executor.of(Page, store=url)
    await first.counts()
    await first.store.close()
    refused = 0
    while True:
        executor = Executor.of(Page, store=url)
        before = sorted(Path("/proc/self/fd").iterdir())
        release = exhaust(besides=refused)
        try:
            await executor.counts()
        except StoreError:
            refused += 1
        else:
            break
        finally:
            release()
        assert sorted(Path("/proc/self/fd").iterdir()) == before
    await executor.store.close()
    assert refused > 3
