"""Limits in a run: all that an event costs is reserved at its claim, in order, and kept exactly."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from math import fsum
from random import Random
from typing import Any, ClassVar

import pytest
from engine.kit import background as in_background
from engine.kit import now
from simulation.unhurried import unhurried

from lionpride.core import Event, EventStatus, Executor, Limit, Processor, RateLimited
from lionpride.errors import ConfigurationError, ValidationError
from lionpride.stores.contract import Store

pytestmark = pytest.mark.virtual

STARTS: list[tuple[float, Any]] = []


class Call(Event):
    """Notes when it starts, and lasts as long as it says."""

    tokens: int = 0
    tenant: str | None = None
    lasts: float = 0.0

    @property
    def costs(self) -> Mapping[str, float]:
        return {"requests": 1, "tokens": self.tokens}

    @property
    def key(self) -> str | None:
        return self.tenant

    async def _invoke(self) -> int:
        STARTS.append((round(now() - BEGAN[-1], 6), self.tenant or self.tokens))
        await asyncio.sleep(self.lasts)
        return self.tokens


BEGAN: list[float] = []


class CallProcessor(Processor):
    event_type: ClassVar[type[Event]] = Call


class CallExecutor(Executor):
    processor_type: ClassVar[type[Processor]] = CallProcessor


class AskingProcessor(CallProcessor):
    async def request_permission(self, **_: Any) -> bool:
        await asyncio.sleep(3)
        return True


class AskingExecutor(Executor):
    processor_type: ClassVar[type[Processor]] = AskingProcessor


@pytest.fixture(autouse=True, params=["memory", "sqlite"])
def fresh(request: pytest.FixtureRequest) -> None:
    """Every test over every store."""
    STARTS.clear()
    STORE.clear()
    FILE[:] = [request.param] if request.param == "sqlite" else []


FILE: list[str] = []
STORE: list[Store] = []


def begin() -> None:
    BEGAN.append(now())


def executor(
    *limits: Limit, kind: type[Executor] = CallExecutor, store: Any = None, **config: Any
) -> Executor:
    begin()
    if store is None and FILE:
        store = STORE[0] if STORE else unhurried(asyncio.get_running_loop().time)
        STORE[:] = [store]
    return kind({"limits": limits, **config}, store=store)


@asynccontextmanager
async def background(desk: Executor) -> AsyncIterator[None]:
    """Run it meanwhile, and close its store in its own loop."""
    async with in_background(desk):
        yield
    await desk.store.close()


async def run(desk: Executor, *events: Event) -> None:
    await desk.append_many(events)
    async with background(desk):
        await desk.join()


def tokens(*amounts: int, **fields: Any) -> list[Call]:
    return [Call(tokens=each, **fields) for each in amounts]


async def test_events_start_as_soon_as_there_is_room_in_every_window() -> None:
    desk = executor(Limit("requests", 3, per=10), Limit("tokens", 100, per=60))
    await run(desk, *tokens(10, 20, 10, 30, 30, 5))
    assert STARTS == [(0, 10), (0, 20), (0, 10), (10, 30), (10, 30), (60, 5)]


async def test_a_small_one_passes_a_large_one_that_it_does_not_delay() -> None:
    desk = executor(Limit("tokens", 100, per=10))
    async with background(desk):
        await desk.append_many(tokens(60))
        await asyncio.sleep(5)
        await desk.append_many(tokens(90, 10, 20, 5))
        await desk.join()
    # 90 may start at 10, and 40 are free until then; of what starts meanwhile, 10 may count then.
    assert STARTS == [(0, 60), (5, 10), (10, 90), (15, 5), (20, 20)]


async def test_what_counts_no_more_by_then_delays_nobody() -> None:
    desk = executor(Limit("tokens", 100, per=10))
    await run(desk, *tokens(60, 90, 10, 20, 5))
    assert STARTS == [(0, 60), (0, 10), (0, 20), (0, 5), (10, 90)]


async def test_a_large_one_is_not_starved() -> None:
    desk = executor(Limit("tokens", 100, per=10))
    async with background(desk):
        await desk.append_many(tokens(*[10] * 5))
        large = await desk.append(Call(tokens=100))
        for _ in range(200):
            await desk.append(Call(tokens=10))
            await asyncio.sleep(0.1)
        await desk.result(large)
        await desk.join()
    assert (10, 100) in STARTS


class Slow(Call):
    """Gives others some turns of the loop."""

    turns: int = 0

    async def _invoke(self) -> int:
        STARTS.append((round(now() - BEGAN[-1], 6), self.tokens))
        for _ in range(self.turns):
            await asyncio.sleep(0)
        return self.tokens


@pytest.mark.parametrize("turns", range(6))
async def test_a_slot_that_is_passed_on_starves_no_large_one(turns: int) -> None:
    """It is free while somebody still looks at the many that wait behind the large one."""
    desk = executor(Limit("tokens", 100, per=10), concurrency_limit=2)
    async with background(desk):
        await desk.append(Slow(tokens=60))
        await asyncio.sleep(3)
        few = [Slow(turns=turns) for _ in range(3)]
        await desk.append_many([*few, *tokens(100, *[10] * 1000)])
        await asyncio.sleep(8)  # nobody is told of any end: else it is not passed on like that
    # Any that started at 3 would count until 13.
    assert [(0, 60), *[(3, 0)] * 3, (10, 100)] == STARTS


async def test_an_urgent_one_goes_before_a_large_one_that_waits() -> None:
    desk = executor(Limit("tokens", 100, per=10))
    async with background(desk):
        await desk.append_many(tokens(100, 80))
        await asyncio.sleep(5)
        await desk.append(Call(tokens=50), priority=0.0)
        await desk.join()
    assert STARTS == [(0, 100), (10, 50), (20, 80)]


async def test_who_needs_nothing_of_what_is_exhausted_waits_for_nobody() -> None:
    desk = executor(Limit("tokens", 10, per=60), Limit("requests", 500, per=60))
    await run(desk, *tokens(*[10] * 3), *tokens(*[0] * 400))
    assert STARTS[:401] == [(0, 10)] + [(0, 0)] * 400
    assert STARTS[401:] == [(60, 10), (120, 10)]


async def test_what_counts_at_once_is_free_when_an_event_ends() -> None:
    desk = executor(Limit("slots", 2))
    await run(desk, *tokens(1, 2, 3, 4, 5, lasts=2))
    assert STARTS == [(0, 1), (0, 2), (2, 3), (2, 4), (4, 5)]


async def test_each_key_has_its_own() -> None:
    desk = executor(Limit("tenant", 2, per_key=True))
    await run(desk, *[Call(tenant=key, lasts=1) for key in "aaaaabbbcc"], Call(lasts=1))
    names = ["".join(str(key) for at, key in STARTS if at == second) for second in range(3)]
    assert names == ["aabbcc0", "aab", "a"]


async def test_a_key_with_thousands_waiting_holds_up_nobody() -> None:
    desk = executor(Limit("tenant", 1, per_key=True))
    await run(desk, *[Call(tenant="a", lasts=1) for _ in range(400)], Call(tenant="b", lasts=1))
    assert (0, "b") in STARTS
    assert [at for at, key in STARTS if key == "a"] == list(range(400))


async def test_a_key_may_have_so_much_in_a_time() -> None:
    desk = executor(Limit("requests", 1, per=10, per_key=True))
    await run(desk, *[Call(tenant=key) for key in "aabba"])
    assert STARTS == [(0, "a"), (0, "b"), (10, "a"), (10, "b"), (20, "a")]


async def test_a_round_starts_what_may_start_now() -> None:
    desk = executor(Limit("tokens", 100, per=10))
    await desk.append_many(tokens(60, 60, 40, 1))
    await desk.forward()
    assert STARTS == [(0, 60), (0, 40)]
    await asyncio.sleep(10)
    await desk.forward()
    assert STARTS[2:] == [(10, 60), (10, 1)]
    assert not len(desk.pending_events)
    await desk.store.close()


async def test_one_limit_for_two_executors() -> None:
    shared = Limit("requests", 2, per=10)
    desks = executor(shared), executor(shared)
    for desk in desks:
        await desk.append_many(tokens(1, 1, 1))
    async with background(desks[0]), background(desks[1]):
        for desk in desks:
            await desk.join()
    assert [at for at, _ in STARTS] == [0, 0, 10, 10, 20, 20]


async def test_a_limit_can_be_changed_while_it_is_waited_for() -> None:
    desk = executor(Limit("requests", 1, per=100))
    async with background(desk):
        await desk.append_many(tokens(1, 2, 3, 4))
        await asyncio.sleep(5)
        desk.limits["requests"].amount = 3
        await asyncio.sleep(5)
        desk.limits["requests"].per = 10
        await desk.join()
    assert STARTS == [(0, 1), (5, 2), (5, 3), (10, 4)]


async def test_limits_are_a_class_attribute_too() -> None:
    class Two(CallProcessor):
        limits: ClassVar[list[Limit]] = [Limit("requests", 1, per=10)]

    class TwoExecutor(Executor):
        processor_type: ClassVar[type[Processor]] = Two

    begin()
    await run(TwoExecutor(), *tokens(1, 2))
    assert STARTS == [(0, 1), (10, 2)]
    with pytest.raises(ConfigurationError, match="limits"):
        TwoExecutor({"limits": 5})


async def test_an_event_that_costs_too_much_is_refused_and_nothing_is_taken_in() -> None:
    desk = executor(Limit("tokens", 100, per=10))
    with pytest.raises(ValidationError, match=r"costs\['tokens'\] is 101"):
        await desk.append(Call(tokens=101))
    with pytest.raises(ValidationError, match="101"):
        await desk.append_many(tokens(1, 101))
    assert not len(desk.states.items)


async def test_what_has_become_too_much_fails_and_says_so() -> None:
    desk = executor(Limit("tokens", 100, per=10))
    seen: list[Any] = []
    desk.observe(lambda step: seen.append((step.before, step.after)))
    first, large, small = tokens(100, 90, 10)
    async with background(desk):
        await desk.append_many([first, large, small])
        await asyncio.sleep(1)
        desk.limits["tokens"].amount = 50
        await desk.join()
        assert large.status is EventStatus.FAILED
        assert "can never give more than 50" in str(large.execution.error)
        assert (EventStatus.PENDING, EventStatus.FAILED) in seen
        desk.limits["tokens"].amount = 100
        await desk.retry(large)
        assert await desk.result(large) == 90


@pytest.mark.parametrize("error", [LookupError, GeneratorExit, asyncio.CancelledError])
@pytest.mark.parametrize("more", [(), ("requests",), ("requests", "turns")])
async def test_costs_that_raise_fail_their_event_alone(
    error: type[BaseException], more: tuple[str, ...]
) -> None:
    class Broken(Call):
        broken: bool = False

        @property
        def costs(self) -> Mapping[str, float]:
            if self.broken:
                raise error("no price")
            return {"tokens": 1}

    if FILE:
        pytest.skip("a file has the costs that an event had when it was appended")
    desk = executor(Limit("tokens", 100, per=10), *(Limit(name, 100, per=10) for name in more))
    bad, good = Broken(), Broken()
    await desk.append_many([bad, good])
    bad.broken = True
    async with background(desk):
        await desk.join()
    assert bad.status is EventStatus.FAILED
    assert isinstance(bad.execution.error, error)
    assert good.status is EventStatus.COMPLETED


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
async def test_costs_that_want_to_exit_end_the_run_and_no_other_event(
    error: type[BaseException],
) -> None:
    class Leaving(Call):
        leaving: bool = False

        @property
        def costs(self) -> Mapping[str, float]:
            if self.leaving:
                raise error
            return {"tokens": 1}

    if FILE:
        pytest.skip("a file has the costs that an event had when it was appended")
    desk = executor(Limit("tokens", 100, per=10))
    bad, good = Leaving(), Leaving()
    await desk.append_many([bad, good])
    bad.leaving = True
    await desk.start()
    with pytest.raises(error):
        await desk.processor.execute()
    assert bad.status is EventStatus.FAILED
    assert good.status in (EventStatus.PENDING, EventStatus.COMPLETED)
    await desk.start()
    async with background(desk):
        await desk.join()
    assert good.status is EventStatus.COMPLETED


async def test_what_waits_for_permission_is_counted_from_the_claim_and_by_its_start() -> None:
    desk = executor(Limit("requests", 1, per=10), kind=AskingExecutor)
    await run(desk, *tokens(1, 2))
    assert STARTS == [(3, 1), (16, 2)]


async def test_cancelled_while_it_waits_for_room() -> None:
    desk = executor(Limit("tokens", 100, per=10))
    async with background(desk):
        events = tokens(100, 90, 50, 50)
        await desk.append_many(events)
        await asyncio.sleep(1)
        assert await desk.cancel(events[1])
        await desk.join()
    assert STARTS == [(0, 100), (10, 50), (10, 50)]


async def test_who_stops_leaves_what_waits_to_the_next() -> None:
    limit = Limit("tokens", 100, per=10)
    desk = executor(limit)
    await desk.append_many(tokens(100, 90, 10))
    async with background(desk):
        await asyncio.sleep(1)
    async with background(desk):
        await desk.join()
    assert STARTS == [(0, 100), (10, 90), (10, 10)]


@pytest.mark.parametrize("capacity", [None, 50])
async def test_every_way_to_claim_keeps_them(capacity: int | None) -> None:
    desk = executor(Limit("tokens", 7, per=1), queue_capacity=capacity, concurrency_limit=3)
    desk.observe(lambda _: None)
    await run(desk, *tokens(*[1, 2, 3, 4] * 20, lasts=0.25))
    for end, _ in STARTS:
        seen = [n for at, n in STARTS if at <= end and fsum((at, 1.0, -end)) > 0]
        assert sum(seen) <= 7


# -- a service that says "too many" ----------------------------------------------------------------


class Busy(Call):
    """Is told "too many" by its service so often."""

    busy: int = 0
    limit: str | None = None
    pause: bool = True

    async def _invoke(self) -> int:
        await super()._invoke()
        if self.execution.attempt <= self.busy:
            raise RateLimited("slow down", retry_after=7, limit=self.limit, pause=self.pause)
        return self.tokens


@pytest.mark.parametrize("limits", [(), (Limit("requests", 10**6, per=1),)])
@pytest.mark.parametrize("name", [None, "nothing"])
async def test_too_many_pauses_the_whole_queue_and_costs_no_try(
    name: str | None, limits: tuple[Limit, ...]
) -> None:
    desk = executor(*limits, concurrency_limit=1)
    busy = Busy(busy=2, tokens=1, limit=name)
    await run(desk, busy, *tokens(2, 3))
    assert STARTS == [(0, 1), (7, 1), (14, 1), (14, 2), (14, 3)]
    assert busy.status is EventStatus.COMPLETED
    assert (busy.execution.tries, busy.execution.attempt) == (0, 3)


async def test_too_many_pauses_the_limit_that_it_names_and_nobody_else() -> None:
    desk = executor(
        Limit("tokens", 10**6, per=60), Limit("requests", 10**6, per=60), concurrency_limit=1
    )
    await run(desk, Busy(busy=1, tokens=1, limit="tokens"), *tokens(2, 0))
    assert STARTS == [(0, 1), (0, 0), (7, 1), (7, 2)]


@pytest.mark.parametrize("limit", [None, "tokens"])
async def test_too_many_for_one_event_delays_that_event_alone(limit: str | None) -> None:
    desk = executor(Limit("tokens", 10**6, per=60), concurrency_limit=1)
    busy = Busy(busy=2, tokens=1, limit=limit, pause=False)
    await run(desk, busy, *tokens(2, 3))
    assert STARTS == [(0, 1), (0, 2), (0, 3), (7, 1), (14, 1)]
    assert busy.status is EventStatus.COMPLETED
    assert (busy.execution.tries, busy.execution.denials) == (0, 0)


async def test_too_many_of_a_key_pauses_that_key() -> None:
    desk = executor(Limit("requests", 10**6, per=60, per_key=True), concurrency_limit=1)
    await run(desk, Busy(busy=1, tenant="a", limit="requests"), *[Call(tenant=k) for k in "ab"])
    assert STARTS == [(0, "a"), (0, "b"), (7, "a"), (7, "a")]


async def test_a_round_waits_for_a_pause_too() -> None:
    desk = executor()
    await desk.append(Busy(busy=1, tokens=1))
    await desk.forward()
    await desk.append(Call(tokens=2))
    await desk.forward()
    assert STARTS == [(0, 1)]
    await asyncio.sleep(7)
    await desk.forward()
    assert STARTS == [(0, 1), (7, 1), (7, 2)]
    await desk.store.close()


# -- the true cost ---------------------------------------------------------------------------------


class Spends(Call):
    """Says what it has cost when it knows."""

    true: int = 0

    async def _invoke(self) -> int:
        await super()._invoke()
        self.spend(tokens=self.true)
        return self.true


async def test_what_was_reserved_for_nothing_is_free_at_once() -> None:
    desk = executor(Limit("tokens", 100, per=10))
    await run(desk, Spends(tokens=90, true=10, lasts=2), *tokens(80, 10))
    assert STARTS == [(0, 90), (0, 10), (2, 80)]


async def test_a_debt_is_waited_for_by_those_who_come_later() -> None:
    desk = executor(Limit("tokens", 100, per=10))
    await run(desk, Spends(tokens=10, true=150, lasts=2), Call(tokens=100))
    assert STARTS == [(0, 10), (12, 100)]


async def test_to_spend_means_nothing_where_there_is_no_limit() -> None:
    desk = executor()
    event = Spends(true=5)
    await run(desk, event, alone := Spends(true=6))
    assert event.response == 5
    begin()
    assert await Spends(true=7).invoke() == 7
    with pytest.raises(ValidationError, match="spend"):
        alone.spend(tokens=-1)


@pytest.mark.parametrize("seed", range(5))
async def test_who_needs_all_of_it_has_it_when_fractions_were_spent(seed: int) -> None:
    """Sums of fractions are not exact: what rounding leaves must not keep anybody waiting."""
    rng = Random(seed)

    class Fraction(Call):
        async def _invoke(self) -> int:
            await asyncio.sleep(rng.random())
            self.spend(tokens=rng.random() * self.tokens)
            return self.tokens

    desk = executor(Limit("tokens", 100, per=10), Limit("requests", 3, per=1))
    events = [Fraction(tokens=rng.choice((1, 10, 60, 100))) for _ in range(30)]
    async with background(desk):
        await desk.append_many(events)
        async with asyncio.timeout(30 * 11):
            assert [await desk.result(each) for each in events] == [e.tokens for e in events]


class Spending(Call):
    said: tuple[int, ...] = ()

    async def _invoke(self) -> int:
        STARTS.append((round(now() - BEGAN[-1], 6), self.tokens))
        for total in self.said:
            self.spend(tokens=total)
        return self.tokens


async def test_what_one_event_has_spent_is_not_the_next_ones_in_its_slot() -> None:
    desk = executor(
        Limit("requests", 10**6, per=10), Limit("tokens", 100, per=10), concurrency_limit=1
    )
    opening = Spending(tokens=1)
    owing, saving = Spending(tokens=10, said=(40, 30)), Spending(tokens=20, said=(9, 5))
    equal, silent, rest, late = Spending(tokens=7, said=(5,)), *tokens(4, 55, 2)
    # The first of a class is looked at closely, and the next is claimed by itself; after that, one
    # is handed the slot of the one before.
    await run(desk, opening, owing, saving, equal, silent, rest, late)
    amounts = [1, 10, 20, 7, 4, 55]
    assert STARTS[:-1] == [(0.0, amount) for amount in amounts]
    assert STARTS[-1] == (10.0, 2)


class Exhausted(Call):
    async def _invoke(self) -> int:
        raise RateLimited(retry_after=10)


async def test_a_pause_of_all_holds_for_who_comes_while_nobody_waits() -> None:
    desk = executor()
    async with background(desk):
        gone = await desk.append(Exhausted())
        await asyncio.sleep(1)
        await desk.cancel(gone)
        await desk.append(Call(tokens=7))
        await desk.join()
    assert STARTS == [(10.0, 7)]


# -- costs that count for nothing ------------------------------------------------------------------


class Misspelt(Call):
    @property
    def costs(self) -> Mapping[str, float]:
        return {"reqests": 1}


class Free(Call):
    @property
    def costs(self) -> Mapping[str, float]:
        return {}


class CallLimited(CallProcessor):
    limits = (Limit("requests", 5, per=1),)


class SlotsLimited(CallProcessor):
    limits = (Limit("slots", 5), Limit("calls", 5, per=1))


def strange(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [text for text in caplog.messages if "no limit has such a name" in text]


async def test_costs_that_no_limit_knows_are_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    executor = type("Limited", (CallExecutor,), {"processor_type": CallLimited})()
    await executor.append(Call())
    await executor.append_many([Free(), Call()])
    assert not strange(caplog)
    await executor.append_many([Misspelt(), Misspelt()])
    async with executor:
        await executor.append(Misspelt())
        await executor.join()
    (told,) = strange(caplog)
    assert told.startswith("Misspelt costs 'reqests', and no limit has such a name: ")
    assert "Limit('requests'" in told


async def test_a_limit_of_what_runs_at_once_counts_every_event(
    caplog: pytest.LogCaptureFixture,
) -> None:
    executor = type("Slots", (CallExecutor,), {"processor_type": SlotsLimited})()
    await executor.append(Misspelt())
    assert not strange(caplog)
