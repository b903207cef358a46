"""How full limits are, as those at work say."""

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


def test_each_limit_is_told_once_and_those_that_are_gone_say_nothing() -> None:
    gone = replace(WORKER, alive=False, about=About(slots=9, limits=(("old", 1, 1, False, "old"),)))
    limits = limits_of([WORKER, WORKER, gone, replace(WORKER, about=None)], None)
    assert [(one.pool, one.amount, one.per) for one in limits] == [
        ("api", 60.0, 60.0),
        ("host", 2, None),
    ]


def test_what_is_taken_is_set_against_what_there_is() -> None:
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


def test_slots_are_those_of_all_at_work() -> None:
    held = (ClaimedEvent(1, WORKER_ID, "k", 1, None),) * 3
    gone = replace(WORKER, alive=False)
    assert slots_of([WORKER, replace(WORKER, held=held), gone]) == (3, 8)
