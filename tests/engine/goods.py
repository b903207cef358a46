"""Events that one process appends and another runs: both import them from here."""

import asyncio
from pathlib import Path

from lionpride.core import Event, Executor, Processor


class Square(Event):
    number: int

    async def _invoke(self) -> int:
        if self.number < 0:
            raise ValueError(f"{self.number} is below zero")
        return self.number**2


class Gate(Event):
    """Runs until there is a file."""

    path: str

    async def _invoke(self) -> str:
        while not Path(self.path).exists():
            self.progress(0.5, f"waits for {Path(self.path).name}")
            await asyncio.sleep(0.01)
        return "open"


class Pages(Event):
    """Yields a page, and the next when there is a file."""

    path: str
    streaming: bool = True

    async def _stream(self):
        yield "first"
        while not Path(self.path).exists():
            await asyncio.sleep(0.01)
        yield "last"


class Anything(Processor):
    event_type = Event


class Desk(Executor):
    processor_type = Anything
