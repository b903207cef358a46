"""The work that every candidate does: the number of workers, the priorities, the check."""

from __future__ import annotations

import random

WORKERS = 100
"""Jobs that run at once."""
WARM_UP = 2_000
SEED = 20_240_607


def shuffled_priorities(n: int) -> list[float]:
    """Return the numbers below n as floats, in the same random order for every candidate."""
    priorities = [float(i) for i in range(n)]
    random.Random(SEED).shuffle(priorities)
    return priorities


def expect_all_completed(completed: int, n: int) -> None:
    """Raise RuntimeError unless all jobs have completed."""
    if completed != n:
        raise RuntimeError(f"{completed} of {n} jobs completed: the measurement is void")
