"""Validation of events: its options, and how often each validator is called."""

from datetime import date
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pydantic
import pytest
from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    WrapValidator,
    field_validator,
    model_validator,
)

from lionpride.core import Event, Executor, Pile, Processor
from lionpride.errors import ValidationError

BY_NAME = tuple(map(int, pydantic.VERSION.split(".")[:2])) >= (2, 11)
by_name = pytest.mark.skipif(not BY_NAME, reason="by_name and by_alias came with pydantic 2.11")


class Inner(Event):
    x: int = 0
    seen: Any = None

    @field_validator("x")
    @classmethod
    def _note(cls, value: int, info: ValidationInfo) -> int:
        CONTEXTS.append(info.context)
        return value


class Plan(Inner):
    day: date | None = None
    steps: list[Inner] = Field(default=[])


class Aliased(Event):
    x: int = Field(default=0, alias="theX")


CONTEXTS: list[Any] = []


@pytest.fixture(autouse=True)
def _empty() -> None:
    CONTEXTS.clear()
    CALLS.clear()


READ = {
    "model_validate": Plan.model_validate,
    "from_dict": Plan.from_dict,
    "of Event": Event.from_dict,
    "with an id": lambda data, **how: Plan.model_validate(
        {"id": "00000000-0000-0000-0000-000000000001", **data}, **how
    ),
}


@pytest.mark.parametrize("name", READ)
def test_strict_is_honoured(name: str) -> None:
    read: Any = READ[name]
    data = {"x": "1", "metadata": {"lion_class": Plan.class_name(full=True)}}
    assert read(data).x == 1
    with pytest.raises(pydantic.ValidationError, match=r"x\n  Input should be a valid integer"):
        read(data, strict=True)
    with pytest.raises(pydantic.ValidationError, match=r"day\n  Input should be a valid date"):
        read({**data, "x": 1, "day": "2025-01-02"}, strict=True)


def test_strict_json_reads_what_json_has_no_type_for() -> None:
    plan = Plan.model_validate_json('{"x": 1, "day": "2025-01-02"}', strict=True)
    assert (plan.x, plan.day) == (1, date(2025, 1, 2))
    with pytest.raises(pydantic.ValidationError, match=r"x\n  Input should be a valid integer"):
        Plan.model_validate_json('{"x": "1"}', strict=True)
    big = '{"x": 123456789012345678901234567890, "seen": [NaN, 1e999]}'
    assert Plan.model_validate_json(big).x == 123456789012345678901234567890
    with pytest.raises(pydantic.ValidationError, match="Invalid JSON"):
        Plan.model_validate_json("{")
    with pytest.raises(pydantic.ValidationError):
        Plan.model_validate_json("[]")


@pytest.mark.parametrize("name", READ)
def test_the_context_reaches_the_validators_also_of_nested_events(name: str) -> None:
    read: Any = READ[name]
    data = {"x": 1, "steps": [{"x": 2}, {}, {"x": 3, "metadata": {"a": 1}}]}
    marks = {"metadata": {"lion_class": Plan.class_name(full=True)}}
    plan = read(marks | data, context="c")
    assert CONTEXTS == ["c"] * 3
    assert [step.x for step in plan.steps] == [2, 0, 3]
    CONTEXTS.clear()
    read(marks | data)
    assert CONTEXTS == [None] * 3
    assert Inner(x=1).x == 1
    assert CONTEXTS[-1] is None, "it is over with the validation"


@by_name
def test_by_name_and_by_alias_are_honoured() -> None:
    class Strict(Aliased):
        model_config = ConfigDict(populate_by_name=False)

    assert Strict.model_validate({"x": 1}, by_name=True).x == 1
    assert Strict.model_validate({"theX": 1}).x == 1
    with pytest.raises(pydantic.ValidationError, match="x\n  Extra inputs"):
        Strict.model_validate({"x": 1})
    with pytest.raises(pydantic.ValidationError, match="theX\n  Extra inputs"):
        Strict.model_validate({"theX": 1}, by_alias=False, by_name=True)
    assert Strict.from_dict(Strict(theX=3).to_dict()).x == 3  # type: ignore[call-arg]
    with pytest.raises(pydantic.ValidationError, match="x\n  Extra inputs"):
        Strict.from_dict({"x": 1}, by_name=False)


class OwnInit(Event):
    x: int = 0

    def __init__(self, x: int = 0, **data: Any) -> None:
        super().__init__(x=x, **data)


@pytest.mark.parametrize("how", [{"strict": True}, {"context": 1}])
def test_options_that_cannot_be_honoured_are_refused(how: dict[str, Any]) -> None:
    option = next(iter(how))
    for read in (OwnInit.model_validate, OwnInit.from_dict, Pile.from_dict):
        with pytest.raises(ValidationError, match=f"cannot be validated with {option}=.*__init__"):
            read({}, **how)  # type: ignore[operator]
    with pytest.raises(ValidationError, match=f"cannot be validated with {option}=.*strings"):
        Plan.model_validate_strings({"x": "1"}, **how)
    assert Plan.model_validate_strings({"x": "1"}).x == 1
    assert OwnInit.model_validate({"x": 1}).x == OwnInit.from_dict({"x": "1"}).x == 1
    with pytest.raises(TypeError):
        Plan.model_validate({}, unheard_of=True)  # type: ignore[call-arg]


def test_errors_are_those_of_pydantic_with_and_without_options() -> None:
    for how in ({}, {"context": 1}):
        with pytest.raises(pydantic.ValidationError, match="id\n"):
            Plan.model_validate({"id": 5}, **how)  # type: ignore[arg-type]
        with pytest.raises(pydantic.ValidationError, match="execution must be"):
            Plan.model_validate({"execution": 5}, **how)  # type: ignore[arg-type]
    plan = Plan()
    assert Plan.model_validate(plan, context=1) is plan


# --- how often validators are called

CALLS: list[str] = []


def noting(name: str) -> Any:
    def note(value: Any) -> Any:
        CALLS.append(name)
        return value

    return note


def around(value: Any, handler: Any) -> Any:
    CALLS.append("wrap")
    return handler(value)


class Base(Event):
    before: Annotated[int, BeforeValidator(noting("before"))]
    after: Annotated[int, AfterValidator(noting("after"))]
    wrap: Annotated[int, WrapValidator(around)]
    plain: Annotated[int, PlainValidator(noting("plain"))]
    decorated: int

    _note = field_validator("decorated")(noting("decorated"))


class Watched(Base):
    @model_validator(mode="before")
    @classmethod
    def _before(cls, data: Any) -> Any:
        CALLS.append("model before")
        return data

    @model_validator(mode="wrap")
    @classmethod
    def _wrap(cls, data: Any, handler: Any) -> Any:
        CALLS.append("model wrap")
        return handler(data)

    @model_validator(mode="after")
    def _after(self) -> "Watched":
        CALLS.append("model after")
        return self


class Remade(Watched):
    def __init__(self, **data: Any) -> None:
        super().__init__(**data)


FIELDS = {"before": 1, "after": 1, "wrap": 1, "plain": 1, "decorated": 1}
ALL = {Base: sorted(FIELDS)}
ALL[Watched] = ALL[Remade] = sorted([*FIELDS, "model before", "model wrap", "model after"])


def calls() -> list[str]:
    """Which validators were called since the last time."""
    called = sorted(CALLS)
    CALLS.clear()
    return called


@pytest.mark.parametrize("kind", ALL)
def test_each_validator_is_called_once_for_each_way_to_make_an_event(kind: type[Base]) -> None:
    event = kind(**FIELDS)
    assert calls() == ALL[kind]
    for data in (FIELDS, {"id": str(event.id), **FIELDS}):
        kind.model_validate(data)
        assert calls() == ALL[kind]
        kind.from_dict(data)
        assert calls() == ALL[kind]
    kind.model_validate_json(event.model_dump_json(include=set(FIELDS)))
    assert calls() == ALL[kind]
    if kind is not Remade:
        kind.model_validate(FIELDS, context=1, strict=True)
        assert calls() == ALL[kind]


class Doer(Processor):
    event_type: ClassVar[type[Event]] = Event


class Doing(Executor):
    processor_type: ClassVar[type[Processor]] = Doer


@pytest.mark.parametrize("kind", ALL)
async def test_validators_are_called_again_when_an_event_is_stored_and_when_it_is_read(
    kind: type[Base], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/run.db?synchronous=NORMAL"
    event = kind(**FIELDS)
    calls()
    memory = Doing()
    await memory.append(event)
    assert calls() == [], "memory keeps the object"
    producer = Doing(store=url)
    await producer.append(kind(**FIELDS))
    assert calls() == sorted(ALL[kind] * 2), "it is made, and read back to compare"
    ((_, _),), _ = await producer.store.claim("worker", 1)
    assert calls() == [], "this process has the object"
    await producer.append(event.as_fresh_event())
    calls()
    await producer.store.close()
    worker = Doing(store=url)
    ((read, _),), _ = await worker.store.claim("worker", 1)
    assert calls() == ALL[kind]
    assert read.before == 1  # type: ignore[attr-defined]
    await worker.store.close()


class Given(Event):
    order: int = Field(validation_alias=AliasChoices("order", "number"))


def test_a_dump_of_an_older_release_is_read_by_its_alias() -> None:
    assert Given.from_dict({"number": 3}).order == 3
