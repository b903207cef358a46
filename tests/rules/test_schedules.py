"""Schedules: which instants have events, under which ids, and when these start."""

from datetime import UTC, datetime
from itertools import product
from typing import Any
from uuid import UUID, uuid5

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lionpride import Cron, Every, Schedule
from lionpride.model.schedule import OverlapPolicy
from lionpride.rules.schedules import (
    ON_TIME,
    InstantDecision,
    LastEventState,
    OverlapDecision,
    decide_instants,
    decide_overlap,
    event_id,
    is_too_far,
    start_time,
)

ONE, OTHER = UUID(int=1), UUID(int=2)
BERLIN = "Europe/Berlin"
HOURLY = Every(3600)
HOUR = 3600.0


def at(text: str) -> float:
    """Return the instant of a time in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


# -- ids and start times ---------------------------------------------------------------------------


def test_the_id_is_a_name_in_the_namespace_of_the_schedule() -> None:
    found = event_id(ONE, at("2026-03-29T01:00"))
    assert found == uuid5(ONE, "2026-03-29T01:00:00.000000+00:00")


INSTANTS = st.floats(0, 4e9).map(lambda each: round(each, 6))


@given(instants=st.lists(INSTANTS, min_size=2, max_size=20, unique=True))
def test_ids_differ_by_instant_and_by_schedule(instants: list[float]) -> None:
    ids = {event_id(schedule, each) for schedule, each in product((ONE, OTHER), instants)}
    assert len(ids) == 2 * len(instants)
    assert ids == {event_id(schedule, each) for schedule, each in product((ONE, OTHER), instants)}


@given(uid=st.uuids(), instant=INSTANTS, jitter=st.floats(0, 86_400))
def test_jitter_is_a_share_that_the_id_decides(uid: UUID, instant: float, jitter: float) -> None:
    start = start_time(uid, instant, jitter)
    assert instant <= start <= instant + jitter
    assert start == start_time(uid, instant, jitter)
    assert start_time(uid, instant, 0.0) == instant


def test_jitter_spreads_the_events_of_a_schedule() -> None:
    starts = [start_time(event_id(ONE, each), 0.0, 100.0) for each in map(float, range(1000))]
    assert min(starts) < 1
    assert max(starts) > 99
    assert 45 < sum(starts) / len(starts) < 55


# -- what is due -----------------------------------------------------------------------------------

NEXT = 100 * HOUR
LATE: list[tuple[dict[str, Any], float, list[int], tuple[int, int] | None]] = [
    # one instant, on time: each policy uses it
    ({"missed": "skip"}, 0.0, [0], None),
    ({"missed": "skip"}, ON_TIME, [0], None),
    ({"missed": "last"}, 5.0, [0], None),
    ({"missed": "all"}, 5.0, [0], None),
    # one instant, late
    ({"missed": "skip"}, ON_TIME + 1, [], (0, 0)),
    ({"missed": "last"}, HOUR - 1, [0], None),
    ({"missed": "all"}, HOUR - 1, [0], None),
    # four instants, the newest of them on time
    ({"missed": "skip"}, 3 * HOUR + 9, [3], (0, 2)),
    ({"missed": "last"}, 3 * HOUR + 9, [3], (0, 2)),
    ({"missed": "all"}, 3 * HOUR + 9, [0, 1, 2, 3], None),
    ({"missed": "all", "missed_limit": 2}, 3 * HOUR + 9, [2, 3], (0, 1)),
    # four instants, all of them late
    ({"missed": "skip"}, 3.5 * HOUR, [], (0, 3)),
    ({"missed": "last"}, 3.5 * HOUR, [3], (0, 2)),
    ({"missed": "all"}, 3.5 * HOUR, [0, 1, 2, 3], None),
    # the limit belongs to "all"
    ({"missed": "last", "missed_limit": 3}, 3.5 * HOUR, [3], (0, 2)),
]
"""Options, seconds after the next instant, hours that have events, first and last without."""


@pytest.mark.parametrize(("options", "late", "used", "missed"), LATE)
def test_what_is_due_after_an_absence(
    options: dict[str, Any], late: float, used: list[int], missed: tuple[int, int] | None
) -> None:
    found = decide_instants(Schedule(HOURLY, **options), NEXT, NEXT + late)
    assert list(found.instants) == [NEXT + HOUR * each for each in used]
    assert found.missed == (missed and tuple(NEXT + HOUR * each for each in missed))
    assert found.next == NEXT + HOUR * (late // HOUR + 1)


RULES = st.sampled_from(
    [HOURLY, Every(7.5), Cron("30 2 * * *", tz=BERLIN), Cron("*/15 2 * * *", tz=BERLIN)]
)
STARTS = st.floats(at("2026-01-01T00:00"), at("2027-01-01T00:00")) | st.floats(
    at("2026-10-24T20:00"), at("2026-10-25T05:00")
)


@settings(deadline=None)
@given(
    rule=RULES,
    start=STARTS,
    steps=st.lists(st.floats(0, 30_000), min_size=1, max_size=20),
    missed=st.sampled_from(["skip", "last", "all"]),
    limit=st.integers(1, 5),
)
def test_an_instant_is_used_once_or_missed_once(
    rule: Any, start: float, steps: list[float], missed: Any, limit: int
) -> None:
    """Whenever somebody looks, each instant is either used or passed over, and in order."""
    schedule = Schedule(rule, missed=missed, missed_limit=limit)
    following, now = rule.next_after(start), start
    used: list[float] = []
    for step in steps:
        now += step
        if following > now:
            continue
        found = decide_instants(schedule, following, now)
        assert len(found.instants) <= (limit if missed == "all" else 1)
        every = rule.newest(following, now, 10_000)
        passed = [] if found.missed is None else rule.newest(*found.missed, 10_000)
        assert [*passed, *found.instants] == every
        used += found.instants
        assert found.next is not None
        assert found.next > now
        assert found.next == rule.next_after(now)
        following = found.next
    assert used == sorted(set(used))


def test_the_repeated_hour_of_autumn_is_passed_once() -> None:
    schedule = Schedule(Cron("30 2 * * *", tz=BERLIN))
    first = at("2026-10-25T00:30")
    for late in (0.0, HOUR, 1.75 * HOUR):
        assert decide_instants(schedule, first, first + late) == InstantDecision(
            [first], None, at("2026-10-26T01:30")
        )


def test_an_instant_that_the_rule_does_not_know_is_used() -> None:
    """Another release of the database of time zones may have computed it."""
    assert list(decide_instants(Schedule(HOURLY), NEXT + 1, NEXT + 2).instants) == [NEXT + 1]


# -- the clock -------------------------------------------------------------------------------------


def test_an_instant_is_too_far_after_the_clock_was_set_back() -> None:
    assert not is_too_far(HOURLY, NEXT, NEXT + 50 * HOUR)
    assert not is_too_far(HOURLY, NEXT, NEXT)
    assert not is_too_far(HOURLY, NEXT, NEXT - 1)
    assert not is_too_far(HOURLY, NEXT, NEXT - 1.5 * HOUR)
    assert is_too_far(HOURLY, NEXT, NEXT - 2.5 * HOUR)


@settings(deadline=None)
@given(rule=RULES, start=STARTS)
def test_the_next_instants_are_not_too_far(rule: Any, start: float) -> None:
    first = rule.next_after(start)
    second = rule.next_after(first)
    third = rule.next_after(second)
    assert [is_too_far(rule, each, start) for each in (first, second, third)] == [
        False,
        False,
        True,
    ]


# -- overlap ---------------------------------------------------------------------------------------

A, AFTER, SKIP, REPLACE = (
    OverlapDecision.APPEND,
    OverlapDecision.APPEND_AFTER,
    OverlapDecision.SKIP,
    OverlapDecision.REPLACE,
)
TABLE: dict[OverlapPolicy, tuple[OverlapDecision, OverlapDecision, OverlapDecision]] = {
    # the event before: finished, waiting, started
    "allow": (A, A, A),
    "skip": (A, SKIP, SKIP),
    "queue": (A, SKIP, AFTER),
    "replace": (A, REPLACE, REPLACE),
}


@pytest.mark.parametrize("policy", TABLE)
def test_what_happens_while_the_event_before_is_unfinished(policy: OverlapPolicy) -> None:
    assert tuple(decide_overlap(policy, latest) for latest in LastEventState) == TABLE[policy]
