"""A store with events in every status, for the commands that look after one."""

import asyncio

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


def fill(path, *queues):
    """Make a store with these queues; the ids of the events by queue and status."""
    return asyncio.run(_fill(path, queues or ("deeds",)))


async def _fill(path, queues):
    ids = {}
    for queue in queues:
        desk = Deeds(store=f"sqlite:///{path}", queue=queue)
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
