"""The executor of a web application: run or only used, from its start to its end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Final, Literal, TypeAlias

from starlette.requests import Request

from ..core import Executor
from ..errors import ConfigurationError, OperationError, StoreError
from .access import LOG
from .app import Gate

__all__ = ["Run", "executor_of", "lifespan"]

Run: TypeAlias = Literal["never", "here"]
"""Where the events run: in other processes ("never" here), or in the web process ("here")."""

STATE: Final = "lionpride_executor"
"""The key of the executor in the state of the application."""


FIRST_PAUSE: Final = 1.0
"""Seconds after the first failure of a store until the events run again."""

LONGEST_PAUSE: Final = 30.0


def lifespan(
    executor: Executor, *, run: Run, page: Gate | None = None
) -> Callable[[Any], AbstractAsyncContextManager[Mapping[str, Any]]]:
    """Return the lifespan of a FastAPI or Starlette application that uses an executor.

    >>> app = FastAPI(lifespan=web.lifespan(reports, run="never"))

    The store is opened when the application starts, so a wrong URL is noticed then. It is closed
    when the application ends. In your own lifespan, write
    ``async with web.lifespan(reports, run="never")(app) as state: yield state``.

    Args:
        executor: The executor; ``executor_of`` returns it to the handlers of requests.
        run: "here" runs its events in the web process; when that ends, running events have the
            ``grace`` of the executor to finish. If the store is away for longer than its
            ``patience``, they run again when it is back. "never" runs nothing: workers are other
            processes.
        page: A page of ``web.app`` that is mounted in the application; it is closed at the end.

    Raises:
        ConfigurationError: if events in memory would never run, or would be in one of several
            server processes (``WEB_CONCURRENCY``); or for another ``run``.
        StoreError: (at the start) if the store cannot be opened.
    """
    if run not in ("never", "here"):
        raise ConfigurationError(f'run must be "never" or "here", not {run!r}')
    check_store(executor, run)

    @asynccontextmanager
    async def opened(_: Any) -> AsyncIterator[Mapping[str, Any]]:
        try:
            if run == "here":
                async with _running(executor):
                    yield {STATE: executor}
            else:
                await executor.store.counts()
                try:
                    yield {STATE: executor}
                finally:
                    await executor.store.close()
        finally:
            if page is not None:
                await page.aclose()

    return opened


@asynccontextmanager
async def _running(executor: Executor) -> AsyncIterator[None]:
    """Run events until the end of the block, and again after each outage of the store.

    The run has a task of its own: a run that fails cancels the task that has entered the executor,
    and the server would go on without it.
    """
    begun, ending = asyncio.Event(), asyncio.Event()
    run = asyncio.create_task(_run_again(executor, begun, ending))
    beginning = asyncio.create_task(begun.wait())
    try:
        await asyncio.wait((run, beginning), return_when=asyncio.FIRST_COMPLETED)
        if not run.done():
            yield
    finally:
        beginning.cancel()
        ending.set()
        await run


async def _run_again(executor: Executor, begun: asyncio.Event, ending: asyncio.Event) -> None:
    pause, time = FIRST_PAUSE, asyncio.get_running_loop().time
    while not ending.is_set():
        began = time()
        try:
            async with executor:
                begun.set()
                await ending.wait()
        except StoreError as error:
            if ending.is_set() or not (begun.is_set() and error.retryable):
                raise
            pause = FIRST_PAUSE if time() - began > LONGEST_PAUSE else pause
            LOG.warning("%s; the events run again in %g s", error, pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(ending.wait(), pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        except Exception:
            if begun.is_set():
                LOG.exception("the events of %r do not run any more", executor.store.queue)
            raise


def executor_of(request: Request) -> Executor:
    """Return the executor of the application's ``lifespan``; a dependency of FastAPI.

    >>> @app.post("/reports")
    ... async def create(executor: Annotated[Executor, Depends(web.executor_of)]): ...

    Raises:
        OperationError: if the application has no such lifespan.
    """
    executor = getattr(request.state, STATE, None)
    if not isinstance(executor, Executor):
        raise OperationError(
            "the application has no executor: make it with lifespan=web.lifespan(executor, run=…)"
        )
    return executor


def check_store(executor: Executor, run: Run) -> None:
    """Refuse a store in memory that no worker can run, or that each server process has alone.

    Raises:
        ConfigurationError: see above.
    """
    if executor.store.is_shared:
        return
    queue = executor.store.queue
    if run == "never":
        raise ConfigurationError(
            f'run="never": the events of {queue!r} are in memory, so no other process can run '
            'them: give Executor.of a store such as "sqlite:///run.db", or write run="here"'
        )
    processes = os.environ.get("WEB_CONCURRENCY", "1")
    if processes.isdigit() and int(processes) > 1:
        raise ConfigurationError(
            f"WEB_CONCURRENCY={processes}: the events of {queue!r} are in memory, so each server "
            "process would have its own: use a store in a file or a database, or one process"
        )
