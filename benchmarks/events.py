"""The events that this library runs in the benchmarks, and their executor."""

from __future__ import annotations

from typing import Any

from benchmarks.workload import WORKERS
from lionpride import Event, Executor


class Page(Event):
    """The main case: an event with three fields, which pydantic validates."""

    url: str
    depth: int
    score: float

    async def _invoke(self) -> None:
        return None


class NoFields(Event):
    async def _invoke(self) -> None:
        return None


def page(number: int) -> Page:
    """Return the event of a number."""
    return Page(url="https://example.org/page", depth=number, score=0.5)


def make_executor(
    event_type: type[Event] = Page, *, store: str | None = None, **settings: Any
) -> Executor:
    """Return an executor that runs as many events at once as every other candidate."""
    return Executor.of(event_type, store=store, **{"concurrency_limit": WORKERS, **settings})
