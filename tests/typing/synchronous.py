"""``lionpride.sync`` as users write it, for mypy and pyright; nothing here is ever run."""

from collections.abc import AsyncIterator
from typing import Any, assert_type
from uuid import UUID

from lionpride import Event, job
from lionpride import Executor as AsyncExecutor
from lionpride.stores.record import Record
from lionpride.sync import Batch, Executor, Iteration


class Square(Event):
    number: int

    async def _invoke(self) -> int:
        return self.number**2


@job
def plain(x: int) -> float:
    return x / 2


@job
async def chunks(n: int) -> AsyncIterator[str]:
    for _ in range(n):
        yield "chunk"


executor = Executor.of(Square, plain, chunks, queue="q", store="sqlite:///run.db", grace=5.0)
assert_type(executor, Executor)
Executor.of(Square, concurency_limit=8)  # type: ignore[call-arg]
Executor.of(Square(number=1))  # type: ignore[arg-type]
Executor(lambda: AsyncExecutor.of(Square))


def results_are_typed(uid: UUID) -> None:
    assert_type(executor.run(Square(number=7), priority=1, timeout=3), int)
    assert_type(executor.run(plain(3), delay=3.0), float)
    assert_type(executor.run(chunks(3)), list[str])
    assert_type(executor.result(Square(number=1), timeout=None), int)
    assert_type(executor.result(uid), Any)
    assert_type(executor.get(uid, timeout=1.0), Event | Record)
    assert_type(executor.append(Square(number=1)), Square)
    assert_type(executor.append_many([Square(number=1)]), list[Square])
    assert_type(executor.map(Square(number=n) for n in range(3)), Iteration[Square])
    assert_type(executor.as_completed([uid]), Iteration[Event])
    assert_type(executor.batch([Square(number=1)]), Batch[int])
    assert_type(executor.batch([Square(number=1)]).result(timeout=3), list[int])
    assert_type(executor.counts(), dict[str, int])
    assert_type(executor.pending_events, list[Event])
    for event in executor.map([Square(number=1)], timeout=3):
        assert_type(event.number, int)
    executor.append(Square(number=1), timeout="3")  # type: ignore[arg-type]
    executor.run(Square(number=1), connection=None)  # type: ignore[call-overload]
