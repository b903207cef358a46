"""Events whose code tells a ledger when it really runs, and who runs them."""

import asyncio
from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol
from uuid import UUID

from lionpride.core import Event, Executor, Processor, Retry, Skip

SLIPS = 2

How = Literal["return", "raise", "skip", "late", "slip"]
"""``slip`` fails twice, and returns then."""


class Ledger(Protocol):
    """Who is told of each run."""

    def begins(self, task: "Task", crew: "Crew") -> None: ...

    def ends(self, task: "Task") -> None: ...

    async def permits(self, task: "Task", crew: "Crew") -> bool: ...


@dataclass(eq=False)
class Crew:
    """One call of ``execute()`` or ``forward()``.

    Attributes:
        until: The highest arrival number at the call.
        caller: The task that called.
        closed: Whether it may start nothing more.
        began: What it has started, in order.
        seen: What it has asked permission for, or started.
    """

    ledger: Ledger
    kind: Literal["execute", "forward"]
    until: int
    caller: asyncio.Task[Any]
    closed: bool = False
    began: list[UUID] = field(default_factory=list)
    seen: set[UUID] = field(default_factory=set)

    def works(self) -> bool:
        """Whether it is there to start events."""
        return not self.closed and not self.caller.cancelling()


CREW: ContextVar[Crew] = ContextVar("CREW")
"""The call that the running code was started by: workers inherit the caller's context."""


class Task(Event):
    """Takes so many seconds, and ends as it is told; a cancelled one takes its time to clean up.

    Attributes:
        refusals: How often permission is refused, all in all.
        asking: Seconds that the permission takes.
    """

    label: int = 0
    how: How = "return"
    lasts: float = 0.0
    cleanup: float = 0.0
    refusals: int = 0
    asking: float = 0.0

    @property
    def request(self) -> dict[str, Any]:
        return {"task": self}

    async def _run(self) -> None:
        try:
            if self.lasts:
                await asyncio.sleep(self.lasts)
        except asyncio.CancelledError:
            if self.cleanup:
                await asyncio.sleep(self.cleanup)
            raise

    async def _invoke(self) -> int:
        ledger = CREW.get().ledger
        ledger.begins(self, CREW.get())
        try:
            await self._run()
            if self.how == "raise" or (self.how == "slip" and self.execution.tries < SLIPS):
                raise ValueError(self.label)
            if self.how == "skip":
                raise Skip(str(self.label))
            return self.label
        finally:
            ledger.ends(self)


class Stream(Task):
    """The same, chunk by chunk."""

    streaming: bool = True

    async def _stream(self) -> AsyncIterator[int]:
        yield await self._invoke()


class Stubborn(Task):
    """The same, tried again when it fails."""

    retry: ClassVar[Retry | None] = Retry(attempts=4, backoff=0.25, jitter=False)


class Plain(Processor):
    """Asks nobody."""

    event_type: ClassVar[type[Event]] = Task


class Asking(Processor):
    """Asks the ledger."""

    event_type: ClassVar[type[Event]] = Task

    async def request_permission(self, *, task: Task, **_: Any) -> bool:
        return await CREW.get().ledger.permits(task, CREW.get())


class PlainExecutor(Executor):
    processor_type: ClassVar[type[Processor]] = Plain


class AskingExecutor(Executor):
    processor_type: ClassVar[type[Processor]] = Asking
