"""Usage of limits and slots, as workers report it."""

from dataclasses import replace
from uuid import UUID

from lionpride.rules.limits.limit import Limit
from lionpride.rules.queue_position import About
from lionpride.stores.inspector import ClaimedEvent, LimitUsage, WorkerRecord
from lionpride.view.limits import gauges_of, limits_of, slots_of

WORKER_ID = UUID(int=1)
LIMITS = (("requests", 60.0, 60.0, False, "api"), ("host", 2, None, True, "host"))
ABOUT = About(slots=4, limits=LIMITS)
WORKER = WorkerRecord("w", "q", "vm", 1, 0.0, 0.0, 0.0, alive=True, held=(), about=ABOUT)


def test_each_limit_of_live_workers_is_listed_once() -> None:
    gone = replace(WORKER, alive=False, about=About(slots=9, limits=(("old", 1, 1, False, "old"),)))
    limits = limits_of([WORKER, WORKER, gone, replace(WORKER, about=None)], None)
    assert [(one.pool, one.amount, one.per) for one in limits] == [
        ("api", 60.0, 60.0),
        ("host", 2, None),
    ]


def test_the_usage_of_each_limit_or_key_is_shown_with_its_amount() -> None:
    taken = [
        LimitUsage("api", 7.0, None, 60.0),
        LimitUsage("host", 1.0, None, None, key="a"),
        LimitUsage("host", 2.0, None, None, key="b"),
        LimitUsage("unheard", 1.0, None, None),
    ]
    gauges = gauges_of(limits_of([WORKER], None), taken)
    assert [(one.name, one.used, one.amount) for one in gauges] == [
        ("api", 7.0, 60.0),
        ("host · b", 2.0, 2.0),
        ("host · a", 1.0, 2.0),
        ("unheard", 1.0, None),
    ]
    assert gauges_of([Limit("new", 3)], []) == [LimitUsage("new", 0.0, 3, None)]


def test_slots_are_counted_over_live_workers() -> None:
    held = (ClaimedEvent(1, WORKER_ID, "k", 1, None),) * 3
    gone = replace(WORKER, alive=False)
    assert slots_of([WORKER, replace(WORKER, held=held), gone]) == (3, 8)
