"""Dependencies: which ending meets which condition, and which batches have a cycle."""

import random
from itertools import pairwise
from uuid import UUID

import pytest

from lionpride.errors import (
    DependencyError,
    EventCancelledError,
    ExecutionError,
    LionTimeoutError,
    Skip,
    ValidationError,
)
from lionpride.model.after import CONDITIONS, After, When
from lionpride.model.execution import TERMINAL, EventStatus
from lionpride.rules.dependencies import after_unmet, check_acyclic, is_met
from lionpride.rules.state_machine import after_cancel, cancelled_while_waiting

S = EventStatus

TABLE: list[tuple[EventStatus, object, tuple[bool, bool, bool]]] = [
    (S.COMPLETED, None, (True, False, True)),
    (S.SKIPPED, Skip("nothing to do"), (True, False, True)),
    (S.FAILED, ExecutionError("broken"), (False, True, True)),
    (S.FAILED, DependencyError("raised by its own code"), (False, True, True)),
    (S.ABORTED, ExecutionError("denied"), (False, True, True)),
    (S.CANCELLED, LionTimeoutError("late"), (False, True, True)),
    (S.CANCELLED, EventCancelledError("not started in time: its ttl"), (False, True, True)),
    (S.CANCELLED, None, (False, True, True)),
    (S.CANCELLED, cancelled_while_waiting().error, (False, False, True)),
    (S.CANCELLED, after_cancel(None).error, (False, False, True)),
    (S.CANCELLED, DependencyError("a parent failed"), (False, False, True)),
]
"""A status, an error, and which of the conditions ``CONDITIONS`` they meet."""


@pytest.mark.parametrize(("status", "error", "answers"), TABLE)
def test_an_ending_meets_a_condition(
    status: EventStatus, error: object, answers: tuple[bool, ...]
) -> None:
    name = None if error is None else type(error).__name__
    message = None if error is None else str(error)
    conditions: tuple[When, ...] = ("completed", "failed", "finished")
    assert conditions == CONDITIONS
    assert tuple(is_met(when, status, name, message) for when in conditions) == answers


def test_the_table_has_every_final_status() -> None:
    assert {status for status, _, _ in TABLE} == TERMINAL


def test_the_error_of_a_child_names_its_parent_and_the_remedy() -> None:
    ending = after_unmet(UUID(int=7), "Fetch", S.FAILED, "completed")
    assert ending.status is S.CANCELLED
    assert isinstance(ending.error, DependencyError)
    assert ending.error.details == {"parent": str(UUID(int=7))}
    assert str(ending.error) == (
        f"not run: its parent Fetch {UUID(int=7)} is failed, and it waits for one that has "
        "completed; executor.retry(parent) makes both wait again"
    )


@pytest.mark.parametrize("status", [S.COMPLETED, S.SKIPPED])
def test_the_error_of_a_child_does_not_advise_a_retry_that_is_refused(status: EventStatus) -> None:
    ending = after_unmet(UUID(int=7), "Fetch", status, "failed")
    assert str(ending.error) == (
        f"not run: its parent Fetch {UUID(int=7)} is {status.value}, and it waits for one that has "
        f"failed; a {status.value} event cannot be retried; executor.retry(event) runs this one"
    )


# -- cycles ----------------------------------------------------------------------------------------


def graph(edges: dict[int, list[int]]) -> dict[UUID, After]:
    """Return dependencies: the parents of each child."""
    return {
        UUID(int=child): After(tuple(UUID(int=parent) for parent in parents))
        for child, parents in edges.items()
    }


@pytest.mark.parametrize(
    "edges",
    [
        {},
        {2: [1]},
        {3: [1, 2], 2: [1]},
        {4: [2, 3], 3: [1], 2: [1]},
        {1: [9], 2: [9], 3: [1, 2, 9]},
    ],
)
def test_a_batch_without_a_cycle_is_accepted(edges: dict[int, list[int]]) -> None:
    check_acyclic(graph(edges))


@pytest.mark.parametrize(
    ("edges", "cycle"),
    [
        ({1: [1]}, [1, 1]),
        ({1: [2], 2: [1]}, [1, 2, 1]),
        ({5: [1], 1: [2], 2: [3], 3: [9, 1]}, [1, 2, 3, 1]),
        ({4: [2, 3], 2: [1], 3: [1, 4]}, [4, 3, 4]),
    ],
)
def test_a_cycle_is_refused_and_its_events_are_named(
    edges: dict[int, list[int]], cycle: list[int]
) -> None:
    with pytest.raises(ValidationError) as caught:
        check_acyclic(graph(edges))
    assert " -> ".join(str(UUID(int=each)) for each in cycle) in str(caught.value)


LONG = 100_000


def test_a_long_chain_is_accepted_and_a_long_cycle_is_refused() -> None:
    chain = graph({child: [parent] for child, parent in pairwise(range(LONG))})
    check_acyclic(chain)
    with pytest.raises(ValidationError) as caught:
        check_acyclic(chain | graph({LONG - 1: [0]}))
    assert len(str(caught.value)) < 1_000, "not all of its events are named"


def test_a_child_of_many_parents_and_a_parent_of_many_children_are_accepted() -> None:
    check_acyclic(graph({LONG: list(range(LONG))}))
    check_acyclic(graph({child: [LONG] for child in range(LONG)}))


def test_a_cycle_is_found_wherever_it_is() -> None:
    dice = random.Random(7)
    for _ in range(300):
        size = dice.randint(2, 12)
        order = dice.sample(range(size), size)
        edges: dict[int, list[int]] = {each: [] for each in order}
        for child, parent in zip(order[1:], order, strict=False):
            edges[child].append(parent)
            edges[child] += dice.sample(order[: order.index(child)], k=1)
        check_acyclic(graph(edges))
        edges[order[0]].append(dice.choice(order))
        with pytest.raises(ValidationError):
            check_acyclic(graph(edges))
