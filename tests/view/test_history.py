"""The recent history of a store."""

import asyncio
from pathlib import Path

import pytest
from view.kit import KINDS, Sum, filled, make_executor

from lionpride.core import EventStatus
from lionpride.view.history import History
from lionpride.view.monitor import Monitor


@pytest.mark.parametrize("kind", KINDS)
async def test_finished_events_are_counted_in_the_interval_in_which_they_finish(
    kind: str, tmp_path: Path
) -> None:
    executor = make_executor(kind, tmp_path)
    monitor = Monitor(executor)
    history = History(monitor)
    assert await history.refresh() == dict.fromkeys(EventStatus, 0)
    await asyncio.sleep(0)
    await filled(executor)
    counts = await history.refresh()
    assert counts[EventStatus.FAILED] == 10
    assert counts[EventStatus.PENDING] == 10
    intervals = history.series()
    assert len(intervals) == history.intervals
    ended = [sum(one.ended.values()) for one in intervals]
    assert sum(ended) == 50
    assert any(one.waited is not None and one.ran is not None for one in intervals)
    assert history.rate() > 0
    assert len(history.finished_events(0.0)) == 50
    await history.refresh()
    assert len(history.finished_events(0.0)) == 50
    await history.close()
    await monitor.close()
    await executor.store.close()


async def test_the_first_refresh_counts_the_earlier_history_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "lionpride.view.history.FIRST_READ_TIMEOUT", 30.0
    )  # however busy the machine is
    executor = make_executor("sqlite", tmp_path)
    await filled(executor)
    monitor = Monitor(str(tmp_path / "run.db"))
    history = History(monitor)
    await history.refresh()
    assert sum(sum(one.ended.values()) for one in history.series()) == 50
    await executor.append(Sum(n=0))
    async with executor:
        await executor.join()
    await history.refresh()
    assert sum(sum(one.ended.values()) for one in history.series()) == 61
    await history.close()
    await monitor.close()
    await executor.store.close()
