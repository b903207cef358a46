"""Ids in order of time."""

import os
from datetime import UTC, datetime
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lionpride.model.element import Element
from lionpride.model.ids import bytes_of, made_id

TIMES = st.floats(min_value=0, max_value=2.0**37)


def new_id(created: float) -> UUID:
    return made_id({}, created)


def test_the_bytes_of_an_id_stay_whether_it_is_made_before_or_after() -> None:
    element = Element()
    made = bytes_of(element.__dict__, element.created_timestamp)
    assert "id" not in element.__dict__
    assert element.id.bytes == made == bytes_of(element.__dict__, 0.0)
    again, copied = Element(), None
    made = bytes_of(again.__dict__, again.created_timestamp)
    copied = again.model_copy()
    assert (again.id.bytes, copied.id.bytes) == (made, made)
    assert again.to_dict().keys() == element.to_dict().keys()


@given(TIMES)
def test_an_id_is_a_uuid_of_version_7_as_others_read_it(created: float) -> None:
    uid = new_id(created)
    again = UUID(str(uid))
    assert (again, again.version, again.variant) == (uid, 7, RFC_4122)
    assert hash(again) == hash(uid)
    assert uid.int >> 80 == int(created * 1000.0)


@given(TIMES, st.floats(min_value=0.001, max_value=1e6))
def test_a_later_time_gives_a_greater_id(created: float, later: float) -> None:
    assert new_id(created) < new_id(created + later)


def test_two_ids_of_one_time_differ() -> None:
    assert len({new_id(1.0) for _ in range(1000)}) == 1000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_process_makes_other_ids_than_its_parent() -> None:
    new_id(1.0)
    ours, theirs = os.pipe()
    if (child := os.fork()) == 0:
        os.write(theirs, new_id(1.0).bytes)
        os._exit(0)
    os.waitpid(child, 0)
    uid = os.read(ours, 16)
    os.close(ours)
    os.close(theirs)
    assert uid not in [new_id(1.0).bytes for _ in range(1000)]


def test_a_time_before_1970_is_as_good_as_any() -> None:
    assert new_id(-5.0).version == 7
    assert Element(created_at=datetime(1950, 1, 1, tzinfo=UTC)).id.version == 7


def test_an_element_has_its_time_of_creation_in_its_id() -> None:
    moment = datetime(2026, 11, 24, 3, 4, 5, 678000, tzinfo=UTC)
    uid = Element(created_at=moment).id
    assert uid.int >> 80 == round(moment.timestamp() * 1000)
