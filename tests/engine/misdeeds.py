"""What user code may do wrong, where it may do it, and what decision 6 says of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, ClassVar

from engine.kit import Job
from local_objects import LocalObject
from pydantic import Field

from lionpride.core import EventStatus, Skip
from lionpride.errors import ExecutionError, LionTimeoutError

COMPLETED = EventStatus.COMPLETED
FAILED = EventStatus.FAILED
CANCELLED = EventStatus.CANCELLED
SKIPPED = EventStatus.SKIPPED

INVOKE, STREAM, REQUEST, PERMISSION = "_invoke", "_stream", "request", "request_permission"
ASYNC = (INVOKE, STREAM, PERMISSION)

MARK: ContextVar[str] = ContextVar("MARK", default="clean")


class Weird(BaseException):
    """Derived from what few people catch."""


class Scene:
    """One misdeed on stage, and what lets it end after the test."""

    def __init__(self, misdeed: "Misdeed", late: bool) -> None:
        self.misdeed = misdeed
        self.late = late
        self.release = asyncio.Event()

    def now(self) -> Any:
        assert self.misdeed.now is not None
        return self.misdeed.now()

    async def act(self) -> Any:
        if self.late:
            await asyncio.sleep(0.5)
        if self.misdeed.act is not None:
            return await self.misdeed.act(self)
        return self.now()


class Invoking(Job):
    scene: LocalObject = None
    max_chunks: ClassVar[int] = 50

    async def _invoke(self) -> Any:
        return await self.scene.act()


class Streaming(Invoking):
    streaming: bool = True

    async def _stream(self) -> AsyncIterator[Any]:
        yield "first"
        yield await self.scene.act()
        yield "last"


class Endless(Invoking):
    """A generator that never ends; it waits between chunks, or it does not."""

    streaming: bool = True

    async def _stream(self) -> AsyncIterator[Any]:
        while True:
            yield await self.scene.act()


class Requesting(Invoking):
    @property
    def request(self) -> Any:
        given = self.scene.now()
        return given if type(given) is int else {"event": self, "more": given}

    async def _invoke(self) -> Any:
        return "ran"


class Asked(Invoking):
    ask: LocalObject = Field(default=lambda event: event.scene.act())

    async def _invoke(self) -> Any:
        return "ran"


KINDS: dict[str, type[Invoking]] = {
    INVOKE: Invoking,
    STREAM: Streaming,
    REQUEST: Requesting,
    PERMISSION: Asked,
}


@dataclass(frozen=True)
class Misdeed:
    """What the code does, and what the decision says of it.

    ``now`` does it without waiting (so ``request`` can do it too), ``act`` waits.
    ``status`` and ``error`` are for each place, or one for all.
    """

    name: str
    status: EventStatus | dict[str, set[EventStatus]]
    error: type[BaseException] | None = None
    now: Callable[[], Any] | None = None
    act: Callable[[Scene], Any] | None = None
    places: tuple[str, ...] = (*ASYNC, REQUEST)
    timeout: float | None = None
    fatal: bool = False
    kinds: dict[str, type[Invoking]] = field(default_factory=lambda: KINDS)

    def statuses(self, place: str) -> set[EventStatus]:
        return self.status[place] if isinstance(self.status, dict) else {self.status}


def throw(make: Callable[[], BaseException]) -> Callable[[], Any]:
    def now() -> Any:
        raise make()

    return now


# --- misdeeds that take no time


def result_of_a_cancelled_future() -> Any:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    future.cancel()
    return future.result()


def cancel_the_own_task() -> Any:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    return True


def set_a_context_variable() -> Any:
    MARK.set("dirty")
    return True


class Undecided:
    def __bool__(self) -> bool:
        raise ValueError("neither true nor false")


# --- misdeeds that wait


async def wait_for_a_cancelled_future(scene: Scene) -> Any:
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    future.cancel()
    return await future


async def hang(scene: Scene) -> Any:
    await scene.release.wait()


async def hang_stubbornly(scene: Scene) -> Any:
    while not scene.release.is_set():
        with contextlib.suppress(asyncio.CancelledError):
            await scene.release.wait()
    return True


async def fail_while_it_is_cancelled(scene: Scene) -> Any:
    try:
        await scene.release.wait()
    finally:
        raise ValueError("the cleanup failed")


async def time_out_inside_and_go_on(scene: Scene) -> Any:
    try:
        async with asyncio.timeout(1):
            await scene.release.wait()
    except TimeoutError:
        return True


async def time_out_inside(scene: Scene) -> Any:
    async with asyncio.timeout(1):
        await scene.release.wait()


async def use_a_task_group(scene: Scene) -> Any:
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(1))
        group.create_task(asyncio.sleep(2))
    return True


async def fail_in_a_task_group(scene: Scene) -> Any:
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(100))
        group.create_task(fail(scene))


async def fail(scene: Scene) -> None:
    await asyncio.sleep(1)
    raise ValueError("one of the group")


async def wait_a_little(scene: Scene) -> Any:
    await asyncio.sleep(0.1)
    return "chunk"


async def do_not_wait(scene: Scene) -> Any:
    return "chunk"


ENDLESS: dict[str, type[Invoking]] = {STREAM: Endless}

EITHER: dict[str, set[EventStatus]] = {
    # The work came to its end before the mark could be felt.
    INVOKE: {COMPLETED},
    # The mark may reach the work, which is then cancelled by what the engine did not cause.
    STREAM: {COMPLETED, CANCELLED},
    REQUEST: {COMPLETED, CANCELLED},
    PERMISSION: {COMPLETED, CANCELLED},
}

NOTHING_TO_DO: dict[str, set[EventStatus]] = {
    INVOKE: {SKIPPED},
    STREAM: {SKIPPED},
    REQUEST: {FAILED, SKIPPED},
    PERMISSION: {FAILED, SKIPPED},
}

AT_ONCE = [
    Misdeed("an exception", FAILED, ValueError, throw(lambda: ValueError("no"))),
    Misdeed(
        "a group",
        FAILED,
        ExceptionGroup,
        throw(lambda: ExceptionGroup("several", [ValueError("a"), OSError("b")])),
    ),
    Misdeed("CancelledError", CANCELLED, asyncio.CancelledError, throw(asyncio.CancelledError)),
    Misdeed(
        "a cancelled future",
        CANCELLED,
        asyncio.CancelledError,
        result_of_a_cancelled_future,
        wait_for_a_cancelled_future,
    ),
    Misdeed(
        "a TimeoutError of its own",
        FAILED,
        TimeoutError,
        throw(lambda: TimeoutError("its own")),
        timeout=60,
    ),
    Misdeed("KeyboardInterrupt", FAILED, KeyboardInterrupt, throw(KeyboardInterrupt), fatal=True),
    Misdeed("SystemExit", FAILED, SystemExit, throw(lambda: SystemExit(3)), fatal=True),
    Misdeed("GeneratorExit", FAILED, GeneratorExit, throw(GeneratorExit)),
    Misdeed("a BaseException", FAILED, Weird, throw(lambda: Weird("odd"))),
    Misdeed("Skip", NOTHING_TO_DO, Skip, throw(lambda: Skip("nothing to do"))),
    Misdeed("an unserializable result", COMPLETED, None, object),
    Misdeed("cancelling its own task", EITHER, None, cancel_the_own_task),
    Misdeed("a context variable", COMPLETED, None, set_a_context_variable),
    Misdeed("no mapping", FAILED, TypeError, lambda: 5, places=(REQUEST,)),
    Misdeed("no truth value", FAILED, ValueError, Undecided, places=(PERMISSION,)),
]

IN_TIME = [
    Misdeed("hanging", CANCELLED, LionTimeoutError, act=hang, places=ASYNC, timeout=1),
    Misdeed(
        "hanging stubbornly",
        CANCELLED,
        LionTimeoutError,
        act=hang_stubbornly,
        places=ASYNC,
        timeout=1,
    ),
    Misdeed(
        "failing as it times out",
        CANCELLED,
        LionTimeoutError,
        act=fail_while_it_is_cancelled,
        places=ASYNC,
        timeout=1,
    ),
    Misdeed("a timeout inside", COMPLETED, act=time_out_inside_and_go_on, places=ASYNC),
    Misdeed("its own timeout", FAILED, TimeoutError, act=time_out_inside, places=ASYNC, timeout=9),
    Misdeed("a task group", COMPLETED, act=use_a_task_group, places=ASYNC),
    Misdeed("a failing task group", FAILED, ExceptionGroup, act=fail_in_a_task_group, places=ASYNC),
    Misdeed(
        "an endless stream",
        CANCELLED,
        LionTimeoutError,
        act=wait_a_little,
        places=(STREAM,),
        timeout=1,
        kinds=ENDLESS,
    ),
    Misdeed(
        "an endless stream without waiting",
        FAILED,
        ExecutionError,
        act=do_not_wait,
        places=(STREAM,),
        kinds=ENDLESS,
    ),
]
