"""Every store against the naive reference, over random histories."""

import os
from collections import Counter
from random import Random
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation.durable import Building, lose_answers
from simulation.faults import FAULTS, Fault
from simulation.invariants import ALL
from simulation.mutants import MUTANTS, Mutant
from simulation.story import Broken
from simulation.walks import WORLDS, Failed, chosen, length, simulate
from simulation.world import WEIGHTS, World
from simulation.wrapped import Wrapped
from stores.makers import STORES, Make

from lionpride.model.execution import TERMINAL
from lionpride.stores.contract import Cancelled, Settled, Store

ENOUGH = 80
"""Seeds within which each mutant has to be caught."""

SEEDS = {"memory": 300, "sqlite": 100, "postgres": 12}
"""Walks over each kind of store."""

REFUSALS = ("ExistsError", "NotFoundError", "OperationError", "QueueFullError")


# -- the walks -------------------------------------------------------------------------------------


@pytest.mark.promise("reopening-changes-nothing")
@pytest.mark.guard(240)
@pytest.mark.parametrize("kind", STORES)
async def test_x1_every_history_gives_the_answers_of_the_reference(kind: str) -> None:
    met: Counter[Any] = Counter()
    for seed in chosen(SEEDS[kind]):
        world = await simulate(STORES[kind], seed, length(60), kind=WORLDS[kind])
        met.update(world.met)
    if not {"SEED", "SEEDS", "STEPS"} & os.environ.keys():
        wanted = {*world.weights(), *Settled, *Cancelled, *TERMINAL, *REFUSALS}
        rare = {each: met[each] for each in wanted if met[each] < SEEDS[kind] // 20}
        assert not rare, f"{rare}: the walks do not go there often enough"


@pytest.mark.promise("postgres-lost-answer")
@pytest.mark.guard(240)
async def test_x1_a_step_whose_answer_is_lost_gives_the_answer_of_the_reference(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lost: Counter[str] = Counter()
    for seed in chosen(SEEDS["postgres"] // 2):
        with monkeypatch.context() as patch:
            some = lose_answers(patch, Random(seed))
            await simulate(STORES["postgres"], seed, length(60), kind=WORLDS["postgres"])
            lost.update(some)
    assert len(lost) >= 3


@settings(max_examples=40, deadline=None)
@given(
    verbs=st.lists(st.sampled_from(list(WEIGHTS)), max_size=30),
    rng=st.randoms(use_true_random=False),
)
@pytest.mark.parametrize("kind", STORES)
async def test_x1_every_history_that_hypothesis_finds_does_so_too(
    kind: str, verbs: list[str], rng: Random
) -> None:
    world = WORLDS[kind](STORES[kind], rng)
    try:
        for verb in verbs if kind != "postgres" else verbs[:8]:  # each asks a server
            await world.step(verb)
    finally:
        await world.close()


# -- tests of the tests ----------------------------------------------------------------------------


def spoilt(mutant: type[Any]) -> Make:
    """Makes stores with the mutant's fault."""

    def make(clock: Any) -> Store:
        return cast("Store", mutant(STORES["memory"](clock)))

    return make


async def caught(make: Make, checks: Any = ALL, kind: type[World] = World) -> int:
    """The first seed that catches a store by what it says; a crash does not count."""
    for seed in range(ENOUGH):
        try:
            await simulate(make, seed, 60, checks, kind)
        except Failed as failure:
            if isinstance(failure.__cause__, Broken):
                return seed
    raise AssertionError(f"not caught on {ENOUGH} seeds")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
async def test_a_mutant_is_caught(mutant: type[Mutant]) -> None:
    await caught(spoilt(mutant))


@pytest.mark.parametrize(
    ("mutant", "invariant"),
    [
        pytest.param(mutant, invariant, id=f"{invariant}-{mutant.__name__}")
        for mutant in MUTANTS
        for invariant in mutant.breaks
    ],
)
async def test_the_invariant_that_a_mutant_breaks_catches_it_alone(
    mutant: type[Mutant], invariant: str
) -> None:
    await caught(spoilt(mutant), [invariant])


@pytest.mark.promise("planted-faults-are-caught")
@pytest.mark.guard(90)
@pytest.mark.parametrize(
    ("fault", "invariant"),
    [
        pytest.param(fault, invariant, id=f"{invariant}-{fault.name}")
        for fault in FAULTS
        for invariant in fault.breaks
    ],
)
async def test_the_invariant_that_a_fault_of_sqlite_breaks_catches_it_alone(
    fault: Fault, invariant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault.plant(monkeypatch)
    await caught(STORES["sqlite"], [invariant], Building)


@pytest.mark.guard(240)
async def test_a_wrapper_without_a_fault_is_not_caught() -> None:
    for seed in range(ENOUGH):
        await simulate(spoilt(Wrapped), seed, 60)


def test_every_invariant_has_a_mutant() -> None:
    planted = [mutant.breaks for mutant in MUTANTS] + [fault.breaks for fault in FAULTS]
    assert {name for breaks in planted for name in breaks} == set(ALL)


async def test_a_failure_names_its_seed_and_replays() -> None:
    make = spoilt(MUTANTS[0])
    seed = await caught(make)
    with pytest.raises(Failed) as first:
        await simulate(make, seed, 60)
    said = str(first.value).splitlines()
    assert said[0].startswith(f"seed {seed}, step ")
    steps = int(said[-1].split("STEPS=")[1].split()[0])
    with pytest.raises(Failed) as again:
        await simulate(make, seed, steps)
    assert str(again.value).splitlines()[0] == said[0]
