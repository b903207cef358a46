"""Notifications of changes."""

from web.kit import Job, JobExecutor

from lionpride.web.access import Access
from lionpride.web.context import PageContext
from lionpride.web.live import _changes


async def test_a_message_is_sent_after_each_change_until_the_page_closes() -> None:
    executor = JobExecutor()
    shown = PageContext(executor, Access())
    said = _changes(shown)
    assert await anext(said) == "retry: 2000\n\n"
    first = await anext(said)
    await executor.append(Job())
    second = await anext(said)
    assert first.startswith("data: ")
    assert second != first
    assert await shown.version() in second
    await shown.close()
    assert [each async for each in said] == []
