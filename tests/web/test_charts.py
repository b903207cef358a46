"""Charts of waits and durations say when they show a part of what ended."""

import asyncio
from pathlib import Path

import pytest
from web.asgi import client

from lionpride import web
from lionpride.core import Event, Executor, Processor


class Quick(Event):
    async def _invoke(self) -> None:
        return None


class Quicks(Processor):
    event_type = Quick


class QuickExecutor(Executor):
    processor_type = Quicks


MANY = 5_400
NEWEST = "the newest 5,000 of 5,400"


@pytest.mark.guard(90)
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_charts_of_the_newest_events_only_have_a_note(kind: str, tmp_path: Path) -> None:
    executor = QuickExecutor(store=None if kind == "memory" else f"sqlite:///{tmp_path / 'run.db'}")
    async with executor:
        await executor.append_many([Quick() for _ in range(MANY)])
        await executor.join()
    async with client(web.app(executor)) as http:
        while NEWEST not in (text := (await http.get("/")).text):
            await asyncio.sleep(0.05)
        for name in ("waited", "ran"):
            assert NEWEST in text.partition(f'id="{name}"')[2].partition("</section>")[0], name
        assert NEWEST not in text.partition('id="throughput"')[2].partition("</section>")[0]
        assert NEWEST in (await http.get("/timeline?last=15m")).text
    await executor.store.close()


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_charts_that_show_all_events_have_no_note(kind: str, tmp_path: Path) -> None:
    executor = QuickExecutor(store=None if kind == "memory" else f"sqlite:///{tmp_path / 'run.db'}")
    async with executor:
        await executor.append_many([Quick() for _ in range(30)])
        await executor.join()
        async with client(web.app(executor)) as http:
            for path in ("/", "/timeline", "/"):
                assert "the newest" not in (await http.get(path)).text
    await executor.store.close()
