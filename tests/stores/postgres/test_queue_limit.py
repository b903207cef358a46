"""A queue limit over PostgreSQL: appends share commits, and all processes share the limit."""

import asyncio
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
from stores.asking import check_counts
from stores.homes import Home
from stores.makers import Job, postgres_in
from stores.postgres.wire import wire_to

from lionpride.errors import QueueFullError
from lionpride.model.execution import EventStatus
from lionpride.stores.contract import Store

PRODUCER = """
import asyncio, sys
from lionpride.errors import QueueFullError
from lionpride.model.event_data import EventData
from lionpride.stores.postgres import PostgresStore


class Job(EventData):
    label: str = ""


async def main(url, schema, room, n):
    store = PostgresStore(url, "questions", schema=schema)
    print("ready", await store.counts() and "", flush=True)
    sys.stdin.readline()
    answers = await asyncio.gather(
        *(store.append([(Job(), 1.0)], room=room) for _ in range(n)), return_exceptions=True
    )
    assert {type(each) for each in answers} <= {list, QueueFullError}, answers
    print(sum(isinstance(each, list) for each in answers))
    await store.close()


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
"""


async def test_appends_with_a_queue_limit_share_commits(opened: list[Store]) -> None:
    home = Home()
    opened.append(store := postgres_in(home, None, connections=4))
    await asyncio.gather(*(store.append([(Job(), 1.0)], room=1000) for _ in range(200)))
    connection = await asyncpg.connect(home.url)
    try:
        commits = await connection.fetchval(
            f"SELECT count(DISTINCT xmin::text) FROM {home.schema}.event"
        )
    finally:
        await connection.close()
    assert commits <= 10


@pytest.mark.promise("queue-limit-across-processes")
@pytest.mark.guard(60)
async def test_several_processes_keep_the_limit_together(
    opened: list[Store], tmp_path: Path
) -> None:
    home = Home()
    opened.append(store := postgres_in(home, None))
    await store.append([(Job(), 1.0)])
    script = tmp_path / "producer.py"
    script.write_text(PRODUCER)
    command = [sys.executable, str(script), home.url, home.schema, "300", "250"]
    producers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for producer in producers:
        assert producer.stdout is not None
        assert await asyncio.to_thread(producer.stdout.readline) == "ready \n"
    for producer in producers:
        assert producer.stdin is not None
        producer.stdin.write("go\n")
        producer.stdin.flush()
    told = [(await asyncio.to_thread(producer.communicate))[0] for producer in producers]
    accepted = sum(map(int, told))
    assert accepted == 299
    assert (await store.counts())[EventStatus.PENDING] == 300
    await check_counts(store)


async def test_a_process_that_stops_in_the_midst_of_an_append_holds_up_no_other(
    opened: list[Store],
) -> None:
    home = Home()
    async with wire_to(home.url) as wire:
        opened.append(other := postgres_in(home, None, connections=2))
        home.url = wire.url
        opened.append(stopped := postgres_in(home, None, connections=2))
        await other.append([(Job(), 1.0)], room=3)
        await stopped.append([(Job(), 1.0)], room=3)
        wire.hold("INSERT INTO .*event")
        late = asyncio.create_task(stopped.append([(job := Job(), 1.0)], room=3))
        await wire.held.wait()  # it has counted what waits, and says no more
        await other.append([(Job(), 1.0)], room=3)
        wire.let_go()
        with pytest.raises(QueueFullError):
            await late
        assert await other.get([job.id]) == [None]
        await stopped.close()  # while there is a wire
