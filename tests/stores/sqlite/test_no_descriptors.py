"""A process without a free file descriptor: SQLite needs none once the file is open."""

import asyncio
from pathlib import Path

from crash.descriptors import exhaust

from lionpride import Event, EventStatus, Executor, ExistsError


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
