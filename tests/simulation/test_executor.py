"""Executors under everything at once, in virtual time, against what must hold of any."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, cast

import pytest
from simulation import mutants
from simulation.office import WEIGHTS, Office
from simulation.tasks import CREW, Plain, PlainExecutor
from simulation.unhurried import SIMULATED
from simulation.walks import chosen, length
from simulation.wrapped import Wrapped
from stores.makers import STORES, Make

from lionpride.core import Executor, Processor
from lionpride.model.event_data import EventData
from lionpride.model.execution import TERMINAL
from lionpride.rules.rate_window import RateWindow
from lionpride.stores.contract import Entry, Settled, Settlement, Store
from lionpride.stores.listeners import Listener, Signal, Unsubscribe
from lionpride.testing import VirtualLoop

ENOUGH = 60
"""Seeds within which each mutant has to be caught."""

SEEDS = {"memory": 300, "sqlite": 120, "postgres": 15}
"""Walks over each kind of store."""

PATIENCE = 10_000.0
"""Virtual seconds after which nothing more is to be expected."""


class Faulty(AssertionError):
    """The ledger has found something wrong, or something never ended."""


async def work(make: Make, seed: int, steps: int, **how: Any) -> Office:
    """Walk one seed, and run all that is left in the end."""
    office = Office(make, Random(seed), **how)
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    jump = loop.jump

    def jump_at_rest(timeout: float) -> None:
        office.book.at_rest()
        jump(timeout)

    loop.jump = jump_at_rest  # type: ignore[method-assign]
    try:
        for name in office.rng.choices(list(WEIGHTS), list(WEIGHTS.values()), k=steps):
            office.met[name] += 1
            await step(office, name)
        await step(office, "drain")
    except Exception as error:
        story = "\n".join(f"  {line}" for line in office.trace)
        raise Faulty(
            f"seed {seed}: {office.setting}\n{story[-6000:]}\n"
            f"{[*office.book.faults, f'{type(error).__name__}: {error}'][0]}\n"
            f"replay: SEED={seed} python -m pytest tests/simulation/test_executor.py"
        ) from error
    finally:
        loop.jump = jump  # type: ignore[method-assign]
        for visitor in office.visitors:
            visitor.cancel()
        await asyncio.gather(*office.visitors, return_exceptions=True)
        for store in office.stores:
            await store.close()
    return office


async def step(office: Office, name: str) -> None:
    async with asyncio.timeout(PATIENCE):
        await getattr(office, name)()
    office.book.agree()
    assert not office.book.faults


@pytest.mark.virtual
@pytest.mark.parametrize(
    ("kind", "seed"), [(kind, seed) for kind in SIMULATED for seed in chosen(SEEDS[kind])]
)
async def test_whatever_is_done_to_an_executor(kind: str, seed: int) -> None:
    await work(SIMULATED[kind], seed, length(40))


@pytest.mark.virtual
@pytest.mark.guard(60)
async def test_the_walks_go_everywhere() -> None:
    met: Counter[str] = Counter()
    for seed in range(100):
        office = await work(STORES["memory"], seed, 40)
        met.update(office.met)
        for task in office.book.accepted.values():
            state = task.execution
            met[task.status] += 1
            met["tried again"] += state.attempt > 1
            met["interrupted"] += state.interruptions > 0
            met["denied"] += task.id in office.book.refused
            met["cancelled by hand"] += task.id in office.cancelled
            met["streamed"] += task.streaming
        met.update(start.crew.kind for start in office.book.starts)
    wanted = {*WEIGHTS, *TERMINAL, "tried again", "interrupted", "denied", "cancelled by hand"}
    rare = {name: met[name] for name in {*wanted, "streamed", "execute", "forward"}}
    assert min(rare.values()) >= 10, rare


# -- tests of the tests ----------------------------------------------------------------------------


class PriorityForgotten(Wrapped):
    """Every event is as urgent as every other."""

    async def append(self, entries: Sequence[Entry], **how: Any) -> list[EventData]:
        return await self.inner.append([(event, 0.0) for event, _ in entries], **how)


class NotNotified(Wrapped):
    """A worker that waits for an event is not notified."""

    def subscribe(self, signal: Signal, listener: Listener, **how: Any) -> Unsubscribe:
        if signal is Signal.READY:
            return lambda: None
        return self.inner.subscribe(signal, listener, **how)


class InterruptedIsLost(Wrapped):
    """What is sent back to pending is gone."""

    async def settle(self, settlements: Sequence[Settlement]) -> list[Settled]:
        answers = await self.inner.settle(settlements)
        for event, _, outcome in settlements:
            if getattr(outcome, "interruptions", 0):
                await self.inner.remove([event])
        return answers


class OneTooMany(Plain):
    """One event more than allowed runs at once."""

    def __init__(self, concurrency_limit: int = 100, **settings: Any) -> None:
        super().__init__(concurrency_limit=concurrency_limit + 1, **settings)


class DoesNotStop(Plain):
    """stop() is lost."""

    async def stop(self) -> None:
        """It goes on."""


class JoinsAtOnce(PlainExecutor):
    """join() does not wait."""

    async def join(self) -> None:
        await asyncio.sleep(0)


class CancelsNothing(PlainExecutor):
    """cancel() says that it did."""

    async def cancel(self, event: Any) -> bool:
        return event.status not in TERMINAL


class GuessesResults(PlainExecutor):
    """result() does not wait."""

    async def result(self, event: Any) -> Any:
        return None


class LosesTheFirst(PlainExecutor):
    """A restart loses an event."""

    async def load(self, state: Any) -> int:
        count = await super().load(state)
        if len(self.pending_events):
            await self.remove(self.pending_events[0])
        return count


STORE_FAULTS: list[type[Wrapped]] = [
    PriorityForgotten,
    NotNotified,
    InterruptedIsLost,
    mutants.IgnoresUntil,
    mutants.WaitsOutDenials,
    mutants.RequeueKeepsDenials,
    mutants.PruneForgetsTheLast,
    mutants.RestartForgetsDenials,
]

KINDS: list[type[Any]] = [
    OneTooMany,
    DoesNotStop,
    JoinsAtOnce,
    CancelsNothing,
    GuessesResults,
    LosesTheFirst,
]


async def caught(make: Make = STORES["memory"], **how: Any) -> int:
    """The first seed that finds a fault."""
    for seed in range(ENOUGH):
        try:
            await work(make, seed, 40, **how)
        except Faulty:
            return seed
    raise AssertionError(f"not caught on {ENOUGH} seeds")


@pytest.mark.virtual
@pytest.mark.parametrize("fault", STORE_FAULTS, ids=lambda fault: fault.__name__)
async def test_an_executor_over_a_faulty_store_is_caught(fault: type[Any]) -> None:
    def make(clock: Callable[[], float]) -> Store:
        return cast("Store", fault(STORES["memory"](clock)))

    await caught(make)


@pytest.mark.virtual
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
async def test_an_executor_with_a_fault_of_its_own_is_caught(kind: type[Any]) -> None:
    executor = kind
    if issubclass(kind, Processor):

        class Faulted(Executor):
            processor_type = kind

        executor = Faulted
    await caught(kinds=(executor, executor))


@pytest.mark.virtual
async def test_c2_a_window_that_is_not_asked_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RateWindow, "wait", lambda _self, _now: 0.0)
    await caught()


@pytest.mark.virtual
async def test_c2_a_round_that_is_not_counted_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    stamp = RateWindow.stamp

    def stamp_but_rounds(window: RateWindow, now: float) -> None:
        if CREW.get().kind == "execute":
            stamp(window, now)

    monkeypatch.setattr(RateWindow, "stamp", stamp_but_rounds)
    await caught()


@pytest.mark.virtual
async def test_c2_a_window_that_forgets_at_each_start_is_caught(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stamps: list[float] = []

    class Forgetful(Plain):
        async def start(self) -> None:
            await super().start()
            stamps.clear()

    class ForgetfulExecutor(Executor):
        processor_type = Forgetful

    def wait(window: RateWindow, now: float) -> float:
        if len(stamps) < window.capacity:
            return 0.0
        left = stamps[-window.capacity] + window.span - now
        return max(left, 1e-9) if left > 0 else 0.0

    monkeypatch.setattr(RateWindow, "wait", wait)
    monkeypatch.setattr(RateWindow, "stamp", lambda _self, now: stamps.append(now))
    await caught(kinds=(ForgetfulExecutor, ForgetfulExecutor))
