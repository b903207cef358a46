"""Events and models in the fields of an event: written with their class, or refused at append."""

from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import pydantic
import pytest
from pydantic import BaseModel, ConfigDict, Field, field_serializer, field_validator
from pydantic.dataclasses import dataclass

from lionpride.core import Event, EventStatus, Executor, Pile, Processor
from lionpride.errors import ValidationError
from lionpride.model.serialization.payload import event_from_payload, type_and_payload
from lionpride.view.redact import fields_of


class Step(Event):
    x: int = 1
    password: str = Field(default="", repr=False)

    async def _invoke(self) -> int:
        return self.x


class Plan(Event):
    steps: list[Event] = Field(default=[])
    by_name: dict[str, Event | None] = Field(default={})
    anything: Any = None

    async def _invoke(self) -> list[Any]:
        return [getattr(step, "x", None) for step in self.steps]


class Base(BaseModel):
    a: int = 1


class Sub(Base):
    b: int = 2


class Other(Base):
    c: Path = Path()


class Carrier(BaseModel):
    event: Event
    path: Path = Path("/tmp")


class Aliased(BaseModel):
    """Cannot be read by the names that it is written with, unless pydantic 2.11 is asked to."""

    model_config = ConfigDict(populate_by_name=False)

    size: int = Field(alias="theSize")


@dataclass
class Point:
    x: int = 0


@dataclass
class Point3(Point):
    z: int = 0


class Task(Event):
    one: Base = Base()
    many: list[Base] = Field(default=[])
    by_name: dict[str, Base] = Field(default={})
    optional: Base | None = None
    either: Base | Sub | Other | int = 0
    carrier: Carrier | None = None
    point: Point = Point()
    aliased: Aliased | None = None
    anything: Any = None


class Doer(Processor):
    event_type: ClassVar[type[Event]] = Event


class Doing(Executor):
    processor_type: ClassVar[type[Processor]] = Doer


async def elsewhere(event: Any, path: Path) -> Any:
    """An event as a worker that opens the file anew has run it."""
    url = f"sqlite:///{path}/run.db?synchronous=NORMAL"
    producer = Doing(store=url)
    await producer.append(event)
    await producer.store.close()
    async with Doing(store=url) as worker:
        await worker.join()
        (back,) = worker.completed_events
        return back


async def test_nested_events_are_run_with_their_class_and_fields(tmp_path: Path) -> None:
    plan = Plan(steps=[Step(x=7), Plan(steps=[Step(x=8)]), Event()], by_name={"s": Step(x=9)})
    back = await elsewhere(plan, tmp_path)
    assert back is not plan
    assert (back.status, back.response) == (EventStatus.COMPLETED, [7, None, None])
    assert [type(step) for step in back.steps] == [Step, Plan, Event]
    assert back.steps == plan.steps, "the same ids"
    assert (back.steps[1].steps[0].x, back.by_name["s"].x) == (8, 9)


def name_of(value: Any) -> str:
    """An id of a test that is the same in every process."""
    return value if isinstance(value, str) else type(value).__name__


def again(event: Event) -> Any:
    return Event.from_json(event.to_json())


def stored(event: Event) -> Any:
    kind, text = type_and_payload(event)
    return event_from_payload(
        text, kind=kind, id=event.id, created=event.created_timestamp, entries={}
    )


@pytest.mark.parametrize("read", [again, stored])
@pytest.mark.parametrize(
    "event",
    [
        Plan(anything={"deep": [(Step(x=9),)]}),
        Plan(anything=Pile([Step(x=3)])),
        Task(carrier=Carrier(event=Step(x=7))),
        Task(one=Base(a=2), many=[Base(a=3)], by_name={"n": Base()}, optional=Base(a=9)),
        Task(either=Sub(b=5)),
        Task(either=Base(a=5)),
        Task(either=Other(c=Path("/c"))),
        Task(point=Point(3)),
    ],
    ids=name_of,
)
def test_nested_values_are_read_back_in_their_class(event: Event, read: Any) -> None:
    back = read(event)
    for name in type(event).model_fields:
        value = getattr(back, name)
        assert (value, type(value)) == (getattr(event, name), type(getattr(event, name)))
    assert back.to_json() == event.to_json()


REFUSED: list[tuple[Event, str]] = [
    (Task(one=Sub()), r"Task\.one holds a Sub that would be read back as Base"),
    (Task(many=[Base(), Sub()]), r"Task\.many\[1\] holds a Sub"),
    (Task(by_name={"k": Sub()}), r"Task\.by_name\['k'\] holds a Sub"),
    (Task(optional=Sub()), r"Task\.optional holds a Sub"),
    (Task(anything=[Base()]), r"Task\.anything\[0\] holds a Base that would be read back as dict"),
    (Task(point=Point3()), r"Task\.point holds a Point3"),
    (Plan(steps=[Task(one=Sub())]), r"Plan\.steps\[0\]\.one holds a Sub"),
]


if tuple(map(int, pydantic.VERSION.split(".")[:2])) < (2, 11):
    REFUSED.append((Task(aliased=Aliased(theSize=3)), r"(?s)Task cannot be stored.*aliased"))


@pytest.mark.parametrize(("event", "reason"), REFUSED, ids=name_of)
async def test_what_the_declared_type_cannot_read_back_is_refused_at_append(
    event: Event, reason: str, tmp_path: Path
) -> None:
    async with Doing(store=f"sqlite:///{tmp_path}/run.db?synchronous=NORMAL") as executor:
        with pytest.raises(ValidationError, match=reason) as refused:
            await executor.append(event)
        assert "declare" in str(refused.value), "the remedy"
        assert await executor.store.get([event.id]) == [None]
        other = await executor.append(Step(x=2))
        await executor.join()
        assert other.response == 2


def test_an_event_that_contains_itself_is_refused() -> None:
    plan, inner = Plan(), Plan()
    plan.steps.append(inner)
    inner.steps.append(plan)
    with pytest.raises(ValueError, match="contains itself"):
        type_and_payload(plan)
    inner.steps.clear()
    plan.steps[:] = [plan]
    with pytest.raises(ValueError, match="contains itself"):
        type_and_payload(plan)


def test_a_serializer_of_the_users_sees_nested_events_as_ever() -> None:
    class Own(Event):
        step: Event = Step(x=4)

        @field_serializer("step")
        def write(self, step: Step, info: Any) -> dict[str, Any]:
            assert not info.context
            return step.model_dump(include={"x"})

        @field_validator("step", mode="before")
        @classmethod
        def read(cls, value: Any) -> Any:
            return Step(**value) if isinstance(value, dict) else value

    assert again(Own()).step.x == stored(Own()).step.x == 4


def test_nested_events_that_were_written_without_their_class_are_read() -> None:
    data = Plan().to_dict("json") | {"steps": [{"id": str(UUID(int=7)), "timeout": 3}]}
    (step,) = Plan.from_dict(data).steps
    assert (type(step), step.id, step.timeout) == (Event, UUID(int=7), 3)


async def test_hidden_fields_of_nested_events_are_not_shown(tmp_path: Path) -> None:
    async with Doing(store=f"sqlite:///{tmp_path}/run.db?synchronous=NORMAL") as executor:
        event = await executor.append(Plan(steps=[Step(password="hush")]))
        (record,) = await executor.store.get([event.id])
    assert record is not None
    assert "hush" not in str(fields_of(record))


def test_nested_events_in_extra_fields_keep_their_class() -> None:
    class Open(Event):
        model_config = ConfigDict(extra="allow")

    event = Open(step=Step(x=5))  # type: ignore[call-arg]
    assert again(event).step.x == stored(event).step.x == 5
