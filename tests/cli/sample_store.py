"""A store with events in every status, for the commands that look after one."""

import asyncio

from lionpride.cli.store.location import locate_store
from lionpride.core import Event, Executor, Processor
from lionpride.errors import Skip


class Deed(Event):
    how: str = "return"
    size: int = 1

    async def _invoke(self):
        if self.how == "raise":
            raise ValueError("told\nto \x1b[31mfail")
        if self.how == "skip":
            raise Skip("not today")
        if self.how == "hang":
            await asyncio.sleep(1000)
        return {"how": self.how, "bytes": b"\x00", "nested": [1, (2, 3)]}


class DeedProcessor(Processor):
    event_type = Deed


class Deeds(Executor):
    processor_type = DeedProcessor


EVENTS = 6
"""How many `fill` puts into each queue: two completed, one each of four other statuses."""


def fill(store, *queues):
    """Make a store with these queues; the ids of the events by queue and status.

    A store is named as on a command line, or by the path of its file.
    """
    return asyncio.run(_fill(locate_store(str(store)).url, queues or ("deeds",)))


async def _fill(url, queues):
    ids = {}
    for queue in queues:
        desk = Deeds(store=url, queue=queue)
        hows = ("return", "raise", "skip", "hang", "return")
        events = [Deed(how=how, timeout=0.05 if how == "hang" else None) for how in hows]
        async with desk:
            await desk.append_many(events)
            await desk.join()
        last = Deed(how="raise", size=9)
        await desk.append(last, priority=2.5)
        await desk.store.close()
        for event in (*events, last):
            ids.setdefault((queue, event.status.value), []).append(str(event.id))
    return ids


class Reading(Event):
    streaming: bool = True
    pages: int = 2

    async def _stream(self):
        for page in range(self.pages):
            yield page
            self.progress(0.5, "half \x1b[31mof it")
        if self.pages == 2:
            await asyncio.sleep(1000)


class Readings(Processor):
    event_type = Reading


class Readers(Executor):
    processor_type = Readings


def while_it_runs(store, command):
    """What ``command(store, running, ended)`` gives beside a run, of the ids of two events."""
    return asyncio.run(_while_it_runs(locate_store(store), command))


async def _while_it_runs(place, command):
    async with Readers(store=place.url) as desk:
        event, ended = await desk.append_many([Reading(), Reading(pages=3)])
        await desk.result(ended)
        other = place.open(desk.store.queue)
        while not (await other.get([event.id]))[0].chunks:
            await asyncio.sleep(0.01)
        await other.close()
        code = await asyncio.to_thread(command, place.url, str(event.id), str(ended.id))
        await desk.cancel(event)
    return code
