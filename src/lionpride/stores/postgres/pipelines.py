"""Pipelines that batch requests: requests that arrive while a batch runs form the next batch."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from inspect import isawaitable
from typing import Any, Final, Generic, NamedTuple, TypeVar

from ...errors import StoreError
from .session import Session, TableConnection

__all__ = ("Pipeline", "Request", "fail_future", "fail_requests", "run_request")

T = TypeVar("T")


class Request(NamedTuple):
    """A step that a caller waits for.

    Attributes:
        step: The step.
        then: Called with the step's answer after the commit, also if the caller was cancelled
            meanwhile; its result is the future's.
        future: The future that the caller awaits.
    """

    step: Any
    then: Callable[[Any], Any] | None
    future: asyncio.Future[Any]

    def fail(self, error: BaseException) -> None:
        """Raise an error in the caller."""
        fail_future(self.future, error)

    async def answer(self, answer: Any) -> None:
        """Call ``then`` with the answer of the committed step, and wake the caller."""
        try:
            value = answer if self.then is None else self.then(answer)
            if isawaitable(value):
                value = await value
        except Exception as error:
            self.fail(error)
        else:
            if not self.future.done():
                self.future.set_result(value)


def fail_future(future: asyncio.Future[Any], error: BaseException) -> None:
    """Raise an error in the caller that awaits a future, if it waits still."""
    if not future.done():
        future.set_exception(error)


def fail_requests(requests: Sequence[Request], error: Exception) -> None:
    """Raise an error in the caller of each request."""
    for request in requests:
        request.fail(error)


async def run_request(
    link: Session, request: Request, step: Callable[[TableConnection], Awaitable[Any]] | None = None
) -> None:
    """Run the step of a request, or another one in its place, and answer the request."""
    try:
        answer = await link.run(request.step if step is None else step)
    except Exception as error:
        request.fail(error)
    else:
        await request.answer(answer)


_INTERRUPTED: Final = (
    "the task that sends requests to the server was cancelled, so it is unknown whether this one "
    "was recorded: cancel only tasks of your own, not all tasks of the event loop"
)


class Pipeline(Generic[T]):
    """Runs one batch after another; requests that arrive during a batch form the next.

    Args:
        make: Runs a batch, and handles the errors of the server. Returns True to go on with the
            next batch.
        most: Maximum number of requests in a batch.
        fail: Called with requests that are not answered, since ``make`` has raised an error.
    """

    def __init__(
        self,
        make: Callable[[Sequence[T]], Awaitable[bool]],
        most: int,
        fail: Callable[[Sequence[T], Exception], None],
    ) -> None:
        self._make = make
        self._most = most
        self._fail = fail
        self._items: list[T] = []
        self._under_way = 0
        self._task: asyncio.Task[None] | None = None
        self._turn: asyncio.Future[None] | None = None  # ends with the batch that is under way
        self.stalled = False  # the last batch failed, and nothing has restarted the pipeline since

    def put(self, item: T) -> None:
        """Add a request to the next batch."""
        self._items.append(item)
        self.go()

    def put_back(self, items: Sequence[T]) -> None:
        """Add requests in front of the others, and stall until the next request or ``go``."""
        self._items[:0] = items
        self.stalled = True

    def go(self) -> None:
        """Start the next batch if there are requests and no batch is under way."""
        if self._task is None and self._items:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            self.stalled = False
            while self._items and not self.stalled:
                await asyncio.sleep(0)  # requests of this turn of the event loop join the batch
                items = self._items[: self._most]
                del self._items[: self._most]
                await self._run_batch(items)
        except asyncio.CancelledError as error:  # of all tasks, by user code
            items, self._items = self._items, []
            self._fail(items, StoreError(_INTERRUPTED, cause=error))
            raise
        finally:
            self._task = None

    async def _run_batch(self, items: Sequence[T]) -> None:
        self._under_way = len(items)
        self._turn = asyncio.get_running_loop().create_future()
        try:
            self.stalled = not await self._make(items)
        except asyncio.CancelledError:
            self._items[:0] = items  # fail with the others
            raise
        except Exception as error:
            self._fail(items, error)
        finally:
            self._under_way = 0
            self._turn.set_result(None)
            self._turn = None

    @property
    def behind(self) -> int:
        """Number of requests that are not done."""
        return len(self._items) + self._under_way

    @property
    def idle(self) -> bool:
        """True if there are no requests."""
        return self._task is None and not self._items

    async def passed(self) -> bool:
        """Wait until the batch that is under way is done; return False if there is none."""
        if self._turn is None:
            return False
        await asyncio.wait([self._turn])
        return True

    async def quiet(self) -> None:
        """Wait until no batch is under way."""
        while self._task is not None:
            await asyncio.wait([self._task])
