"""Why an event waits: what is said of each thing that may hold it."""

from math import inf
from typing import Any
from uuid import UUID

import pytest

from lionpride.model.execution import EventStatus
from lionpride.rules.explain import Hold, Near, explain
from lionpride.rules.queue_position import (
    FOR_EVER,
    About,
    Blockers,
    First,
    QueueWorker,
    Room,
    Standing,
)

S = EventStatus
NOW = 1_700_000_000.0
UID = UUID(int=7)


def worker(running: int = 0, *, slots: int = 2, live: bool = True, **about: Any) -> QueueWorker:
    return QueueWorker("w", live, running, About(slots, running, **about))


def standing(status: EventStatus = S.PENDING, **how: Any) -> Standing:
    counters = {name: how.pop(name, 0) for name in ("attempt", "denials", "tries")}
    how.setdefault("workers", (worker(),))
    return Standing(UID, "q", "Job", status, **counters, interruptions=0, now=NOW, **how)


def room(at: float, cost: float = 2, key: str | None = None, per: float | None = 6) -> Room:
    return Room("tokens", key, 5, per, cost, 4, at)


CASES: list[tuple[Any, Near | None, list[tuple[str, float | None]], float | None]] = [
    ({}, None, [], NOW),
    ({"due": NOW + 5}, None, [("due", NOW + 5)], NOW + 5),
    ({"due": NOW - 5}, None, [], NOW),
    ({"due": NOW + 5, "denials": 1}, None, [("denied", NOW + 5)], NOW + 5),
    ({"due": NOW + 5, "tries": 1}, None, [("retry", NOW + 5)], NOW + 5),
    (
        {"paused": NOW + 9, "due": NOW + 5},
        None,
        [("due", NOW + 5), ("queue paused", NOW + 9)],
        NOW + 9,
    ),
    ({"paused": NOW - 1}, None, [], NOW),
    ({"paused": FOR_EVER}, None, [("queue paused", None)], None),
    ({"workers": ()}, None, [("no worker", None)], None),
    ({"workers": (worker(live=False),)}, None, [("no worker", None)], None),
    ({"workers": ()}, Near(), [], NOW),
    ({"workers": (worker(paused=True),)}, None, [("paused", None)], None),
    ({"workers": (worker(paused=True), worker())}, None, [], NOW),
    ({"workers": (worker(2),)}, None, [("slots", None)], None),
    ({"workers": (worker(2), worker(1))}, None, [], NOW),
    ({"workers": (QueueWorker("w", True, 9, None),)}, None, [], NOW),
    ({"rooms": (room(NOW + 3),)}, None, [("limit", NOW + 3)], NOW + 3),
    ({"rooms": (room(NOW),)}, None, [], NOW),
    ({"rooms": (room(inf, per=None),)}, None, [("limit", None)], None),
    ({"rooms": (room(inf, key="a", per=None),)}, None, [("key", None)], None),
    ({"rooms": (room(NOW + 3, key="a"),)}, None, [("key", NOW + 3)], NOW + 3),
    ({"rooms": (room(inf, cost=6),)}, None, [("never", None)], None),
    ({}, Near(window_at=NOW + 4), [("window", NOW + 4)], NOW + 4),
    ({}, Near(window_at=NOW), [], NOW),
    ({}, Near(foreign="not run here"), [("class", None)], None),
    ({"ahead": 1}, None, [("behind", None)], NOW),
    ({"ahead": 2}, None, [("behind", None)], None),
    ({"ahead": 1}, Near(window_at=NOW + 4), [("window", NOW + 4), ("behind", None)], NOW + 4),
    ({"ahead": 1, "rooms": (room(NOW + 3),)}, None, [("limit", NOW + 3), ("behind", None)], None),
    ({"status": S.PROCESSING, "holder": "w"}, None, [("running", None)], None),
    ({"status": S.PROCESSING}, Near(is_starting=True), [("claimed", None)], None),
    ({"status": S.FAILED}, None, [("ended", None)], None),
]


@pytest.mark.parametrize(("how", "near", "holds", "expected"), CASES)
def test_what_holds_it_and_until_when(
    how: dict[str, Any],
    near: Near | None,
    holds: list[tuple[str, float | None]],
    expected: float | None,
) -> None:
    why = explain(standing(**how), near)
    assert [(hold.kind, hold.until) for hold in why.holds] == holds
    assert why.expected == expected


@pytest.mark.parametrize(
    ("how", "position"),
    [
        ({}, 1),
        ({"ahead": 3}, 4),
        ({"due": NOW + 5}, None),
        ({"due": NOW - 5, "ahead": 1}, 2),
        ({"status": S.COMPLETED}, None),
    ],
)
def test_its_place_in_the_order(how: dict[str, Any], position: int | None) -> None:
    assert explain(standing(**how)).position == position


def test_it_is_frozen_and_says_all_of_it_in_a_few_lines() -> None:
    why = explain(standing(due=NOW + 5, denials=1, rooms=(room(NOW + 3),)))
    at = "in 3 s (at 2023-11-14 22:13:23 UTC)"
    assert str(why).splitlines() == [
        f"Job {UID} is pending in queue q",
        "- permission was denied 1 of 3 times: asked again in 5 s (at 2023-11-14 22:13:25 UTC)",
        f"- limit tokens has 4 of 5 in 6 s taken, and it needs 2: available {at}",
        "expected to start in 5 s (at 2023-11-14 22:13:25 UTC)",
    ]
    with pytest.raises(AttributeError):
        why.position = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("how", "lines"),
    [
        ({}, ["- nothing blocks it", "expected to start at once"]),
        ({"ahead": 1}, ["- 1 event is before it", "expected to start at once"]),
        (
            {"workers": (worker(paused=True),)},
            [
                "- worker w is paused: resume() lets events start again",
                "its start cannot be predicted",
            ],
        ),
        (
            {"rooms": (Room("concurrency_limit", None, 8, None, 1, 8, inf),)},
            [
                (
                    "- concurrency_limit of all workers together has 8 of 8 taken, and it needs 1: "
                    "available when a running event finishes"
                ),
                "its start cannot be predicted",
            ],
        ),
        ({"status": S.SKIPPED}, ["- it has finished: skipped"]),
        (
            {"status": S.PROCESSING, "attempt": 3, "holder": "w"},
            ["- worker w has it, attempt 3"],
        ),
    ],
)
def test_each_is_one_line(how: dict[str, Any], lines: list[str]) -> None:
    assert str(explain(standing(**how))).splitlines()[1:] == lines


@pytest.mark.parametrize(
    ("until", "words"),
    [
        (NOW + 9, "it continues in 9 s (at "),
        (FOR_EVER, "paused by hand: resume it with"),
    ],
)
def test_a_pause_says_when_it_ends_or_who_ends_it(until: float, words: str) -> None:
    (hold,) = explain(standing(paused=until)).holds
    assert words in hold.text


@pytest.mark.parametrize(
    ("until", "per", "words"),
    [
        (0.0032999, 60, "5 in 60 s taken, and it needs 2: available in 0.003 s ("),
        (3.21, 6, "5 in 6 s taken, and it needs 2: available in 3.2 s ("),
        (9.0, 86_400, "5 in 86,400 s taken, and it needs 2: available in 9 s ("),
        (241, 3600, "5 in 60 min taken, and it needs 2: available in 4 min ("),
        (36_000, 86_400, "5 in 24 h taken, and it needs 2: available in 10 h ("),
        (7200, 6, "5 in 6 s taken, and it needs 2: available in 7,200 s ("),
    ],
)
def test_a_sentence_has_one_unit_of_time(until: float, per: float, words: str) -> None:
    (hold,) = explain(standing(rooms=(room(NOW + until, per=per),))).holds
    assert words in hold.text


@pytest.mark.parametrize(
    ("wait", "words"), [(0.4, "in 0.4 s ("), (90, "in 90 s ("), (270, "in 4.5 min ("),
                        (7200, "in 2 h ("), (864_000, "in 10 days (")],
)  # fmt: skip
def test_a_wait_is_written_in_the_unit_that_suits_it(wait: float, words: str) -> None:
    why = explain(standing(due=NOW + wait))
    assert words in why.holds[0].text
    assert words in str(why).splitlines()[-1]


def test_large_amounts_are_written_in_full() -> None:
    (hold,) = explain(standing(rooms=(Room("tokens", None, 1e6, 60, 2.5, 999_999, NOW + 3),))).holds
    assert "limit tokens has 999,999 of 1,000,000 in 60 s taken, and it needs 2.5:" in hold.text


FIRST = UUID(int=3)


AT = "(at 2023-11-14 22:13:23 UTC)"
OF_KEY_A = room(inf, per=None, key="a")
BEHIND: list[tuple[int, tuple[Room, ...], str]] = [
    (39, (), "39 events are before it"),
    (39, (room(NOW),), "39 events are before it"),
    (
        39,
        (room(NOW + 3),),
        f"the first of the 39 before it waits for limit tokens: available in 3 s {AT}",
    ),
    (
        1,
        (OF_KEY_A,),
        (
            "the one before it waits for limit tokens of key a: available when a running event "
            "finishes"
        ),
    ),
    (
        2,
        (room(NOW + 3), room(inf, cost=6)),
        "the first of the 2 before it can never start: it costs 6 of limit tokens, which is 5",
    ),
]


@pytest.mark.parametrize(("ahead", "rooms", "text"), BEHIND)
def test_the_limit_that_the_first_event_waits_for_is_named(
    ahead: int, rooms: tuple[Room, ...], text: str
) -> None:
    first, many = First(FIRST, "Call", rooms), (worker(slots=100),)
    why = explain(standing(ahead=ahead, first=first, workers=many))
    is_known = any(each.at > NOW for each in rooms)
    end = f"; it is Call {FIRST}" if is_known else ""
    assert [hold.text for hold in why.holds] == [text + end]
    assert why.expected == (None if is_known else NOW)


@pytest.mark.parametrize(
    ("blockers", "text"),
    [
        (
            Blockers(UUID(int=8), "Fetch", "q", S.PROCESSING, "completed", 3),
            f"it waits for 3 parents to complete, first Fetch {UUID(int=8)} (processing)",
        ),
        (
            Blockers(UUID(int=8), "Fetch", "other", S.PENDING, "failed", 1),
            f"it waits for its parent Fetch {UUID(int=8)} (pending in queue other) to fail",
        ),
        (
            Blockers(UUID(int=8), "Fetch", "q", S.PENDING, "finished", 12_000),
            f"it waits for 12,000 parents to finish, first Fetch {UUID(int=8)} (pending)",
        ),
    ],
)
def test_a_blocked_event_names_its_first_unfinished_parent(blockers: Blockers, text: str) -> None:
    why = explain(standing(due=inf, blockers=blockers), Near())
    assert why.holds == (Hold("parents", text),)
    assert (why.position, why.expected) == (None, None)
    assert "its start cannot be predicted" in str(why)


def test_a_hold_is_a_value() -> None:
    assert Hold("due", "it is scheduled", 1.0) == ("due", "it is scheduled", 1.0)
