"""`Executor.of`, `run` and `get`: the front door."""

import asyncio
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from lionpride import (
    ConfigurationError,
    Defer,
    Event,
    EventStatus,
    Executor,
    NotFoundError,
    Processor,
    ValidationError,
    job,
)
from lionpride.engine.factory import Settings
from lionpride.stores.record import Record


class Square(Event):
    number: int

    async def _invoke(self) -> int:
        return self.number**2


class Cube(Event):
    number: int

    async def _invoke(self) -> int:
        return self.number**3


class Guarded(Event):
    user: str

    @property
    def request(self) -> dict[str, Any]:
        return {"user": self.user}

    async def _invoke(self) -> str:
        return self.user


@job
async def greet(name: str) -> str:
    return f"Hello, {name}"


async def test_one_line_runs_an_event() -> None:
    async with Executor.of(Square, concurrency_limit=8) as executor:
        assert await executor.run(Square(number=7), priority=1) == 49
        assert executor.event_type is Square
        assert executor.event_types == (Square,)


async def test_several_types_share_a_queue() -> None:
    async with Executor.of(Square, greet, queue="mixed") as executor:
        assert await executor.run(Square(number=2)) == 4
        assert await executor.run(greet("Ada")) == "Hello, Ada"
        assert executor.store.queue == "mixed"
        with pytest.raises(TypeError, match=r"takes events of Square or greet, not Cube\("):
            await executor.append(Cube(number=1))


def test_every_setting_of_a_processor_is_a_keyword() -> None:
    taken = set(inspect.signature(Processor.__init__).parameters) - {"self"}
    assert set(Settings.__annotations__) == taken - {"pile", "executor", "max_denial_tracking"}


async def test_settings_reach_the_processor() -> None:
    executor = Executor.of(Square, queue_capacity=3, capacity_refresh_time=2.0, max_queue_size=5)
    await executor.start()
    processor = executor.processor
    assert processor is not None
    assert (processor.queue_capacity, processor.capacity_refresh_time) == (3, 2.0)
    assert processor.max_queue_size == 5


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"concurency_limit": 3}, "no setting 'concurency_limit': did you mean concurrency_limit="),
        ({"lifespam": 3}, "did you mean lifespan="),
        ({"colour": "red"}, "no setting 'colour': it takes queue_capacity, "),
        ({"processor": Square}, "processor must be a subclass of Processor"),
        ({"permission": lambda: True}, "permission must be an async function"),
        ({"scope": "fleet", "processor_config": {"scope": "worker"}}, "got 'scope' as a keyword"),
    ],
)
def test_a_wrong_keyword_is_named(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Executor.of(Square, **given)
    assert problem in str(caught.value)


def test_a_setting_out_of_bounds_is_refused_at_once() -> None:
    with pytest.raises(ValidationError, match="concurrency_limit=0"):
        Executor.of(Square, concurrency_limit=0)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ((), "needs an event type"),
        ((Square, Cube), "Executor.of(Square, Cube) needs queue="),
        ((test_one_line_runs_an_event,), "write `@job` above `def test_one_line_runs_an_event`"),
        ((Square(number=1),), "give its class, Square"),
        ((int,), "name subclasses of Event"),
    ],
)
def test_what_is_no_event_type_is_refused(given: tuple[Any, ...], problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Executor.of(*given)
    assert problem in str(caught.value)


async def test_permission_is_asked_in_place_of_an_override() -> None:
    asked: list[str] = []

    async def may_start(user: str) -> bool | Defer:
        asked.append(user)
        return user == "ada"

    async with Executor.of(Guarded, permission=may_start, denial_backoff=0.0) as executor:
        assert await executor.run(Guarded(user="ada")) == "ada"
        refused = await executor.append(Guarded(user="eve"))
        await executor.join()
    assert refused.status is EventStatus.ABORTED
    assert asked == ["ada", "eve", "eve", "eve"]


class Slow(Processor):
    def __init__(self, *, pace: float, **settings: Any) -> None:
        super().__init__(**settings)
        self.pace = pace

    async def request_permission(self, *args: Any, **request: Any) -> bool:
        return True


async def test_a_processor_class_has_settings_of_its_own() -> None:
    made = Executor.of(Square, processor=Slow, processor_config={"pace": 0.5}, concurrency_limit=2)
    async with made as executor:
        processor = executor.processor
        assert isinstance(processor, Slow)
        assert (processor.pace, processor.concurrency_limit) == (0.5, 2)
        assert await executor.run(Square(number=3)) == 9

    async def yes() -> bool:
        return True

    with pytest.raises(ConfigurationError, match=r"permission= and Slow.request_permission both"):
        Executor.of(Square, processor=Slow, permission=yes)


async def test_a_subclass_keeps_what_it_adds() -> None:
    class Named(Executor):
        def hello(self) -> str:
            return "hello"

    executor = Named.of(Square)
    assert isinstance(executor, Named)
    assert executor.hello() == "hello"


async def test_it_opens_nothing_before_it_is_used(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    executor = Executor.of(Square, store=f"sqlite:///{path}")
    assert not path.exists()
    await executor.append(Square(number=1))
    assert path.exists()
    await executor.store.close()


async def test_run_takes_the_options_of_append() -> None:
    async with Executor.of(Square) as executor:
        event = Square(number=2)
        assert await executor.run(event, exist_ok=True) == 4
        assert await executor.run(event, exist_ok=True) == 4
        assert await executor.run(Square(number=3), delay=0.01, unique="once") == 9


async def test_run_raises_what_the_event_raised() -> None:
    @job
    async def fail() -> None:
        raise LookupError("nowhere")

    async with Executor.of(fail) as executor:
        with pytest.raises(LookupError, match="nowhere"):
            await executor.run(fail())


async def test_get_finds_an_event_of_another_process(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'run.db'}"
    first, second = (Executor.of(Square, store=url) for _ in range(2))
    event = await first.append(Square(number=5))
    found = await second.get(str(event.id))
    assert isinstance(found, Square)
    assert (found.number, found.id) == (5, event.id)
    with pytest.raises(NotFoundError):
        await second.get(uuid4())
    with pytest.raises(ValidationError, match="is no id"):
        await second.get("no id")
    await asyncio.gather(first.store.close(), second.store.close())


async def test_get_shows_what_another_worker_has_recorded(tmp_path: Path) -> None:
    """The store of the caller does not run the event, and nothing waits for it there."""
    url = f"sqlite:///{tmp_path / 'run.db'}"
    web = Executor.of(Square, store=url)
    event = await web.append(Square(number=5))
    assert await web.get(event.id) is event
    async with Executor.of(Square, store=url) as worker:
        await worker.join()
    found = await web.get(event.id)
    assert isinstance(found, Square)
    assert (found.status, found.response) == (EventStatus.COMPLETED, 25)
    await web.store.close()


OTHER_PROCESS = """
import asyncio, sys
from lionpride import Event, Executor

class Passing(Event):
    number: int

async def main():
    executor = Executor.of(Passing, store=sys.argv[1], queue="q")
    print((await executor.append(Passing(number=5))).id)
    await executor.store.close()

asyncio.run(main())
"""


async def test_get_gives_the_record_of_a_class_that_is_not_here(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'run.db'}"

    printed = subprocess.check_output([sys.executable, "-c", OTHER_PROCESS, url], text=True)
    event_id = printed.strip()
    executor = Executor.of(Cube, store=url, queue="q")
    found = await executor.get(event_id)
    assert isinstance(found, Record)
    assert str(found.id) == event_id
    await executor.store.close()
