"""What is shown of a durable store stands in the lanes, by number and id; the oldest give way."""

import gc

from stores.makers import Job

from lionpride.model.execution import EventStatus
from lionpride.stores.event_cache import EventCache
from lionpride.stores.states import States

PENDING, PROCESSING, COMPLETED = EventStatus.PENDING, EventStatus.PROCESSING, EventStatus.COMPLETED


def kept(number: int) -> Job:
    event = Job()
    event.execution.arrival = number
    assert event.id
    return event


def agree(states: States, *numbers: int) -> None:
    """The events of these numbers are shown, and everybody says so."""
    assert list(states.by_number) == list(numbers)
    assert sorted(n for lane in states.lanes.values() for n in lane) == list(numbers)
    for number, event in states.by_number.items():
        assert states.lanes[event.status][number] is event
        assert states.find(event.id) is event
        assert states.items[event.id] is event
    assert len(states.items) == len(numbers)


def test_what_rests_is_shown_in_its_lane_and_found_by_its_id() -> None:
    states = States(name="s")
    shown, events = EventCache(states), {number: kept(number) for number in (5, 3)}
    for number, event in events.items():
        shown.rest(number, event)
        assert shown.find(number) is event
        assert shown.has(number)
        assert shown.shows(number)
    agree(states, 3, 5)
    assert not shown.has(4)
    assert shown.find(4) is None


def test_the_oldest_at_rest_give_way_and_are_found_while_somebody_has_them() -> None:
    states = States(name="s")
    shown, first = EventCache(states, most=2), kept(1)
    shown.rest(1, first)
    for number in (2, 3):
        shown.rest(number, kept(number))
    agree(states, 2, 3)
    assert states.find(first.id) is None
    assert shown.find(1) is first
    assert not shown.shows(1)
    shown.rest(4, kept(4))
    gc.collect()
    assert not shown.has(2), "nobody has it"
    shown.rest(1, first)
    agree(states, 1, 4)


def test_what_is_claimed_stays_and_moves_from_lane_to_lane() -> None:
    states = States(name="s")
    shown, event = EventCache(states, most=1), kept(1)
    shown.rest(1, event)
    shown.take(1, event)
    shown.rest(2, kept(2))
    shown.rest(3, kept(3))
    agree(states, 1, 3)
    for before, after in ((PENDING, PROCESSING), (PROCESSING, COMPLETED)):
        event.execution.become(after)
        shown.move(1, event, before, after)
        agree(states, 1, 3)
    shown.rest(1, event)
    agree(states, 1)


def test_what_was_let_go_of_is_taken_again() -> None:
    states = States(name="s")
    shown, event = EventCache(states, most=0), kept(1)
    shown.rest(1, event)
    agree(states)
    shown.take(1, event)
    agree(states, 1)
    assert shown.find(1) is event


def test_what_is_dropped_is_nobodys() -> None:
    states = States(name="s")
    shown, events = EventCache(states, most=1), [kept(number) for number in (1, 2)]
    for event in events:
        shown.rest(event.execution.arrival or 0, event)
    assert shown.drop([1, 2, 3]) == events
    agree(states)
    assert not shown.has(1)
    assert not shown.has(2)
    assert [event.execution.arrival for event in events] == [None, None]
    assert shown.drop([1]) == []
