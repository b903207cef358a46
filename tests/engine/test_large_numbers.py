"""Numbers that are no finite float, where a float is needed: refused, with the field's name."""

from math import inf, nan
from pathlib import Path
from typing import Any, ClassVar

import pytest

from lionpride.core import Defer, Event, EventStatus, Executor, Limit, Processor, Retry
from lionpride.errors import ValidationError

HUGE = 10**400
ENDLESS = 10**5000  # Python refuses to write it in decimal digits
"""Integers that no float can hold."""

STRANGE = [HUGE, -HUGE, ENDLESS, nan, inf, -inf]
strange = pytest.mark.parametrize(
    "number", STRANGE, ids=["huge", "-huge", "endless", *map(str, STRANGE[3:])]
)


@strange
@pytest.mark.parametrize("field", ["attempts", "backoff", "ceiling", "deadline"])
def test_retry_refuses_it(field: str, number: Any) -> None:
    with pytest.raises(ValidationError, match=f"Retry.{field} must be a .*number"):
        Retry(**{field: number})


@strange
def test_limits_and_waits_refuse_it(number: Any) -> None:
    with pytest.raises(ValidationError, match="amount of limit 'tokens' must be a finite number"):
        Limit("tokens", number, per=1)
    with pytest.raises(ValidationError, match="per of limit 'tokens' must be a finite number"):
        Limit("tokens", 1, per=number)
    with pytest.raises(ValidationError, match="Defer takes a number of seconds"):
        Defer(number)


class Spends(Event):
    """States other costs than it has said."""

    said: Any = 1
    spent: Any = 1

    @property
    def costs(self) -> Any:
        return {"tokens": AMOUNTS.get(self.said, self.said)}

    async def _invoke(self) -> str:
        self.spend(tokens=AMOUNTS.get(self.spent, self.spent))
        return "ran"


AMOUNTS = {str(n): number for n, number in enumerate(STRANGE)}


class Doer(Processor):
    event_type: ClassVar[type[Event]] = Spends


class Doing(Executor):
    processor_type: ClassVar[type[Processor]] = Doer


def desk(place: str, folder: Path) -> Executor:
    store = None if place == "memory" else f"sqlite:///{folder}/run.db?synchronous=NORMAL"
    return Doing({"limits": [Limit("tokens", 1e308, per=0.01)]}, store=store)


places = pytest.mark.parametrize("place", ["memory", "sqlite"])


@places
@pytest.mark.parametrize("number", AMOUNTS)
async def test_costs_are_refused_at_append(number: str, place: str, tmp_path: Path) -> None:
    async with desk(place, tmp_path) as executor:
        with pytest.raises(ValidationError, match=r"Spends\.costs\['tokens'\] must be a finite"):
            await executor.append(Spends(said=number))
        assert executor.pending_events == []
    await executor.store.close()


@places
@pytest.mark.parametrize("number", AMOUNTS)
async def test_spend_fails_the_event_and_no_other(number: str, place: str, tmp_path: Path) -> None:
    async with desk(place, tmp_path) as executor:
        event, other = await executor.append_many([Spends(spent=number), Spends(spent=2)])
        await executor.join()
        assert (event.status, other.status) == (EventStatus.FAILED, EventStatus.COMPLETED)
        assert isinstance(event.execution.error, ValidationError)
        assert "spend['tokens'] must be a finite number" in str(event.execution.error)
    await executor.store.close()


@places
async def test_amounts_whose_sum_is_no_float_hold_nothing_up(place: str, tmp_path: Path) -> None:
    async with desk(place, tmp_path) as executor:
        events = await executor.append_many([Spends(said=9e307, spent=1.7e308) for _ in range(3)])
        await executor.join()
        assert [event.response for event in events] == ["ran"] * 3
    await executor.store.close()


class Reports(Event):
    async def _invoke(self) -> None:
        self.progress(HUGE)


async def test_progress_refuses_it() -> None:
    event = Reports()
    await event.invoke()
    assert isinstance(event.execution.error, ValidationError)
    assert "fraction" in str(event.execution.error)


@strange
async def test_append_refuses_times_and_priorities(number: Any) -> None:
    executor = Doing()
    for name in ("at", "delay", "ttl"):
        with pytest.raises(ValidationError, match=f"{name} must be"):
            await executor.append(Spends(), **{name: number})
    with pytest.raises(ValidationError, match="Priority must be finite"):
        await executor.append(Spends(), priority=number)
    assert executor.pending_events == []
