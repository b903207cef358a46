"""Which events of an append are new, and what is said of the others."""

from uuid import uuid4

import pytest
from stores.makers import Job

from lionpride.errors import ExistsError
from lionpride.stores.sql.appending import AppendRequest, exists
from lionpride.stores.sql.codec import event_row
from lionpride.stores.sql.rows import EventRow
from lionpride.stores.terms import Terms


def places(count: int) -> list[EventRow]:
    return [event_row(Job(), float(n)) for n in range(count)]


def test_each_new_event_is_taken_once_and_each_gets_its_number() -> None:
    new, known = places(2)
    step = AppendRequest([known, new, new], exist_ok=True)
    assert step.fresh({known.id}, exists) == {new.id: new}
    assert step.answer({known.id: 7}, {new.id: 8}) == [(7, False), (8, True), (8, True)]


@pytest.mark.parametrize("again", [True, False], ids=["twice", "known"])
def test_an_id_that_is_there_or_comes_twice_is_refused(again: bool) -> None:
    (one,) = places(1)
    step = AppendRequest([one, one] if again else [one])
    with pytest.raises(ExistsError, match=r"is known here already.*exist_ok=True"):
        step.fresh(() if again else {one.id}, exists)


def test_what_another_store_holds_is_refused() -> None:
    (one,) = places(1)
    with pytest.raises(ExistsError, match="belongs to another executor"):
        AppendRequest([one], frozenset([one.id]), exist_ok=True).fresh((), exists)


def test_an_id_in_another_queue_is_named_with_it() -> None:
    said = str(exists(uuid4().bytes, "mails", "file"))
    assert "known in queue 'mails' of this file: nothing was appended" in said


def test_what_waits_stands_for_one_of_its_value_and_what_has_ended_for_its_period() -> None:
    one = places(1)
    assert AppendRequest(one).single is None
    assert AppendRequest(one, terms=Terms(due=5.0)).single is None
    asked = AppendRequest(one, terms=Terms(unique=("tick", 100.0), period=10.0))
    assert asked.single == "tick"
    assert asked.is_stood_for(1.0, "pending")
    assert asked.is_stood_for(1.0, "processing")
    assert asked.is_stood_for(95.0, "completed")
    assert not asked.is_stood_for(85.0, "completed")
