"""Dependencies and schedules cost an event nothing in a queue that has none."""

import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any, Self

import pytest

import lionpride
from lionpride import Event, Executor
from lionpride.stores.contract import Store
from lionpride.stores.sqlite import SqliteStore

ROUND = 20
"""Events whose calls are counted together."""

STATEMENTS = 25
"""Statements that an append, a claim and a completion take on SQLite, each in its own transaction.

It was the same number before dependencies and schedules were added."""

FEATURES = (
    "model/after.py",
    "model/continuation.py",
    "model/recurrence.py",
    "model/schedule.py",
    "rules/dependencies.py",
    "rules/schedules.py",
    "stores/continuations.py",
    "stores/schedule_record.py",
    "stores/memory/dependencies.py",
    "stores/sql/continuing.py",
    "stores/sql/dependencies.py",
    "stores/sql/schedules.py",
    "engine/schedules.py",
)


class Plain(Event):
    """An event without dependencies."""

    async def _invoke(self) -> int:
        return 1


class Calls:
    """Counts the calls of all threads while it is entered, by file; and of SQL statements."""

    def __init__(self) -> None:
        self.by_file: Counter[str] = Counter()
        self.statements = 0

    def __enter__(self) -> Self:
        threading.setprofile(self._note)
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)

    def _note(self, frame: Any, kind: str, called: Any) -> None:
        if kind == "call":
            self.by_file[frame.f_code.co_filename] += 1
        elif kind == "c_call" and getattr(called, "__name__", "") in ("execute", "executemany"):
            self.statements += 1


async def run_round(executor: Executor) -> Calls:
    with Calls() as calls:
        for _ in range(ROUND):
            await executor.run(Plain())
    return calls


def test_the_files_are_there() -> None:
    root = Path(lionpride.__file__).parent
    assert [name for name in FEATURES if not (root / name).exists()] == []


async def test_no_code_of_dependencies_and_schedules_is_called(store: Store) -> None:
    root = Path(lionpride.__file__).parent
    async with Executor.of(Plain, store=store, queue=store.queue) as executor:
        await executor.run(Plain())  # the first event of a class is inspected
        rounds = [await run_round(executor) for _ in range(5)]
    assert all(calls.by_file[str(root / "engine" / "dispatcher.py")] for calls in rounds)
    found = [{name for name in FEATURES if calls.by_file[str(root / name)]} for calls in rounds]
    assert set() in found  # in some rounds a worker asks for changes by other processes


async def test_an_event_takes_as_many_statements_as_before(store: Store) -> None:
    if not isinstance(store, SqliteStore):
        pytest.skip("the calls of the other drivers cannot be counted")
    async with Executor.of(Plain, store=store, queue=store.queue) as executor:
        await executor.run(Plain())
        rounds = [await run_round(executor) for _ in range(5)]
    fewest = min(calls.statements for calls in rounds)  # a heartbeat has statements of its own
    assert fewest == STATEMENTS * ROUND
