"""What instances share is never seen by another one."""

import copy
import math
import pickle
import sys
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from lionpride.core import Element, Event


class Job(Event):
    n: int = 0
    name: str = "job"


def test_an_assignment_shows_in_one_instance_only() -> None:
    one, two, three = Job(n=1), Job(n=2), Job(n=3)
    one.name = "other"
    assert one.model_fields_set == {"n", "name"}
    assert two.model_fields_set == three.model_fields_set == {"n"}
    assert (two.name, three.name) == ("job", "job")


def test_what_is_made_of_defaults_is_its_own() -> None:
    first, second, third = Job(), Job(), Job()
    second.n = 5
    assert (first.n, second.n, third.n, Job().n) == (0, 5, 0, 0)
    assert (first.model_fields_set, second.model_fields_set) == (set(), {"n"})
    assert len({first.id, second.id, third.id}) == 3
    assert third == third.model_copy()
    assert third.model_dump()["n"] == 0
    assert first.created_timestamp <= third.created_timestamp


def test_defaults_that_are_made_anew_are_made_anew() -> None:
    class Listed(Element):
        items: list[int] = Field(default_factory=list)
        shared: list[int] = []  # noqa: RUF012  (what is tested: pydantic copies it)

    one, two, three = Listed(), Listed(), Listed()
    two.items.append(1)
    two.shared.append(1)
    assert one.items == three.items == []
    assert one.shared == three.shared == []


def test_validators_run_for_each_instance() -> None:
    seen: list[int] = []

    class Checked(Element):
        n: int = Field(default=1, validate_default=True)

        @field_validator("n")
        @classmethod
        def note(cls, n: int) -> int:
            seen.append(n)
            return n

        @model_validator(mode="after")
        def mark(self) -> "Checked":
            seen.append(-1)
            return self

    for _ in range(3):
        Checked()
    assert seen == [1, -1] * 3


def test_a_missing_field_is_missing_every_time() -> None:
    class Needs(Element):
        n: int

    for _ in range(3):
        with pytest.raises(ValueError, match="n"):
            Needs()


def test_what_is_made_of_defaults_has_what_pydantic_keeps_beside_the_fields() -> None:
    for use in (
        lambda job: job.model_fields_set,
        lambda job: job.model_dump(exclude_unset=True),
        lambda job: job.model_copy(update={"n": 1}),
        lambda job: pickle.loads(pickle.dumps(job)),
        lambda job: copy.copy(job),
        lambda job: copy.deepcopy(job),
        lambda job: job.model_extra,
        lambda job: repr(job) + str(job),
        lambda job: list(job),
        lambda job: Job.model_validate(job),
        lambda job: BaseModel.__eq__(job, Job()),
        lambda job: delattr(job, "name"),
    ):
        _ = Job(), Job()
        use(job := Job())
        assert job.__pydantic_private__ is job.__pydantic_extra__ is None
        assert job.model_fields_set == set()
        with pytest.raises(AttributeError, match="nothing"):
            job.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_a_getattr_of_the_users_own_is_asked_for_nothing_of_pydantics() -> None:
    class Odd(Event):
        def __getattr__(self, name: str) -> str:
            return name

    _ = Odd(), Odd()
    assert (Odd().model_fields_set, Odd().model_extra, Odd().anything) == (set(), None, "anything")


class Scalars(Event):
    text: str
    whole: int = 3
    number: float | None = None
    flag: bool = False
    raw: bytes = b""
    either: int | str = 0
    bounded: int = Field(default=1, ge=0)


class Stripped(Event):
    model_config = ConfigDict(str_strip_whitespace=True)
    text: str
    whole: int = 3


class Finite(Event):
    model_config = ConfigDict(allow_inf_nan=False)
    number: float = 0.0


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.just(math.inf),
    st.text(),
    st.binary(),
    st.sampled_from(["\ud800", " padded ", "5", "true", 1.0, 10**400, -0.0, math.inf]),
)


@pytest.mark.parametrize("kind", [Scalars, Stripped, Finite])
@given(data=st.data())
def test_a_filled_instance_equals_a_validated_one(kind: type[Event], data: st.DataObject) -> None:
    names = st.sampled_from([*kind.model_fields])
    given_values = data.draw(st.dictionaries(names, VALUES, max_size=4))
    for _ in range(2):  # the first one of each names and types is validated in any case
        expected = outcome(lambda: validated(kind, given_values))
        assert outcome(lambda: kind(**given_values)) == expected


def test_the_settings_of_a_class_hold_for_each_instance() -> None:
    assert Finite(number=1.0).number == 1.0
    with pytest.raises(ValueError, match="finite"):
        Finite(number=math.inf)
    assert [Stripped(text=text).text for text in ("a", " b ")] == ["a", "b"]


def validated(kind: type[Event], values: dict[str, Any]) -> Event:
    """Return an instance of pydantic's own."""
    instance = kind.__new__(kind)
    kind.__pydantic_validator__.validate_python(dict(values), self_instance=instance)
    return instance


def outcome(make: Callable[[], Event]) -> Any:
    """Return the fields of an instance, in order, with their types; or the error."""
    try:
        event = make()
    except ValueError as error:
        return str(error)
    fields = [(name, event.__dict__[name]) for name in event.__dict__ if name[0] != "_"]
    return [(name, type(value), repr(value)) for name, value in fields], event.model_fields_set


def test_validators_in_an_annotation_run_for_each_instance() -> None:
    seen: list[int] = []

    class Checked(Event):
        n: Annotated[int, AfterValidator(lambda n: seen.append(n) or n)]

    for n in range(3):
        Checked(n=n)
    assert seen == [0, 1, 2]


def test_instances_of_defaults_share_their_keys() -> None:
    _ = Job(), Job()
    one = Job()
    for key in Job._entries():
        one.__dict__[key] = 1.0
    assert sys.getsizeof(one.__dict__) < sys.getsizeof(dict(one.__dict__))
