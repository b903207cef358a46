"""Several stores on one file, as several processes have them: what holds for all of them."""

from pathlib import Path

import pytest
from stores.makers import QUEUE, Job

from lionpride.core import EventStatus
from lionpride.errors import QueueFullError
from lionpride.stores.sqlite import SqliteStore


async def test_the_room_is_that_of_the_file(tmp_path: Path) -> None:
    one, other = (SqliteStore(tmp_path / "run.db", QUEUE) for _ in range(2))
    try:
        await one.append([(Job(), 0.0), (Job(), 0.0)], room=3)
        with pytest.raises(QueueFullError):
            await other.append([(Job(), 0.0), (Job(), 0.0)], room=3)
        await other.append([(Job(), 0.0)], room=3)
        assert (await one.counts())[EventStatus.PENDING] == 3
    finally:
        await one.close()
        await other.close()
