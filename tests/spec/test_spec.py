"""Runs the user's notebook text, every cell unchanged and in order, and checks what it prints.

And once more with one argument more for each executor, so that its events are in a file: nothing
else changes.
"""

import ast
import asyncio
import contextlib
import gc
import inspect
import io
import re
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from answers import CORRECTIONS, FIRST_LINES, answer, plain

from lionpride.core import Executor
from tools.spec_cells import SPEC, Cell, read_cells

CELLS = {cell.number: cell for cell in read_cells() if cell.is_code}

CONFIG = re.compile(r"(?<=Executor\()(?=\s*processor_config=)")
"""Where a cell makes an executor, and another argument can be given."""


@dataclass
class Session:
    """What a run of the cells left behind."""

    names: dict[str, Any]
    printed: dict[int, str] = field(default_factory=dict)
    warned: list[str] = field(default_factory=list)


@contextlib.contextmanager
def fresh_main() -> Iterator[ModuleType]:
    """Put a new module in the place of `__main__`, where a notebook defines its classes."""
    before, module = sys.modules["__main__"], ModuleType("__main__")
    sys.modules["__main__"] = module
    try:
        yield module
    finally:
        sys.modules["__main__"] = before


async def run_cell(cell: Cell, names: dict[str, Any]) -> None:
    name = f"In [{cell.number}]"
    code = compile(cell.source, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    value = eval(code, names)
    if inspect.isawaitable(value):
        await value


async def run_cells(session: Session, cells: dict[int, Cell]) -> None:
    made: dict[int, Executor] = {}
    for number, cell in cells.items():
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            await run_cell(cell, session.names)
        session.printed[number] = printed.getvalue()
        values = session.names.values()
        made |= {id(each): each for each in values if isinstance(each, Executor)}
    for executor in made.values():
        await executor.store.close()


def on_disk(cell: Cell, folder: Path) -> Cell:
    """The cell with a file for each executor that it makes."""
    made = iter(range(10))

    def argument(_: re.Match[str]) -> str:
        return f'store="sqlite:///{folder}/{cell.number}-{next(made)}.db", '

    return replace(cell, source=CONFIG.sub(argument, cell.source))


@pytest.fixture(scope="module", params=["in memory", "on disk"])
def session(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Session]:
    cells, folder = CELLS, tmp_path_factory.mktemp("spec")
    if request.param == "on disk":
        cells = {number: on_disk(cell, folder) for number, cell in CELLS.items()}
    with fresh_main() as module, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        session = Session(vars(module))
        asyncio.run(asyncio.wait_for(run_cells(session, cells), 30))
        files = {path.name for path in folder.iterdir() if path.suffix == ".db"}
        assert len(files) == (7 if request.param == "on disk" else 0)
        gc.collect()  # a coroutine that nobody awaited warns when it is collected
        session.warned = [str(warning.message) for warning in caught]
        yield session


# -------------------------------------------------------------------------------------- the reader


def test_every_cell_is_found() -> None:
    assert list(CELLS) == list(range(1, 10))


@pytest.mark.parametrize("number", CELLS)
def test_code_and_output_are_told_apart(number: int) -> None:
    assert CELLS[number].output.split("\n")[0] == FIRST_LINES[number]


def test_nothing_of_the_text_is_lost() -> None:
    def squeeze(text: str) -> str:
        return "".join(text.split())

    cells = read_cells()
    texts = [f"In [{c.number}]:{c.source}{c.output}" if c.is_code else c.source for c in cells]
    assert squeeze("".join(texts)) == squeeze(SPEC.read_text(encoding="utf-8"))


# --------------------------------------------------------------------------------------- the cells


@pytest.mark.promise("notebook-cells-run")
@pytest.mark.parametrize("number", CELLS)
def test_cell_prints_the_right_answer(session: Session, number: int) -> None:
    assert plain(session.printed[number]) == answer(CELLS[number])


def test_no_cell_warns(session: Session) -> None:
    assert session.warned == []


def test_only_three_answers_are_corrected() -> None:
    assert sorted(CORRECTIONS) == [4, 7, 9]


def test_section_3_priorities_given_before_start_order_the_run(session: Session) -> None:
    results = [event.execution.response for event in session.names["executor"].completed_events]
    assert results == [2, 3, 1]


def test_section_4_prints_exactly_its_permission_lines(session: Session) -> None:
    before, _, _ = session.printed[5].partition("\n\n")
    assert before.splitlines() == [
        "Permission granted: 1/2",
        "Permission granted: 2/2",
        "Rate limit exceeded: 2/2",
    ]


@pytest.mark.promise("notebook-streaming")
def test_section_6_the_chunks_are_the_response(session: Session) -> None:
    event = session.names["stream_event"]
    assert event.status == "completed"
    assert event.response == event.execution.response == ["chunk_0", "chunk_1", "chunk_2"]


@pytest.mark.promise("notebook-serialization")
def test_section_8_every_event_is_restored_in_its_progression(session: Session) -> None:
    original, restored = session.names["serializable_executor"], session.names["restored_flow"]
    assert {type(item) for item in restored.items} == {session.names["SimpleEvent"]}
    for progression in original.states.progressions:
        copy = restored.get_progression(progression.name)
        assert list(copy.order) == list(progression.order)
        for uid in copy.order:
            assert restored.items[uid].status == progression.name
    assert [event.response for event in restored.items] == [
        event.response for event in original.states.items
    ]


# -------------------------------------------------------------------- section 4, round after round


class Denials:
    """Makes section 4's situation again, with events that tell their names to the permission."""

    def __init__(self, session: Session) -> None:
        simple, limited = session.names["SimpleEvent"], session.names["RateLimitedProcessor"]
        executor_type = session.names["RateLimitedExecutor"]
        self.denied: list[str] = []
        denied = self.denied

        class NamedEvent(simple):
            @property
            def request(self) -> dict[str, Any]:
                return {"task": self.task_name}

        class NotingProcessor(limited):
            event_type: ClassVar[type] = NamedEvent

            async def request_permission(self, **kwargs: Any) -> bool:
                granted = await super().request_permission(**kwargs)
                if not granted:
                    denied.append(kwargs["task"])
                return bool(granted)

        class NotingExecutor(executor_type):
            processor_type: ClassVar[type] = NotingProcessor

        self.executor = NotingExecutor(
            processor_config={"queue_capacity": 10, "capacity_refresh_time": 0.1}
        )
        self.events = [NamedEvent(task_name=f"task_{i}", result=i) for i in range(4)]

    async def append_all(self) -> None:
        for event in self.events:
            await self.executor.append(event)
        await self.executor.start()

    def check(self) -> None:
        """Each event is where its status says, and its status is what its denials say."""
        for event in self.events:
            told = self.denied.count(event.task_name)
            status = (
                "completed" if event in self.events[:2] else "aborted" if told == 3 else "pending"
            )
            assert told <= 3
            assert str(event.status) == status
            for progression in self.executor.states.progressions:
                assert (event.id in progression) is (progression.name == status)
            assert event in list(self.executor.get_events_by_status(status))


@pytest.mark.virtual
async def test_section_4_each_third_denial_aborts_through_further_rounds(session: Session) -> None:
    situation = Denials(session)
    await situation.append_all()
    for rounds in range(1, 7):
        await situation.executor.forward()
        assert len(situation.denied) == rounds, "a denial ends the round"
        situation.check()
    assert sorted(situation.denied) == ["task_2"] * 3 + ["task_3"] * 3
    assert len(situation.executor.aborted_events) == 2
    await situation.executor.forward()
    assert len(situation.denied) == 6, "what is aborted is not asked for again"
    situation.check()


@pytest.mark.promise("notebook-permission")
@pytest.mark.virtual
async def test_section_4_each_third_denial_aborts_in_the_background(session: Session) -> None:
    situation = Denials(session)
    await situation.append_all()
    running = asyncio.create_task(situation.executor.processor.execute())
    loop = asyncio.get_running_loop()
    begin = loop.time()
    while len(situation.executor.aborted_events) < 2:
        await asyncio.sleep(0.1)
        situation.check()
    assert loop.time() - begin >= 3, "backoffs of one and of two seconds were waited out"
    await situation.executor.stop()
    await running
    situation.check()
