"""Seeds, and walks over them.

A failure names its seed and its last steps; ``SEED=17 STEPS=23`` in the environment replays it,
``SEEDS=5000`` walks further than usual.
"""

import os
from collections.abc import Collection
from random import Random

from simulation.durable import Building, Estate
from simulation.invariants import ALL
from simulation.world import World
from stores.makers import Make


class Failed(AssertionError):
    """A seed has failed; the text says which, and how to see it again."""


WORLDS: dict[str, type[World]] = {"memory": World, "sqlite": Building, "postgres": Estate}
"""Where each kind of store is walked."""


async def simulate(
    make: Make,
    seed: int,
    steps: int,
    checks: Collection[str] = ALL,
    kind: type[World] = World,
) -> World:
    """Walk one seed.

    Raises:
        Failed: with the seed and the last steps, if an invariant is broken.
    """
    world = kind(make, Random(seed), checks)
    try:
        for _ in range(steps):
            await world.step()
    except Exception as error:
        said = "\n".join(f"  {number}. {each}" for number, each in enumerate(world.steps, 1))
        raise Failed(
            f"seed {seed}, step {len(world.steps)}: {type(error).__name__}: {error}\n"
            f"{said[-4000:]}\n"
            f"replay: SEED={seed} STEPS={len(world.steps)} python -m pytest tests/simulation"
        ) from error
    finally:
        await world.close()
    return world


def chosen(usual: int) -> range:
    """The seeds to walk: ``SEED=n`` is one, ``SEEDS=n`` n of them, ``SEEDS=a-b`` a to b - 1."""
    if "SEED" in os.environ:
        return range(int(os.environ["SEED"]), int(os.environ["SEED"]) + 1)
    first, dash, last = os.environ.get("SEEDS", str(usual)).partition("-")
    return range(int(first), int(last)) if dash else range(int(first))


def length(usual: int) -> int:
    """The steps of each walk: ``STEPS=n``."""
    return int(os.environ.get("STEPS", usual))
