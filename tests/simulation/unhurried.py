"""Stores whose steps take their time, of which no virtual time passes.

A SQLite store's commits take turns of the loop instead of a thread: what may happen while one is
under way happens, and the same seed gives the same history. A loop with something to call does
not jump. For the answers of a server virtual time stands still.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from stores.homes import Home
from stores.makers import STORES, Folder, Make, postgres_in, sqlite_in

from lionpride.stores.contract import Store

TURNS = (0, 0, 1, 2, 5)
"""How many turns of the loop a commit may take."""


def unhurried(clock: Callable[[], float]) -> Store:
    """A store in a file of its own; its leases outlast any jump of a virtual clock."""
    store = sqlite_in(Folder(), clock, lease=1e9)
    commits, rng = store._backend.file.commits, Random(0)

    def in_turns(batch: Any, work: Callable[[Any], None]) -> None:
        wait(rng.choice(TURNS), partial(finish, batch, work))

    def finish(batch: Any, work: Callable[[Any], None]) -> None:
        assert batch.take()
        try:
            work(batch)
        except Exception as error:
            commits._failed(batch, error)
        else:
            commits._done(batch, batch.answers)

    def at_once(batch: Any) -> None:
        in_turns(batch, commits._commit)

    def wait(turns: int, call: Callable[[], None]) -> None:
        assert commits._loop is not None
        commits._loop.call_soon(partial(wait, turns - 1, call) if turns else call)

    commits._at_once = at_once  # type: ignore[method-assign]
    commits._in_thread = in_turns  # type: ignore[method-assign]
    return store


def waited_for(clock: Callable[[], float]) -> Store:
    """A store in a database for whose answers virtual time stands still."""
    store = postgres_in(Home(), clock, lease=1e9, poll=60.0, connections=3)
    pool: Any = store._backend.opened._pool
    loop: Any = asyncio.get_running_loop()
    take, give, drop = pool.take, pool.give, pool.drop

    async def taken(*wanted: Any) -> Any:
        loop.threads += 1
        try:
            return await take(*wanted)
        except BaseException:
            loop.threads -= 1
            raise

    def given(then: Callable[[Any], None], connection: Any) -> None:
        loop.threads -= 1
        then(connection)

    pool.take, pool.give, pool.drop = taken, partial(given, give), partial(given, drop)
    return store


SIMULATED: dict[str, Make] = {**STORES, "sqlite": unhurried, "postgres": waited_for}
"""The stores that executors are simulated over."""
