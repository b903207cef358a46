"""The public names at work together, as the opening of the README shows them."""

import asyncio
import importlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest

import lionpride.core
from lionpride.core import (
    Element,
    Event,
    EventStatus,
    Execution,
    Executor,
    Flow,
    Pile,
    Processor,
    Progression,
    Skip,
    Transition,
    Unset,
)

pytestmark = pytest.mark.virtual


class Greet(Event):
    name: str

    @property
    def request(self) -> dict[str, Any]:
        return {"name": self.name}

    async def _invoke(self) -> str:
        if not self.name:
            raise Skip("nobody to greet")
        await asyncio.sleep(1)
        return f"hello {self.name}"


class Greeter(Processor):
    event_type: ClassVar[type[Event]] = Greet

    async def request_permission(self, *, name: str, **_: Any) -> bool:
        return name != "stranger"


class Greeting(Executor):
    processor_type: ClassVar[type[Processor]] = Greeter


async def test_a_whole_run() -> None:
    steps: list[Transition] = []
    executor = Greeting({"queue_capacity": 10, "concurrency_limit": 2}, name="greetings")
    executor.observe(steps.append)
    async with executor:
        ada = await executor.append(Greet(name="Ada"), priority=2)
        bob = await executor.append(Greet(name="Bob"), priority=1)
        await executor.append_many([Greet(name=""), Greet(name="stranger")])
        assert await executor.result(ada) == "hello Ada"
        await executor.join()
    assert executor.completed_events == [bob, ada]
    assert executor.status_counts() == {
        "pending": 0,
        "processing": 0,
        "completed": 2,
        "failed": 0,
        "cancelled": 0,
        "skipped": 1,
        "aborted": 1,
    }
    assert all(isinstance(step, Transition) for step in steps)
    assert len([step for step in steps if step.after is EventStatus.PROCESSING]) == 3


async def test_a_run_is_written_and_read_back() -> None:
    executor = Greeting()
    await executor.append_many([Greet(name="Ada"), Greet(name=""), Greet(name="stranger")])
    await executor.forward()
    data = executor.states.to_dict("json")
    assert len(data["items"]) == 3
    assert len(data["progressions"]) == 7
    flow = Flow.from_dict(json.loads(json.dumps(data)))
    assert type(flow) is Flow
    assert isinstance(flow.items, Pile)
    again = Greeting()
    assert await again.load(flow) == 3
    assert again.status_counts() == executor.status_counts()
    await again.forward()
    await again.forward()
    assert len(again.aborted_events) == 1


def test_each_public_class_is_what_it_says() -> None:
    event = Greet(name="Ada")
    assert isinstance(event, Element)
    assert isinstance(event.execution, Execution)
    assert event.response is Unset
    assert issubclass(Flow, Element)
    assert issubclass(Pile, Element)
    assert issubclass(Progression, Element)
    assert issubclass(Skip, Exception)
    assert set(EventStatus.allowed()) == {status.value for status in EventStatus}


@pytest.mark.parametrize("name", lionpride.core.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(lionpride.core, name) is getattr(lionpride, name)


async def test_the_shortest_program() -> None:
    executor = Greeting()
    event = await executor.append(Greet(name="Ada"))
    await executor.forward()
    assert event.response == "hello Ada"
    assert event.execution.duration == 1.0


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("element", ["Element"]),
        ("event", ["Event", "EventStatus", "Execution"]),
        ("flow", ["Flow"]),
        ("pile", ["Pile"]),
        ("processor", ["Executor", "Processor"]),
        ("progression", ["Progression"]),
    ],
)
def test_the_import_paths_of_the_original_package(module, names):
    found = importlib.import_module(f"lionpride.core.{module}")
    for name in names:
        assert getattr(found, name) is getattr(lionpride, name)


def test_a_folder_that_holds_the_original_package_too_is_refused(tmp_path):
    shutil.copytree(Path(lionpride.__file__).parent, tmp_path / "lionpride")
    (tmp_path / "lionpride" / "libs").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", "import lionpride"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ImportError: two packages named lionpride" in done.stderr
