"""An executor whose queue holds events that its process cannot read, and some that it can."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine.releases import Plain, Readable, WithLimits, fill, release
from kept import KEPT, url_of

from lionpride.core import EventStatus, Executor
from lionpride.errors import OperationError, ValidationError

S = EventStatus
MANY = 10_000


Make = Callable[..., Executor]


@pytest.fixture(params=["alone", "limits", "fleet"])
def kind(request: pytest.FixtureRequest) -> Make:
    """Makes an executor that claims without limits, or with them."""
    if request.param == "limits":
        return WithLimits
    config: dict[str, Any] = {"concurrency_limit": 10}
    if request.param == "fleet":
        config |= {"scope": "fleet", "queue_capacity": 50, "capacity_refresh_time": 60.0}
    return lambda **how: Plain(processor_config=config, **how)


@pytest.fixture(params=KEPT)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty store that outlives a process: one in memory holds the events themselves."""
    return url_of(request.param, tmp_path)


@pytest.mark.guard(120)
async def test_ten_thousand_unreadable_events_do_not_hold_up_one_that_can_be_read(
    url: str, kind: Make
) -> None:
    last = Readable()
    await fill(url, MANY, last)
    old, executor = release(), kind(store=url, queue="q")
    async with executor:
        with pytest.raises(OperationError, match=f"cannot read {MANY} events of class") as caught:
            await executor.join()
        assert "note: Extra inputs are not permitted" in str(caught.value)
        assert (await executor.result(last.id)) == "done"
        counts = await executor.store.counts()
        assert (counts[S.PENDING], counts[S.COMPLETED], counts[S.PROCESSING]) == (MANY, 1, 0)
        records = await executor.store.list_records(S.PENDING, limit=MANY)
        assert 100 <= sum(one.attempt for one in records) < 120
        assert {(one.tries, one.denials, one.interruptions) for one in records} == {(0, 0, 0)}
        more = await executor.append_many([Readable() for _ in range(20)])
        for each in more:
            assert await executor.result(each) == "done"
    assert old is not None


async def test_a_round_runs_the_others_and_ends(url: str, kind: Make) -> None:
    others = [Readable() for _ in range(3)]
    await fill(url, 5, *others)
    old, executor = release(), kind(store=url, queue="q")
    await executor.start()
    await executor.forward()
    counts = await executor.store.counts()
    assert counts[S.COMPLETED] == 3
    await executor.forward()
    await executor.store.close()
    assert old is not None


async def test_why_says_so_at_once(url: str) -> None:
    await fill(url, 1)
    old, executor = release(), Plain(store=url, queue="q")
    async with executor:
        with pytest.raises(OperationError, match="cannot read 1 event of class"):
            await executor.join()
        (record,) = await executor.store.list_records(S.PENDING)
        why = await executor.why(record.id)
        assert [each.kind for each in why.holds] == ["unreadable"]
        assert "note: Extra inputs are not permitted" in why.holds[0].text
    assert old is not None


async def test_what_is_left_is_named_at_the_end(url: str, caplog: pytest.LogCaptureFixture) -> None:
    await fill(url, 1)
    old, executor = release(), Plain(store=url, queue="q")
    with caplog.at_level(logging.WARNING, "lionpride"):
        async with executor:
            with pytest.raises(OperationError):
                await executor.join()
    (said,) = [text for text in caplog.messages if "may be left pending" in text]
    assert "Versioned" in said
    assert old is not None


async def test_they_fail_if_the_processor_says_so(url: str) -> None:
    await fill(url, 3)
    old = release()
    executor = Plain(store=url, queue="q", processor_config={"fail_unreadable": True})
    async with executor:
        await executor.join()
        assert (await executor.store.counts())[S.FAILED] == 3
    assert old is not None


@pytest.mark.parametrize("value", [None, 1, "yes"])
def test_the_setting_is_a_bool(value: Any) -> None:
    with pytest.raises(ValidationError, match="fail_unreadable must be True or False"):
        Plain(processor_config={"fail_unreadable": value})
