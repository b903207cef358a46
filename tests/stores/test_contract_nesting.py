"""What is nested too deep to be written: fields are refused, responses are logged and cut."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from engine.kit import background
from pydantic import ConfigDict, Field, field_serializer, field_validator
from stores.asking import S, check_counts, claim, listed, settle

from lionpride.core import Event, Executor, Processor
from lionpride.errors import ValidationError
from lionpride.rules.state_machine import Completion
from lionpride.stores.contract import BufferedPath, Store

DEEPEST = 101
"""Levels of containers that can be written."""

BY_VALUE: list[tuple[str, Callable[[Any], Any]]] = [
    ("list", lambda value: [value]),
    ("dict", lambda value: {"a": value}),
    ("dict with other keys", lambda value: {1: value}),
    ("tuple", lambda value: (value,)),
    ("frozenset", lambda value: frozenset([value])),
]


def nested(levels: int, wrap: Callable[[Any], Any] = lambda value: [value]) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = wrap(value)
    return value


class Deep(Event):
    """Has a field for anything; its response is nested as deep as it is told."""

    value: Any = None
    items: list[Any] = Field(default_factory=list)
    gives: int = 0

    async def _invoke(self) -> Any:
        return nested(self.gives)


class Open(Event):
    model_config = ConfigDict(extra="allow")


class Folded(Event):
    """Writes a deep value flat, and reads it back."""

    value: Any = None

    @field_serializer("value")
    def _fold(self, value: Any) -> int:
        levels = 0
        while isinstance(value, list):
            value, levels = value[0], levels + 1
        return levels

    @field_validator("value", mode="before")
    @classmethod
    def _unfold(cls, value: Any) -> Any:
        return nested(value) if isinstance(value, int) else value


@pytest.mark.parametrize("wrap", [pytest.param(wrap, id=name) for name, wrap in BY_VALUE])
async def test_a_field_that_is_nested_too_deep_is_refused(
    store: Store, wrap: Callable[[Any], Any]
) -> None:
    for levels in (DEEPEST + 1, 150, 500, 10_000):
        event = Deep(value=nested(levels, wrap))
        before = dict(event.__dict__)
        with pytest.raises(ValidationError) as refused:
            await store.append([(event, 1.0)])
        text = str(refused.value)
        count = "more than 1,000" if levels > 1_000 else str(levels)
        assert f"Deep.value is nested {count} levels deep" in text
        assert "may be nested 101 levels deep" in text
        assert "flatten the value" in text
        assert len(text) < 300, "the value is not in it"
        assert event.execution.arrival is None
        assert dict(event.__dict__) | before == dict(event.__dict__), "nothing is altered"
    assert await listed(store) == {}
    await check_counts(store)


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("Deep.items", lambda: Deep(items=nested(DEEPEST + 1))),
        ("Deep.value", lambda: Deep(value={nested(DEEPEST, lambda value: (value,)): 1})),
        ("Deep.metadata", lambda: Deep(metadata={"a": nested(DEEPEST)})),
        ("Open.other", lambda: Open(other=nested(DEEPEST + 1))),
    ],
)
async def test_the_place_of_what_is_nested_too_deep_is_named(
    store: Store, name: str, build: Callable[[], Event]
) -> None:
    fine = Deep(value=nested(DEEPEST))
    with pytest.raises(ValidationError, match=rf"{name} is nested 102 levels deep"):
        await store.append([(fine, 1.0), (build(), 1.0)])
    assert await listed(store) == {}, "a batch is refused as a whole"
    await store.append([(fine, 1.0)])
    with pytest.raises(ValidationError, match=name):
        await store.load([Deep(), build()])
    assert await listed(store) == {fine.id: S.PENDING}


async def test_what_contains_itself_is_refused(store: Store) -> None:
    around: list[Any] = []
    around.append({"again": around})
    with pytest.raises(ValidationError, match=r"Deep\.value is nested more than 1,000 levels deep"):
        await store.append([(Deep(value=around), 1.0)])
    assert await listed(store) == {}


async def test_values_that_are_shared_are_looked_at_once(store: Store) -> None:
    if store.is_shared:
        pytest.skip("what is written has a copy for each place")
    shared: Any = 1
    for _ in range(DEEPEST):
        shared = [shared, shared]
    await store.append([(Deep(value=shared), 1.0)])
    with pytest.raises(ValidationError, match="102 levels deep"):
        await store.append([(Deep(value=[shared]), 1.0)])


async def test_what_is_written_counts(store: Store) -> None:
    event = Folded(value=nested(150))
    await store.append([(event, 1.0)])
    ((claimed, _),) = await claim(store, 1, start=True)
    assert isinstance(claimed, Folded)
    assert claimed.value == nested(150)


@pytest.mark.parametrize("levels", [1, 50, DEEPEST])
async def test_the_deepest_value_that_can_be_written_is_claimed_as_it_was(
    store: Store, levels: int
) -> None:
    for _, wrap in BY_VALUE:
        event = Deep(value=nested(levels, wrap))
        await store.append([(event, 1.0)])
        ((claimed, attempt),) = await claim(store, 1, start=True)
        assert isinstance(claimed, Deep)
        assert claimed.value == nested(levels, wrap)
        await settle(store, (claimed, attempt), Completion(claimed.value, 0.1))


class Deeps(Processor):
    event_type = Deep


class Deepest(Executor):
    processor_type = Deeps


@pytest.mark.parametrize("many", [False, True])
async def test_an_executor_refuses_it_before_it_runs(store: Store, many: bool) -> None:
    executor = Deepest(store=store)
    deep, fine = Deep(value=nested(DEEPEST + 1)), Deep()
    with pytest.raises(ValidationError, match="nested 102 levels deep"):
        await (executor.append_many([fine, deep]) if many else executor.append(deep))
    assert sum(executor.status_counts().values()) == 0
    assert deep not in executor
    assert fine not in executor
    await executor.append(fine)
    async with background(executor):
        assert await executor.result(fine) == 1


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if "cannot be stored" in record.getMessage()
    ]


async def test_a_response_that_cannot_be_written_is_logged_once(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    executor = Deepest(store=store)
    with caplog.at_level(logging.WARNING, "lionpride"):
        event = await executor.append(Deep(gives=DEEPEST + 1))
        async with background(executor):
            await executor.result(event)
    assert event.status is S.COMPLETED
    if not store.is_shared:
        assert warnings(caplog) == [], "the object itself is kept"
        return
    (said,) = warnings(caplog)
    assert f"the response of event {event.id}" in said
    assert "it is nested more than 101 levels deep" in said
    assert "return plain data" in said


class Text(str):
    """A text that cannot be converted to one."""

    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Stubborn(Event):
    async def _invoke(self) -> Any:
        return Text("x")


class Stubborns(Processor):
    event_type = Stubborn


@pytest.mark.parametrize("response", [Text("x"), [Text("x")], object(), {"a": {1, object()}}])
async def test_an_outcome_that_cannot_be_written_is_logged_once_and_recorded(
    store: Store, caplog: pytest.LogCaptureFixture, response: Any
) -> None:
    await store.append([(Deep(), 1.0), (Deep(), 2.0)])
    one, other = await claim(store, 2, start=True)
    with caplog.at_level(logging.WARNING, "lionpride"):
        await settle(store, one, Completion(response, 0.1))
        if isinstance(store, BufferedPath):
            store.complete_soon(*other, response, 0.1)
            await store.settled()
    said = warnings(caplog)
    assert len(said) == (2 if store.is_shared else 0)
    assert all("holds an object of class" in each for each in said)
    (record, _) = await store.get([one[0].id, other[0].id])
    assert record is not None
    assert record.status is S.COMPLETED
    assert "$repr" in str(record.payload["execution"]["response"])
    back = Deep.from_dict(record.payload)
    assert "Unserializable" in repr(back.response)


async def test_a_response_that_raises_when_it_is_written_does_not_end_the_worker(
    store: Store,
) -> None:
    class Stubbornly(Executor):
        processor_type = Stubborns

    executor = Stubbornly(store=store)
    events = await executor.append_many([Stubborn(), Stubborn()])
    async with background(executor):
        for event in events:
            await executor.result(event)
    assert {event.status for event in events} == {S.COMPLETED}
