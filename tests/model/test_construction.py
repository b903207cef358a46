"""What instances share is never seen by another one."""

import copy
import pickle
import sys

import pytest
from pydantic import BaseModel, Field, field_validator, model_validator

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


def test_instances_of_defaults_share_their_keys() -> None:
    _ = Job(), Job()
    one = Job()
    for key in Job._entries():
        one.__dict__[key] = 1.0
    assert sys.getsizeof(one.__dict__) < sys.getsizeof(dict(one.__dict__))
