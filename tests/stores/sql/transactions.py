"""Transactions of the SQL stores in tests: operations run alone, watched, or as a repetition."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

from lionpride.stores.sql.backend import Transaction
from lionpride.stores.sql.store import SqlStore

Work: TypeAlias = Callable[[Transaction], Any]
"""An operation with all its arguments but the transaction."""


class Watched:
    """A transaction that calls something before each of its primitives.

    Args:
        tx: The transaction.
        before: Called before each primitive.
        earlier: Results of earlier tries, in place of those of the transaction.
    """

    def __init__(
        self,
        tx: Any,
        before: Callable[[], Awaitable[None]] | None = None,
        earlier: Sequence[Any] = (),
    ) -> None:
        self._tx = tx
        self._before = before
        self.earlier = earlier
        self.is_repeat = bool(earlier) or tx.is_repeat
        self.is_first_try = tx.is_first_try and not earlier

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._tx, name)
        if not callable(value) or name in ("count", "resolve_later"):
            return value

        async def primitive(*args: Any, **how: Any) -> Any:
            if self._before is not None:
                await self._before()
            return await value(*args, **how)

        return primitive


async def operate(store: Any, work: Work) -> Any:
    """Run an operation in a transaction of its own."""
    assert isinstance(store, SqlStore)
    return await store._backend.run(work)


async def repeat(store: Any, work: Work, *results: Any) -> Any:
    """Run an operation again, as after tries with these results whose commit got no answer."""
    return await operate(store, partial(_repeated, work, results))


async def _repeated(work: Work, results: Sequence[Any], tx: Transaction) -> Any:
    return await work(Watched(tx, earlier=results))


async def interleave(store: Any, work: Work, before: Callable[[], Awaitable[None]]) -> Any:
    """Run an operation, with a call before each of its primitives."""
    return await operate(store, partial(_watched, work, before))


async def _watched(work: Work, before: Callable[[], Awaitable[None]], tx: Any) -> Any:
    return await work(Watched(tx, before, tx.earlier))
