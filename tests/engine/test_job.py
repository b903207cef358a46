"""`@job`: a function becomes an event class."""

import asyncio
import functools
import inspect
import pickle
import threading
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final

import pytest
from pydantic import BaseModel, Field

from lionpride import (
    ConfigurationError,
    Event,
    EventStatus,
    Executor,
    JobEvent,
    Limit,
    Retry,
    current,
    job,
)

if TYPE_CHECKING:
    from decimal import Decimal as OnlyForCheckers


class Page(BaseModel):
    url: str
    depth: int = 0


@job(timeout=30, retry=Retry(attempts=4))
async def fetch(url: str, times: int = 2) -> bytes:
    """Fetch a page."""
    return (url * times).encode()


@job
def add(first: int, *, second: Annotated[int, Field(ge=0)] = 1) -> int:
    return first + second


@job
async def count(n: int) -> AsyncIterator[int]:
    for i in range(n):
        yield i


@job
def lines(n: int) -> Iterator[str]:
    for i in range(n):
        yield f"line {i}"


@job
def where() -> str:
    return threading.current_thread().name


@job
async def describe(page: Page, tags: list[str] | None = None) -> str:
    assert type(page) is Page
    return f"{page.url} {page.depth} {tags}"


@job(costs=lambda event: {"tokens": len(event.prompt)}, key=lambda event: event.tenant)
async def ask(prompt: str, tenant: str) -> str:
    return prompt.upper()


@pytest.mark.parametrize("store", [None, "file"])
async def test_each_kind_of_function_runs(store: str | None, tmp_path: Path) -> None:
    url = None if store is None else f"sqlite:///{tmp_path / 'run.db'}"
    both = Executor.of(fetch, add, count, lines, describe, queue="all", store=url)
    async with both as executor:
        assert await executor.run(fetch("ab")) == b"abab"
        assert await executor.run(fetch("ab", times=1)) == b"ab"
        assert await executor.run(add("3", second=4)) == 7  # pydantic makes an int of it
        assert await executor.run(count(3)) == [0, 1, 2]
        assert await executor.run(lines(n=2)) == ["line 0", "line 1"]
        assert await executor.run(describe(Page(url="x"))) == "x 0 None"
        assert await executor.run(describe({"url": "y", "depth": 2}, tags=["a"])) == "y 2 ['a']"


async def test_a_plain_function_runs_in_a_thread() -> None:
    async with Executor.of(where) as executor:
        assert await executor.run(where()) != threading.main_thread().name


async def test_chunks_of_a_generator_can_be_followed() -> None:
    async with Executor.of(count) as executor:
        event = await executor.append(count(3))
        assert [chunk async for chunk in executor.stream(event)] == [0, 1, 2]


def test_the_class_is_that_of_an_event() -> None:
    event = fetch("https://example.org")
    assert isinstance(event, JobEvent)
    assert isinstance(event, Event)
    assert (event.timeout, event.retry, event.status) == (30.0, Retry(attempts=4), "pending")
    assert fetch.event_type is type(event)
    assert type(event).__doc__ == "Fetch a page."
    named = fetch.event_type(url="x", id="01920000-0000-7000-8000-000000000000", timeout=5)
    assert (str(named.id), named.timeout) == ("01920000-0000-7000-8000-000000000000", 5.0)


async def test_the_function_itself_can_be_called() -> None:
    assert await fetch.function("a") == b"aa"
    assert add.function(1, second=2) == 3


def test_it_is_dumped_and_restored_as_any_event() -> None:
    event = fetch("a", times=3)
    again = Event.from_dict(event.to_dict("json"))
    assert type(again) is type(event)
    assert again.to_dict("json") == event.to_dict("json")
    copied: Any = pickle.loads(pickle.dumps(event))
    assert (copied.url, copied.times, copied.id) == ("a", 3, event.id)


async def test_it_costs_what_it_says() -> None:
    event = ask("hello", tenant="a")
    assert event.costs == {"tokens": 5}
    assert event.key == "a"
    fixed = job(costs={"tokens": 3})(_plain)
    assert fixed(1).costs == {"tokens": 3}
    async with Executor.of(ask, limits=[Limit("tokens", 100, per=60, per_key=True)]) as executor:
        assert await executor.run(event) == "HELLO"


def _plain(x: int) -> int:
    return x


async def test_a_local_function_sees_local_types() -> None:
    class Size(BaseModel):
        width: int

    @job
    async def area(size: Size, factor: "Size | int" = 2) -> int:
        return size.width * (factor if isinstance(factor, int) else factor.width)

    assert await area({"width": 3}).invoke() == 6  # type: ignore[arg-type]  # pydantic takes it
    assert "<locals>" in type(area({"width": 3})).class_name(full=True)  # type: ignore[arg-type]


async def test_a_parameter_may_be_named_as_what_the_class_has() -> None:
    @job
    async def call(function: str, event_type: str) -> str:
        return f"{function} {event_type}"

    assert await call("f", "e").invoke() == "f e"
    assert await call.function("f", "e") == "f e"


async def test_the_context_of_the_attempt_is_there() -> None:
    @job
    async def halfway(note: str) -> float | None:
        current().report_progress(0.5, note)
        progress = current().event.execution.progress
        return None if progress is None else progress.fraction

    async with Executor.of(halfway) as executor:
        assert await executor.run(halfway("half")) == 0.5


async def test_an_error_is_that_of_the_function() -> None:
    @job
    async def fail(why: str) -> None:
        raise KeyError(why)

    async with Executor.of(fail) as executor:
        event = await executor.append(fail("no"))
        with pytest.raises(KeyError, match="no"):
            await executor.result(event)
    assert event.status is EventStatus.FAILED


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("async def f(a): ...", "'a' of f() has no annotation: write its type"),
        ("async def f(self, a: int): ...", "'self' of f() belongs to a method: define"),
        ("async def f(timeout: int): ...", "'timeout' of f() has a name that events use"),
        ("async def f(execution: int): ...", "'execution' of f() has a name that events use"),
        ("async def f(model_dump: int): ...", "'model_dump' of f() has a name that events use"),
        ("async def f(a: int, /): ...", "'a' of f() is positional-only"),
        ("async def f(*urls: int): ...", "'urls' of f() is *urls"),
        ("async def f(**urls: int): ...", "'urls' of f() is **urls"),
        ("async def f(a: Nothing): ...", "annotation of parameter 'a' of f() cannot be evaluated"),
        ("async def f(_a: int): ...", "'_a' of f() begins with an underscore"),
        ("class f: ...", "@job takes a function, not <class"),
    ],
)
def test_what_cannot_be_a_field_is_refused_where_it_is_defined(source: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        exec(f"from __future__ import annotations\n@job\n{source}", {"job": job})
    assert problem in str(caught.value)


def test_a_type_for_checkers_only_is_refused_with_the_remedy() -> None:
    with pytest.raises(ConfigurationError, match="outside of `if TYPE_CHECKING`"):

        @job
        async def price(amount: "OnlyForCheckers") -> None: ...


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"timeout": -1}, "timeout must be > 0 s"),
        ({"timeout": 0}, "timeout must be > 0 s"),
        ({"timeout": "3"}, "timeout must be a finite number"),
        ({"retry": 3}, "retry must be a Retry or None"),
        ({"costs": {"tokens": -1}}, "costs['tokens'] must be a finite number >= 0"),
        ({"costs": 3}, "costs must be a mapping"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        job(**options)(_plain)
    assert problem in str(caught.value)


def test_wrong_arguments_are_refused_as_by_the_function() -> None:
    with pytest.raises(TypeError, match="takes 2 positional arguments but 3 were given"):
        fetch("a", 1, 2)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="got multiple values for 'url'"):
        fetch("a", url="b")  # type: ignore[misc]
    with pytest.raises(ValueError, match="url"):
        fetch()  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="times"):
        fetch("a", times="many")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="second"):
        add(1, second=-1)


async def test_what_another_decorator_wraps_runs_as_it_is_seen() -> None:
    def logged(function: Any) -> Any:
        @functools.wraps(function)
        async def inner(*args: Any, **kwargs: Any) -> Any:
            return "logged", await function(*args, **kwargs)

        return inner

    @job
    @logged
    async def double(x: int) -> int:
        await asyncio.sleep(0)
        return 2 * x

    async with Executor.of(double) as executor:
        assert await executor.run(double(4)) == ("logged", 8)


def _collected(function: Any) -> Any:
    @functools.wraps(function)
    async def collect(*args: Any, **kwargs: Any) -> Any:
        found = function(*args, **kwargs)
        return tuple(found) if inspect.isgenerator(found) else tuple([each async for each in found])

    return collect


def _yielded(function: Any) -> Any:
    @functools.wraps(function)
    async def stream(*args: Any, **kwargs: Any) -> Any:
        yield await function(*args, **kwargs)

    return stream


async def test_a_decorator_may_change_the_kind_of_a_function() -> None:
    @job
    @_collected
    async def async_chunks(n: int) -> AsyncIterator[int]:
        for i in range(n):
            yield i

    @job
    @_collected
    def plain_chunks(n: int) -> Iterator[int]:
        yield from range(n)

    @job
    @_yielded
    async def one(n: int) -> int:
        return n

    kinds: Any = (async_chunks, plain_chunks, one)
    async with Executor.of(*kinds, queue="q") as executor:
        assert [await executor.run(kind(2)) for kind in kinds] == [(0, 1), (0, 1), [2]]


@pytest.mark.parametrize("store", [None, "sqlite:///run.db"])
async def test_a_function_that_returns_an_iterator_gives_a_list(
    store: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    @job
    def plain(n: int) -> Iterator[int]:
        return iter(range(n))

    @job
    def generated(n: int) -> "Generator[int, None, None]":
        return (i for i in range(n))

    @job
    def streamed(n: int) -> AsyncIterator[int]:
        return _count(n)

    kinds: Any = (plain, generated, streamed)
    async with Executor.of(*kinds, queue="q", store=store) as executor:
        assert [await executor.run(kind(2)) for kind in kinds] == [[0, 1]] * 3


async def _count(n: int) -> AsyncIterator[int]:
    for i in range(n):
        yield i


@pytest.mark.parametrize("annotation", [ClassVar[int], Final[int]])
@pytest.mark.filterwarnings("ignore:Annotation 'x' is marked as final")
def test_a_parameter_that_pydantic_makes_no_field_of_is_refused(annotation: Any) -> None:
    def given(x: int = 3) -> int:
        return x

    given.__annotations__["x"] = annotation
    with pytest.raises(ConfigurationError, match=r"'x' of .*given\(\) is no field for pydantic"):
        job(given)


def test_a_return_type_for_checkers_only_is_no_error() -> None:
    @job
    def price() -> "OnlyForCheckers":
        return None

    assert isinstance(price(), Event)


@pytest.mark.parametrize("name", ["self", "cls", "args", "kwargs", "function", "event_type"])
async def test_a_parameter_may_have_any_name_that_events_do_not_use(name: str) -> None:
    names: dict[str, Any] = {}  # without a __name__: the function has no module
    exec(f"def given({name}: int) -> int:\n    return {name}", names)
    given = job(names["given"])
    async with Executor.of(given) as executor:
        assert await executor.run(given(1)) == 1
        assert await executor.run(given(**{name: 2})) == 2
