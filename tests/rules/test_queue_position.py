"""What a store knows of an event's turn: what there is of a limit, and who is at work."""

import json
from math import inf

import pytest

from lionpride.rules.limits.limit import Limit
from lionpride.rules.queue_position import About, QueueWorker, limits_at_work, room_of


@pytest.mark.parametrize(
    ("cost", "held", "paused", "taken", "used", "at"),
    [
        (3, 0, 0, [], 0, 100),
        (3, 0, 0, [(95, 2)], 2, 100),
        (4, 0, 0, [(95, 2)], 2, 105),
        (4, 0, 0, [(89, 2)], 0, 100),  # it has left the window
        (5, 0, 0, [(92, 1), (95, 2)], 3, 105),
        (3, 3, 0, [], 3, inf),
        (1, 0, 107, [], 0, 107),
    ],
)
def test_when_there_is_room_in_a_window(
    cost: float,
    held: float,
    paused: float,
    taken: list[tuple[float, float]],
    used: float,
    at: float,
) -> None:
    limit = Limit("tokens", 5, per=10)
    room = room_of(limit, "a", cost, 100.0, held=held, paused=paused, taken=taken)
    assert (room.used, room.at) == (used, at)
    assert (room.limit, room.key, room.amount, room.per) == ("tokens", None, 5, 10)


@pytest.mark.parametrize(("held", "at"), [(1, 100), (2, inf)])
def test_what_counts_at_once_for_a_key(held: float, at: float) -> None:
    limit = Limit("host", 2, per_key=True)
    room = room_of(limit, "a", 1, 100.0, held=held, paused=0.0, taken=())
    assert (room.key, room.at, room.per) == ("a", at, None)


ABOUT = About(3, 1, True, 5, 2.0, (("tokens", 90, 60.0, False, "tokens"),))


def test_what_a_worker_says_is_read_back_from_json() -> None:
    assert About.of(json.loads(json.dumps(ABOUT._asdict()))) == ABOUT
    assert About.of({"slots": 3, "of a later version": 1}) == About(3)
    fleet = About(3, limits=(("queue_capacity", 5, 1.0, False, "q"),), starts=("queue_capacity",))
    assert About.of(json.loads(json.dumps(fleet._asdict()))) == fleet


def test_what_every_start_takes_one_of_is_told_apart_from_what_events_cost() -> None:
    limits = (("queue_capacity", 5, 1.0, False, "q"), ("tokens", 9, 1.0, False, "t"))
    about = About(3, limits=limits, starts=("queue_capacity",))
    under = limits_at_work([QueueWorker("w", True, 0, about)])
    assert under is not None
    amounts = {limit.name: n for limit, n in under.amounts({}, None)}
    assert amounts == {"queue_capacity": 1}


def test_the_limits_at_work_are_those_of_live_workers() -> None:
    other = ABOUT._replace(limits=(*ABOUT.limits, ("host", 2, None, True, "hosts")))
    live = [QueueWorker(name, True, 0, about) for name, about in [("a", ABOUT), ("b", other)]]
    limits = limits_at_work(live)
    assert limits is not None
    assert (
        repr(limits)
        == "[Limit('tokens', 90, per=60), Limit('host', 2, per_key=True, pool='hosts')]"
    )
    dead = [each._replace(is_live=False) for each in live]
    assert limits_at_work([*dead, live[0]._replace(about=None)]) is None


def test_a_worker_of_a_later_release_may_report_more() -> None:
    reported = {"slots": 1, "unreadable": [["jobs.Job", 3, "an id", "a reason", "something new"]]}
    (unreadable,) = About.of(reported | {"new": 1}).unreadable
    assert unreadable.total == 3
