"""Decision 6: whatever user code does, no event is lost or stuck, and its neighbours never notice.

A table of misdeeds, each done in ``_invoke``, in ``_stream``, in ``request`` and in
``request_permission``, through ``forward()`` and through ``execute()``, over a store that never
waits and over one that does.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from engine.kit import (
    MODES,
    Job,
    Mode,
    Waiting,
    agree,
    desk,
    has_all_slots,
    reads_back,
    sleeps,
    starts,
    statuses,
    worker,
)
from engine.misdeeds import (
    AT_ONCE,
    ENDLESS,
    IN_TIME,
    MARK,
    PERMISSION,
    REQUEST,
    STREAM,
    Invoking,
    Misdeed,
    Scene,
)

from lionpride.core import EventStatus, Skip

COMPLETED = EventStatus.COMPLETED


def table() -> Iterator[Any]:
    """Each misdeed at each place, at once and after a wait, with and without a permission hook."""
    for misdeed in (*AT_ONCE, *IN_TIME):
        for place in misdeed.places:
            for asks in (True,) if place == PERMISSION else (False, True):
                for late in (False,) if place == REQUEST or misdeed in IN_TIME else (False, True):
                    words = [misdeed.name, "in", place]
                    words += ["later"] if late else []
                    words += ["permission asked"] if asks and place != PERMISSION else []
                    yield pytest.param(misdeed, place, asks, late, id=" ".join(words))


async def neighbour(event: Job) -> str:
    return MARK.get()


async def slow_neighbour(event: Job) -> str:
    await sleeps(2)(event)
    return MARK.get()


@pytest.mark.virtual
@pytest.mark.parametrize("store", [None, Waiting], ids=["memory", "a store that waits"])
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.__name__)
@pytest.mark.promise("misbehaving-code-is-contained")
@pytest.mark.parametrize(("misdeed", "place", "asks", "late"), [*table()])
async def test_misbehaving(
    misdeed: Misdeed, place: str, asks: bool, late: bool, mode: Mode, store: type[Waiting] | None
) -> None:
    # With a permission hook there is a window too; without one the short way is taken.
    window = {"queue_capacity": 100, "capacity_refresh_time": 3600.0} if asks else {}
    kept, calls = (None, 2) if store is None else (store(desk().store), 1)
    executor = desk(asks=asks, store=kept, concurrency_limit=3, **window)
    noted = starts(executor)
    scene = Scene(misdeed, late)
    bad = misdeed.kinds[place](scene=scene, timeout=misdeed.timeout)
    others = [Job(do=slow_neighbour), Job(do=neighbour), Job(do=neighbour), Job(do=neighbour)]
    await executor.append(bad, 1)
    await executor.append_many(others, [0, 2, 3, 4])
    try:
        error = await mode(executor)
        check_the_bad_one(bad, misdeed, place, error)
        agree(executor)
        reads_back(executor)
        if misdeed.fatal:
            assert others[0].status is COMPLETED, "what ran beside it finishes"
            assert await mode(executor) is None, "the next start() lets the rest run"
        assert statuses(others) == ["completed"] * 4
        assert [event.response for event in others] == ["clean"] * 4
        await has_all_slots(executor, mode, calls)
        if asks:
            assert worker(executor).available_capacity == 100 - len(noted)
    finally:
        scene.release.set()
    await has_all_slots(executor, mode, calls)  # and what was left behind has ended by now
    agree(executor)


def check_the_bad_one(
    bad: Invoking, misdeed: Misdeed, place: str, error: BaseException | None
) -> None:
    recorded = bad.execution.error
    assert bad.status in misdeed.statuses(place)
    if misdeed.fatal:
        assert error is recorded, "it is raised once the neighbours have ended"
    else:
        assert error is None, "it is contained"
    if misdeed.error is not None:
        assert type(recorded) is misdeed.error
        assert bad.execution.tries == (0 if misdeed.error is Skip else 1)
    elif bad.status is COMPLETED:
        assert recorded is None
    if place == STREAM:
        first = "chunk" if misdeed.kinds is ENDLESS else "first"
        assert bad.response[0] == first, "the chunks are kept, however it ends"  # type: ignore[index]
