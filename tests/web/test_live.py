"""What is sent when something changes."""

from web.kit import Desk, Job

from lionpride.web.access import Access
from lionpride.web.desk import Desk as Shown
from lionpride.web.live import _changes


async def test_a_word_for_each_change_and_an_end() -> None:
    desk = Desk()
    shown = Shown(desk, Access())
    said = _changes(shown)
    assert await anext(said) == "retry: 2000\n\n"
    first = await anext(said)
    await desk.append(Job())
    second = await anext(said)
    assert first.startswith("data: ")
    assert second != first
    assert await shown.version() in second
    await shown.close()
    assert [each async for each in said] == []
