"""Decision 6 over a file: what misbehaves is on record as the decision names it.

The table of ``test_misbehaviour.py`` once more, in real time, over the store that writes. The
record is what another process would read: built anew, without the event that was at hand.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine.kit import MODES, Job, Mode, agree, desk, reads_back, statuses, worker
from engine.misdeeds import AT_ONCE, IN_TIME, PERMISSION, Misdeed, Scene

from lionpride.core import EventStatus, Executor
from lionpride.stores.sqlite import SqliteStore

SHORT = 0.05
"""Seconds, in place of the table's virtual ones."""

SWIFT = [each for each in IN_TIME if each.timeout == 1 and each.name != "hanging stubbornly"]
"""Those that end with their timeout; what ignores cancellations takes seconds to leave behind."""


def table() -> Iterator[Any]:
    for misdeed in (*AT_ONCE, *SWIFT):
        for place in misdeed.places:
            yield pytest.param(misdeed, place, id=f"{misdeed.name} in {place}")


async def neighbour(event: Job) -> str:
    await asyncio.sleep(0.01)
    return event.label


async def records(path: Path) -> dict[str, Any]:
    """What a store that was never open before reads: by id."""
    store = SqliteStore(path, "jobs")
    try:
        found = {str(each.id): each for each in await store.list_records(limit=100)}
        counts = await store.counts()
        listed = Counter(each.status for each in found.values())
        assert counts == {status: listed[status] for status in EventStatus}
        return found
    finally:
        await store.close()


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.__name__)
@pytest.mark.parametrize(("misdeed", "place"), [*table()])
async def test_it_is_on_record(misdeed: Misdeed, place: str, mode: Mode, tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    store = SqliteStore(path, "jobs", synchronous="NORMAL")
    executor: Executor = desk(asks=place == PERMISSION, store=store, concurrency_limit=3)
    scene = Scene(misdeed, late=False)
    timeout = misdeed.timeout and (SHORT if misdeed.timeout == 1 else misdeed.timeout)
    bad = misdeed.kinds[place](scene=scene, timeout=timeout)
    others = [Job(label=str(number), do=neighbour) for number in range(4)]
    await executor.append(bad, 1)
    await executor.append_many(others, [0, 2, 3, 4])
    error = await mode(executor)
    if misdeed.fatal:
        assert error is bad.execution.error
        assert await mode(executor) is None, "the next start() lets the rest run"
    else:
        assert error is None
    await store.settled()
    agree(executor)
    reads_back(executor)
    assert statuses(others) == ["completed"] * 4
    assert bad.status in misdeed.statuses(place)
    assert not worker(executor).working
    scene.release.set()
    shown = {str(event.id): event for event in executor.states.items}
    await store.close()

    found = await records(path)
    assert found.keys() == shown.keys()
    for key, event in shown.items():
        state, record = event.execution, found[key]
        assert (record.status, record.attempt, record.tries) == (
            state.status,
            state.attempt,
            state.tries,
        )
        written = record.payload["execution"]
        assert written == event.to_dict("json")["execution"]
    if misdeed.error is not None:
        names = [each.__name__ for each in misdeed.error.__mro__]
        assert found[str(bad.id)].payload["execution"]["error"]["error"] in names
