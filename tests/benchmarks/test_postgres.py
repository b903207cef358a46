"""What the figures of PostgreSQL are held against, and that a fleet's members are waited for."""

import sys

import pytest

from benchmarks import bars, fleet, postgres, postgres_limit, postgres_workers
from benchmarks.isolate import MeasurementError
from benchmarks.rounds import Answers

SHARE = """
from time import sleep
from benchmarks.gate import Gate
gate = Gate()
gate.wait()
gate.finish(events={events})
"""
PEER = """
import threading
from benchmarks.gate import Gate
gate = Gate()
gate.wait()
done = 3
gate.report(lambda: done)
gate.wait()
done = 10
threading.Event().wait()
"""


def answers(**figures: tuple[float, ...]) -> Answers:
    made = Answers()
    made.figures = {label: [{"ns": ns} for ns in several] for label, several in figures.items()}
    return made


def member(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_ours_is_held_to_everybody_by_the_medians() -> None:
    some = answers(
        **{
            postgres.OURS: (10.0, 20.0, 900.0),
            postgres.OURS_WIDE: (10.0,),
            postgres.RAW: (13.0, 1.0, 90.0),
            postgres.PGQUEUER: (12.5,),
        }
    )
    few = answers(**{postgres.PROCRASTINATE: (600.0,), "(m) celery on Redis": (50.0,)})
    rows = postgres.comparisons(some, few, 10, 1)
    assert [row.ratio for row in rows] == [0.65, 1.25, 30.0, 2.5]
    assert [row.verdict for row in rows] == ["ok (floor)", "MISS", "ok", "MISS"]


def test_without_ours_nothing_is_held_to_a_bar() -> None:
    some = answers(**{postgres.RAW: (13.0,)})
    assert postgres.comparisons(some, some, 10, 1) == []


def test_every_peer_is_asked_once_with_few_and_by_its_own_environment() -> None:
    names = {peer.name for peer in postgres.PEERS}
    assert names == {"pgqueuer", "procrastinate", "arq", "taskiq", "dramatiq", "celery"}
    assert all(peer.environment.requirements.is_file() for peer in postgres.PEERS)


def test_all_members_of_a_fleet_begin_and_end_together() -> None:
    figures = fleet.together([member(SHARE.format(events=n)) for n in (3, 4)], 7)
    assert [each["events"] for each in figures["members"]] == [3, 4]
    assert figures["ns"] > 0


def test_workers_are_warm_before_the_clock_starts() -> None:
    assert fleet.supplied([member(PEER)], [], 7, 3)["ns"] > 0


def test_a_member_that_fails_says_why() -> None:
    with pytest.raises(MeasurementError, match="no such thing"):
        fleet.together([member("raise RuntimeError('no such thing')")], 1)


def test_starts_are_counted_in_any_window_of_a_second() -> None:
    starts = [0.0, 0.5, 0.9, 1.0, 1.4, 9.0, 15.0]
    figures = postgres_limit.judged(starts)
    assert figures["most"] == 4, "at 1.4 the first has left the window"
    assert figures["used"] == pytest.approx(100 * 2 / (200 * 17))


def test_more_workers_are_held_to_two_and_two_to_one() -> None:
    speeds = {1: 23.0, 2: 20.0, 4: 20.0, 8: 40.0}
    some = answers(**{postgres_workers.OURS + postgres.by(n): (ns,) for n, ns in speeds.items()})
    rows = postgres_workers.comparisons(some)
    assert [row.ratio for row in rows] == [1.15, 1.0, 0.5]
    assert [row.verdict for row in rows] == ["ok", "ok", "MISS"]


def test_the_floors_are_those_of_the_issue() -> None:
    held = (bars.OF_RAW_POSTGRES, bars.THAN_PGQUEUER, bars.THAN_PROCRASTINATE, bars.THAN_ON_REDIS)
    assert [(bar.limit, bar.floor) for bar in held] == [(0.7, 0.5), (2, 1.3), (25, 15), (5, 3)]
