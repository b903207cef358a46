"""Operations on SQLite run in a transaction that many callers share: they must not suspend."""

import asyncio
from typing import Any

import pytest
from stores.asking import bring, put
from stores.makers import Clock, sqlite
from stores.sql.transactions import operate

from lionpride.core import EventStatus
from lionpride.stores.sql import operations


async def test_an_operation_that_suspends_raises_and_changes_nothing(
    clock: Clock, unexpected_errors: list[str]
) -> None:
    store = sqlite(clock)
    failed = await bring(store, EventStatus.FAILED)

    async def suspend(tx: Any) -> None:
        await operations.retry(tx, [failed.execution.arrival])
        await asyncio.sleep(0)

    try:
        with pytest.raises(RuntimeError, match="must not suspend"):
            await operate(store, suspend)
        (logged,) = unexpected_errors
        assert "must not suspend" in logged
        unexpected_errors.clear()
        assert (await store.counts())[EventStatus.FAILED] == 1
        await put(store, 1.0)
        assert (await store.counts())[EventStatus.PENDING] == 1
    finally:
        await store.close()
