"""A SQLite store whose commits take their time, in turns of the loop instead of a thread.

So what may happen while a commit is under way happens, and the same seed gives the same history.
No virtual time passes meanwhile: a loop with something to call does not jump.
"""

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Any

from stores.makers import STORES, Folder, Make, sqlite_in

from lionpride.stores.contract import Store

TURNS = (0, 0, 1, 2, 5)
"""How many turns of the loop a commit may take."""


def unhurried(clock: Callable[[], float]) -> Store:
    """A store in a file of its own; its leases outlast any jump of a virtual clock."""
    store = sqlite_in(Folder(), clock, lease=1e9)
    commits, rng = store._open.commits, Random(0)

    def in_turns(batch: Any, work: Callable[[], Any]) -> None:
        wait(rng.choice(TURNS), partial(finish, batch, work))

    def finish(batch: Any, work: Callable[[], Any]) -> None:
        try:
            answers = work()
        except Exception as error:
            commits._failed(batch, error)
        else:
            commits._done(batch, answers)

    def at_once(batch: Any, answers: Any) -> None:
        in_turns(batch, partial(commits._commit, answers))

    def wait(turns: int, call: Callable[[], None]) -> None:
        assert commits._loop is not None
        commits._loop.call_soon(partial(wait, turns - 1, call) if turns else call)

    commits._at_once = at_once  # type: ignore[method-assign]
    commits._in_thread = in_turns  # type: ignore[method-assign]
    return store


SIMULATED: dict[str, Make] = {**STORES, "sqlite": unhurried}
"""The stores that executors are simulated over."""
