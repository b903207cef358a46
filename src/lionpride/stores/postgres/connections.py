"""The connections and pipelines of a store in one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from random import randrange
from typing import Any, Final, NamedTuple, TypeVar

from ...errors import OperationError
from ..sql.process import forks
from ..sql.rows import QueuedAppend, QueuedCompletion
from .connection_pool import ConnectionPool, Connector
from .pipelines import Pipeline, Request, fail_future, fail_requests, run_request
from .session import OWN_SHARDS, SHARDS, Session, TableConnection
from .tables import TableNames

__all__ = ("MANY", "Batches", "Connections")

T = TypeVar("T")

MANY: Final = 1_000
"""Maximum number of events that one statement appends or settles."""


class Batches(NamedTuple):
    """The functions that run the batches of the hot pipelines; each returns True to go on.

    ``fail_settlements`` is called with settlements after an error of ``settle``.
    """

    append: Callable[[Sequence[QueuedAppend]], Awaitable[bool]]
    settle: Callable[[Sequence[QueuedCompletion | Request]], Awaitable[bool]]
    claim: Callable[[Sequence[Request]], Awaitable[bool]]
    fail_settlements: Callable[[Sequence[QueuedCompletion | Request], Exception], None]


class Connections:
    """The connections of one event loop, and the pipelines that use them.

    Appends, claims and settlements have a pipeline and a connection each, so their statements
    overlap. Large appends, vacuums and all other steps have a pipeline each.

    Args:
        connector: Opens connections.
        names: The tables.
        queue: The queue's name.
        batches: The functions that run batches.
        connections: Maximum number of connections.
        where: The server, for messages.
        patience: Seconds for which a step is tried again while the server is unavailable.
        clock: Returns the time, in place of the server's clock.
        on_reopen: As for ``ConnectionPool``.
        resolve_soon: See ``Session``.
    """

    def __init__(
        self,
        connector: Connector,
        names: TableNames,
        queue: str,
        batches: Batches,
        *,
        connections: int,
        where: str,
        patience: float,
        clock: Callable[[], float] | None,
        on_reopen: Callable[[], object],
        resolve_soon: Callable[[], object],
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self._where = where
        self._process = forks.count
        self._pool = ConnectionPool(connector, connections, on_reopen)
        first = OWN_SHARDS * randrange(SHARDS // OWN_SHARDS)  # noqa: S311

        def session(shard: int, *, writes: bool = True, keeps: bool = False) -> Session:
            return Session(
                self._pool,
                names,
                queue,
                where=where,
                patience=patience,
                clock=clock,
                shard=first + shard,
                writes=writes,
                keeps=keeps,
                resolve_soon=resolve_soon,
            )

        self.append_session, self.settle_session = session(0, keeps=True), session(1, keeps=True)
        self.claim_session = session(2, keeps=True)
        self.read_session = session(3, writes=False)
        self.appends = Pipeline(batches.append, MANY, _fail_appends)
        self.settlements = Pipeline(batches.settle, MANY, batches.fail_settlements)
        self.claims = Pipeline(batches.claim, 1, fail_requests)
        self.large_appends = Pipeline(partial(_run_each, session(4)), 1, fail_requests)
        self.others = Pipeline(partial(_run_each, session(3)), 1, fail_requests)
        self.vacuums = Pipeline(partial(_run_each, session(3)), 1, fail_requests)

    @property
    def is_ours(self) -> bool:
        """True if this process opened it, and not the process that it was forked from."""
        return forks.count == self._process

    def check_process(self) -> None:
        """Check that this is the process that opened the connections.

        Raises:
            OperationError: after ``fork``.
        """
        if forks.count != self._process:  # `is_ours`, a call shorter: every step asks
            raise OperationError(
                f"{self._where} was opened before fork(): open it again in the child process"
            )

    def ask(
        self, pipeline: Pipeline[Any], step: Any, then: Callable[[Any], Any] | None = None
    ) -> asyncio.Future[Any]:
        """Request a step of a pipeline; the arguments are those of ``Request``."""
        self.check_process()
        future: asyncio.Future[Any] = self.loop.create_future()
        pipeline.put(Request(step, then, future))
        return future

    async def read(self, step: Callable[[TableConnection], Awaitable[T]]) -> T:
        """Run a step that only reads."""
        self.check_process()
        return await self.read_session.run(step)

    async def quiet(self) -> None:
        """Wait until no request is left, or the settlements fail."""
        pipelines: tuple[Pipeline[Any], ...]
        pipelines = (
            self.appends,
            self.large_appends,
            self.claims,
            self.others,
            self.vacuums,
            self.settlements,
        )
        while any(not each.idle for each in pipelines):
            for each in pipelines:
                each.go()
                await each.quiet()
            if self.settlements.stalled:
                break

    async def close(self) -> None:
        """Close the connections."""
        await self._pool.close()


async def _run_each(session: Session, requests: Sequence[Request]) -> bool:
    """Run requests, one after another, without those that were cancelled."""
    for request in requests:
        if not request.future.cancelled():
            await run_request(session, request)
    return True


def _fail_appends(entries: Sequence[QueuedAppend], error: Exception) -> None:
    """Raise an error in the caller of each append."""
    for one in entries:
        fail_future(one[2], error)
