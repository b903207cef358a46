"""The page names events that a worker cannot read, with the worker, the class and the field."""

from pathlib import Path

import pytest
from engine.releases import Plain, fill, release
from web.asgi import client

from lionpride import web
from lionpride.core import EventStatus
from lionpride.errors import OperationError


async def test_the_page_shows_the_events_that_a_worker_cannot_read(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'run.db'}"
    await fill(url, 3)
    old, executor = release(), Plain(store=url, queue="q")
    page = web.app(executor, authorize=lambda request, what: True)
    async with executor, client(page) as browser:
        with pytest.raises(OperationError, match="cannot read 3 events"):
            await executor.join()
        records = await executor.store.list_records(EventStatus.PENDING)
        for path in ("/", "/workers"):
            text = (await browser.get(path)).text
            assert f"ould not read 3 of {records[0].kind}, such as" in text
            assert "note: Extra inputs are not permitted" in text
            assert any(f"events/{one.id}" in text for one in records)
        for one in records:
            text = (await browser.get(f"/events/{one.id}")).text
            assert "this process cannot read it" in text
            assert "note: Extra inputs are not permitted" in text
    assert old is not None
