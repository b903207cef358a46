"""Everything that a store has open, for one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from random import randrange
from typing import Any, Final, TypeVar

from ...errors import OperationError
from ..sql.process import forks
from ..sql.rows import QueuedAppend, QueuedCompletion
from .lanes import Asked, Lane, take
from .link import OWN_SHARDS, SHARDS, Db, Link
from .pool import Door, Pool
from .tables import TableNames

__all__ = ("MANY", "Lanes", "Opened")

T = TypeVar("T")

MANY: Final = 1_000
"""Events that one statement of a lane takes in or settles at most."""


class Lanes:
    """The functions that run the batches of the three hot lanes; each returns True to go on."""

    def __init__(
        self,
        *,
        enter: Callable[[Sequence[QueuedAppend]], Awaitable[bool]],
        settle: Callable[[Sequence[QueuedCompletion | Asked]], Awaitable[bool]],
        claim: Callable[[Sequence[Asked]], Awaitable[bool]],
    ) -> None:
        self.enter = enter
        self.settle = settle
        self.claim = claim


class Opened:
    """The connections, and the lanes over them.

    Appends, settlements and claims each have a lane, so that they share their statements with
    their like and wait for nobody else; very large appends have one, and all the rest another.

    Args:
        door: How connections are opened.
        names: The tables.
        queue: The queue's name.
        lanes: What does the work.
        connections: How many there may be.
        where: The server, for messages.
        patience: Seconds for which a step is tried again while the server cannot be had.
        clock: The time, in place of the server's.
        on_reopen: As for ``Pool``.
    """

    def __init__(
        self,
        door: Door,
        names: TableNames,
        queue: str,
        lanes: Lanes,
        *,
        connections: int,
        where: str,
        patience: float,
        clock: Callable[[], float] | None,
        on_reopen: Callable[[], object],
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self._where = where
        self._process = forks.count
        self._pool = Pool(door, connections, on_reopen)
        first = OWN_SHARDS * randrange(SHARDS // OWN_SHARDS)  # noqa: S311

        def link(shard: int, *, writes: bool = True, keeps: bool = False) -> Link:
            return Link(
                self._pool,
                names,
                queue,
                where=where,
                patience=patience,
                clock=clock,
                shard=first + shard,
                writes=writes,
                keeps=keeps,
            )

        self.entering, self.settling = link(0, keeps=True), link(1, keeps=True)
        self.claiming = link(2, keeps=True)
        self.reading = link(3, writes=False)
        self.enter: Lane[QueuedAppend] = Lane(lanes.enter, MANY)
        self.settle: Lane[QueuedCompletion | Asked] = Lane(lanes.settle, MANY)
        self.claim: Lane[Asked] = Lane(lanes.claim, 1)
        self.large: Lane[Asked] = Lane(partial(_take, link(4)), 1)
        self.rest: Lane[Asked] = Lane(partial(_take, link(3)), 1)
        self.clean: Lane[Asked] = Lane(partial(_take, link(3)), 1)

    @property
    def is_ours(self) -> bool:
        """Whether this process has opened it, not one that it was forked from."""
        return forks.count == self._process

    def check_process(self) -> None:
        """Refuse to work in a child process.

        Raises:
            OperationError: after ``fork``.
        """
        if forks.count != self._process:  # `is_ours`, a call shorter: every step asks
            raise OperationError(
                f"{self._where} was opened before fork(): open it again in the child process"
            )

    def ask(
        self, lane: Lane[Any], step: Any, then: Callable[[Any], Any] | None = None
    ) -> asyncio.Future[Any]:
        """Have a step taken in a lane.

        Args:
            lane: Which.
            step: What to do.
            then: Called with its answer once that is committed, even if nobody awaits it any
                more; what it gives is the future's result.
        """
        self.check_process()
        future: asyncio.Future[Any] = self.loop.create_future()
        lane.put(Asked(step, then, future))
        return future

    async def read(self, step: Callable[[Db], Awaitable[T]]) -> T:
        """What the tables say."""
        self.check_process()
        return await self.reading.run(step)

    async def quiet(self) -> None:
        """Return when nothing is under way."""
        lanes = (self.enter, self.large, self.claim, self.rest, self.clean, self.settle)
        while any(not lane.idle for lane in lanes):
            for lane in lanes:
                lane.go()
                await lane.quiet()
            if self.settle.stalled:
                break

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.close()


async def _take(link: Link, some: Sequence[Asked]) -> bool:
    """Take steps, one after another; not those that nobody waits for any more."""
    for asked in some:
        if not asked.future.cancelled():
            await take(link, asked.step, asked)
    return True
