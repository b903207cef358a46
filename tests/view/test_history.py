"""How things went lately, as far as the store knows and as it is seen."""

import asyncio
from pathlib import Path

import pytest
from view.kit import KINDS, Sum, desk_over, filled

from lionpride.core import EventStatus
from lionpride.view.history import History
from lionpride.view.office import Office


@pytest.mark.parametrize("kind", KINDS)
async def test_what_ends_is_counted_as_it_ends(kind: str, tmp_path: Path) -> None:
    desk = desk_over(kind, tmp_path)
    office = Office(desk)
    history = History(office)
    assert await history.look() == dict.fromkeys(EventStatus, 0)
    await asyncio.sleep(0)
    await filled(desk)
    counts = await history.look()
    assert counts[EventStatus.FAILED] == 10
    assert counts[EventStatus.PENDING] == 10
    moments = history.series()
    assert len(moments) == history.moments
    ended = [sum(one.ended.values()) for one in moments]
    assert sum(ended) == 50
    assert any(one.waited is not None and one.ran is not None for one in moments)
    assert history.rate() > 0
    assert len(history.stays(0.0)) == 50
    await history.look()
    assert len(history.stays(0.0)) == 50
    await history.close()
    await office.close()
    await desk.store.close()


async def test_what_a_file_knows_of_before_is_counted_at_the_first_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lionpride.view.history.PATIENCE", 30.0)  # however busy the machine is
    desk = desk_over("sqlite", tmp_path)
    await filled(desk)
    office = Office(str(tmp_path / "run.db"))
    history = History(office)
    await history.look()
    assert sum(sum(one.ended.values()) for one in history.series()) == 50
    await desk.append(Sum(n=0))
    async with desk:
        await desk.join()
    await history.look()
    assert sum(sum(one.ended.values()) for one in history.series()) == 61
    await history.close()
    await office.close()
    await desk.store.close()
