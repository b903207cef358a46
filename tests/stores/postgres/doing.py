"""Events that go through all tables of a schema, by each way there is."""

import asyncio
from pathlib import Path
from typing import Any

from engine.goods import Desk, Pages, Square

from lionpride.core import EventStatus, Retry


async def do_everything(desk: Desk, connection: Any, gate: Path) -> None:
    """Have events go through all tables, by each way there is."""
    store: Any = desk.store
    later = await desk.append(Square(number=1), delay=3600.0)
    gone = await desk.append(Square(number=2), delay=3600.0)
    short = await desk.append(Square(number=2), ttl=0.01)
    assert await desk.cancel(later)
    await desk.remove(gone)
    while short.status is EventStatus.PENDING:
        await asyncio.sleep(0.01)
    assert short.status is EventStatus.CANCELLED
    await desk.append(Square(number=3), connection=connection)
    async with desk:
        assert await desk.result(await desk.append(Square(number=3))) == 9
        failing = await desk.append(Square(number=-1), retry=Retry(attempts=2, backoff=0.01))
        await desk.join()
        assert failing.status is EventStatus.FAILED
        await desk.retry(failing)
        pages = await desk.append(Pages(path=str(gate)))
        async for _ in desk.stream(pages):
            gate.touch()
        await desk.pause()
        await desk.resume()
        await desk.join()
        await store.reap()
    await store.prune(list(EventStatus))
    assert sum((await store.counts()).values()) == 0
