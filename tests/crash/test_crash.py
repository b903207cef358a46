"""Workers on one file are killed: nothing is lost, and nothing is completed twice."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from random import Random

import pytest
from crash import mutants
from crash.bases import Base
from crash.campaign import RANDOM, Campaign
from crash.deeds import Deed
from crash.faults import faults_of
from crash.on_sqlite import OnSqlite
from crash.points_on_sqlite import POINTS
from crash.removal import WAYS, lose_file
from crash.scene import (
    Scene,
    blocked_past_its_lease,
    cancelled_and_failed,
    cancelled_and_killed,
    children_wait_for_their_parents,
    clock_jumps_past_a_lease,
    continued_past_its_lease,
    killed_while_children_are_released,
    killed_while_it_continues,
    older_release,
    scene,
    stopped_alone,
    stopped_between_check_and_start,
    stopped_between_claim_and_start,
    stopped_past_its_lease,
    without_descriptors,
)
from crash.workers import nursery

from lionpride.errors import StoreError
from lionpride.stores.sqlite import opened

pytestmark = pytest.mark.guard(90)

LEASE = 1.0

GROUPS = {
    "creation": ("creation",),
    "append": ("append: before", "append: after"),
    "claim": ("claim: before", "claim: after"),
    "attempt": ("attempt", "finished"),
    "settle": ("settle: before", "settle: after", "settle: told"),
    "thread": ("thread: before", "thread: after"),
    "takeover": ("takeover: before", "takeover: after", "claim: after"),
    "resolve": ("resolve: before", "resolve: after"),
    "continue": ("continue: before", "continue: after"),
    "renewal": ("renewal",),
    "disk": ("log", "checkpoint"),
}
"""Every point, with those that lie near it."""

SLOW = {"alone", "removal", "descriptors"}
"""Faults that have shorter tests of their own here."""

Play = Callable[[Scene], Awaitable[None]]


@pytest.fixture
def base(tmp_path: Path) -> Base:
    return OnSqlite(tmp_path, "run")


async def campaign(folder: Path, seed: int, **given: object) -> Campaign:
    print("seed", seed)
    async with nursery() as workers:
        run = Campaign(workers, OnSqlite(folder, str(seed)), folder, seed, **given)
        await run.run()
    return run


# -- killed ----------------------------------------------------------------------------------------


def test_every_point_is_in_a_group() -> None:
    assert {point for group in GROUPS.values() for point in group} == set(POINTS)


@pytest.mark.parametrize("points", GROUPS.values(), ids=GROUPS)
@pytest.mark.promise("nothing-acknowledged-is-lost")
async def test_workers_that_die_at_a_point_lose_nothing(
    points: tuple[str, ...], tmp_path: Path
) -> None:
    seed = list(GROUPS.values()).index(points)
    crowd = 1 if "takeover: before" in points else 2  # or a healthy one takes over first
    missed = points
    for more in range(5):  # on a busy machine a worker may not reach its point in time
        kills = 2 + 2 * len(missed)
        run = await campaign(tmp_path, seed + 1000 * more, kills=kills, points=missed, crowd=crowd)
        assert not run.result.findings.troubles()
        missed = tuple(point for point in missed if not run.result.kills[point])
        if not missed:
            break
    assert not missed, "no worker died there"


@pytest.mark.promise("nothing-acknowledged-is-lost", "one-attempt-at-a-time")
@pytest.mark.parametrize("seed", [101, 102])
async def test_workers_that_die_at_any_time_lose_nothing(seed: int, tmp_path: Path) -> None:
    run = await campaign(tmp_path, seed, kills=25)
    assert not run.result.findings.troubles()
    assert run.result.findings.interrupted
    assert sum(run.result.kills.values()) == 25


@pytest.mark.promise("nothing-acknowledged-is-lost")
async def test_four_workers_that_die_at_random_times_lose_nothing(tmp_path: Path) -> None:
    run = await campaign(tmp_path, 103, kills=16, points=(RANDOM,), crowd=4)
    assert not run.result.findings.troubles()


# -- other faults ----------------------------------------------------------------------------------


@pytest.mark.promise("nothing-acknowledged-is-lost", "one-attempt-at-a-time")
@pytest.mark.parametrize("fault", sorted(faults_of("sqlite") - SLOW))
async def test_workers_that_meet_another_fault_lose_nothing(fault: str, tmp_path: Path) -> None:
    run = await campaign(tmp_path, 201, kills=6, points=(RANDOM,), chosen={fault})
    assert not run.result.findings.troubles()


@pytest.mark.promise("lost-file-stops-everything")
@pytest.mark.parametrize("way", WAYS)
async def test_workers_end_when_their_file_is_lost(way: str, tmp_path: Path) -> None:
    async with nursery() as workers:
        assert not (await lose_file(workers, tmp_path, "run", way)).troubles()


# -- who takes over, and when ----------------------------------------------------------------------


@pytest.mark.promise("restarted-worker-takes-over")
async def test_a_restarted_worker_takes_over_at_once_from_one_that_is_dead(
    base: Base, tmp_path: Path
) -> None:
    async with nursery() as workers, scene(workers, base, tmp_path) as made:
        await made.append(Deed(pause=0.2))
        first = await made.start()
        await made.until("start", 1)
        await made.kill(first)
        await made.start()
        again, up = await made.until("start", 2), await made.until("up", 2)
        assert again.at - up.at < 1.0, "the lease is 10 s"
        assert not (await made.end()).troubles()


@pytest.mark.promise("running-worker-takes-over")
async def test_a_worker_takes_over_soon_from_one_that_dies_beside_it(
    base: Base, tmp_path: Path
) -> None:
    async with nursery() as workers, scene(workers, base, tmp_path) as made:
        await made.append(Deed(pause=0.2))
        first = await made.start()
        await made.until("start", 1)
        await made.start()
        await made.until("up", 2)
        await made.kill(first)
        (death,) = made.lines("kill")
        again = await made.until("start", 2)
        assert again.at - death.at < 3.0, "the lease is 10 s"
        assert not (await made.end()).troubles()


@pytest.mark.promise("expired-lease-is-fenced")
async def test_one_stopped_past_its_lease_is_refused_when_it_goes_on(
    base: Base, tmp_path: Path
) -> None:
    async with (
        nursery() as workers,
        scene(workers, base, tmp_path, LEASE) as made,
    ):
        await stopped_past_its_lease(made)


@pytest.mark.promise("stale-claim-is-not-started")
@pytest.mark.parametrize("observe", [True, False])
async def test_one_stopped_between_claim_and_start_does_not_start_what_another_has_run(
    observe: bool, base: Base, tmp_path: Path
) -> None:
    async with (
        nursery() as workers,
        scene(workers, base, tmp_path, LEASE) as made,
    ):
        await stopped_between_claim_and_start(made, observe)


@pytest.mark.promise("expired-lease-is-fenced")
async def test_one_stopped_between_check_and_start_cannot_record_its_result(
    base: Base, tmp_path: Path
) -> None:
    async with (
        nursery() as workers,
        scene(workers, base, tmp_path, LEASE) as made,
    ):
        await stopped_between_check_and_start(made)


@pytest.mark.promise("blocked-loop-keeps-leases")
async def test_one_whose_loop_is_blocked_keeps_its_leases(base: Base, tmp_path: Path) -> None:
    async with (
        nursery() as workers,
        scene(workers, base, tmp_path, LEASE) as made,
    ):
        await blocked_past_its_lease(made)


@pytest.mark.promise("one-attempt-at-a-time")
@pytest.mark.parametrize("hold", [0.0, 2.0], ids=["stopped", "interpreter held"])
async def test_the_only_worker_keeps_what_it_runs(hold: float, base: Base, tmp_path: Path) -> None:
    async with (
        nursery() as workers,
        scene(workers, base, tmp_path, LEASE) as made,
    ):
        await stopped_alone(made, hold)


@pytest.mark.promise("set-clock-keeps-leases")
async def test_a_clock_that_is_set_forward_ends_no_lease(base: Base, tmp_path: Path) -> None:
    async with nursery() as workers, scene(workers, base, tmp_path) as made:
        await clock_jumps_past_a_lease(made)


@pytest.mark.promise("one-attempt-at-a-time")
async def test_one_without_file_descriptors_keeps_its_leases(base: Base, tmp_path: Path) -> None:
    async with (
        nursery() as workers,
        scene(workers, base, tmp_path, LEASE) as made,
    ):
        await without_descriptors(made)


# -- order -----------------------------------------------------------------------------------------


@pytest.mark.promise("priority-across-processes")
async def test_several_processes_keep_the_order(base: Base, tmp_path: Path) -> None:
    rng = Random(7)
    async with nursery() as workers, scene(workers, base, tmp_path) as made:
        deeds = [Deed(label=label, pause=0.001) for label in range(200)]
        priorities = [float(rng.randrange(20)) for _ in deeds]
        await made.append(*deeds, priorities=priorities)
        for _ in range(3):
            await made.start()
        found = await made.end()
        assert not found.troubles()
        order = sorted(range(200), key=lambda at: (priorities[at], at))
        assert found.order == [at + 1 for at in order]
        assert len({line.pid for line in made.lines("start")}) == 3, "all took part"


# -- cancelled -------------------------------------------------------------------------------------


@pytest.mark.promise("answered-cancel-is-final")
@pytest.mark.parametrize("play", [cancelled_and_killed, cancelled_and_failed])
async def test_what_is_cancelled_does_not_start_again(
    play: Play, base: Base, tmp_path: Path
) -> None:
    async with nursery() as workers, scene(workers, base, tmp_path) as made:
        await play(made)


# -- parents, children and continuations ----------------------------------------------------------


async def test_children_start_when_their_parents_have_ended(base: Base, tmp_path: Path) -> None:
    async with nursery() as workers, scene(workers, base, tmp_path) as made:
        await children_wait_for_their_parents(made)


@pytest.mark.parametrize("point", ["before", "after"])
@pytest.mark.parametrize("play", [killed_while_children_are_released, killed_while_it_continues])
async def test_one_that_is_killed_forgets_no_child_and_no_continuation(
    play: Callable[[Scene, str], Awaitable[None]], point: str, base: Base, tmp_path: Path
) -> None:
    async with nursery() as workers, scene(workers, base, tmp_path) as made:
        await play(made, point)


async def test_one_that_is_late_continues_nothing(base: Base, tmp_path: Path) -> None:
    async with nursery() as workers, scene(workers, base, tmp_path, LEASE) as made:
        await continued_past_its_lease(made)


# -- tests of the tests ----------------------------------------------------------------------------


@pytest.mark.promise("planted-faults-are-caught")
@pytest.mark.parametrize(
    ("mutant", "play"),
    [
        ("guard_by_id", stopped_past_its_lease),
        ("forgets_cancels", cancelled_and_killed),
        ("no_pulse", blocked_past_its_lease),
        ("no_age", stopped_between_claim_and_start),
        ("starts_later", stopped_between_check_and_start),
        ("mortal_pulse", without_descriptors),
        ("fail_unreadable", older_release),
        ("forgets_children", children_wait_for_their_parents),
        ("releases_early", children_wait_for_their_parents),
        ("runs_after_any_end", children_wait_for_their_parents),
        ("continues_what_it_lost", continued_past_its_lease),
        ("ends_before_it_continues", partial(killed_while_it_continues, point="before")),
        ("resolves_what_it_keeps", partial(killed_while_children_are_released, point="after")),
        ("dead_or_alive", blocked_past_its_lease),
    ],
)
async def test_a_spoilt_store_is_caught(
    mutant: str, play: Play, base: Base, tmp_path: Path
) -> None:
    async with (
        nursery() as workers,
        scene(workers, base, tmp_path, LEASE, mutant) as made,
    ):
        with pytest.raises(AssertionError):
            await play(made)


@pytest.mark.promise("planted-faults-are-caught")
async def test_a_store_that_trusts_the_wall_clock_is_caught(base: Base, tmp_path: Path) -> None:
    mutant = "trust_the_clock"
    async with nursery() as workers, scene(workers, base, tmp_path, None, mutant) as made:
        with pytest.raises(AssertionError, match="overlap"):
            await clock_jumps_past_a_lease(made)


@pytest.mark.promise("planted-faults-are-caught")
async def test_a_word_before_its_commit_is_caught(tmp_path: Path) -> None:
    points = ("append: before",)
    run = await campaign(tmp_path, 1, kills=3, points=points, crowd=1, mutant="early_word")
    assert run.result.findings.lost


async def test_a_store_that_drops_its_locks_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opened, "open_file", opened.open_file)  # restored after the test
    mutants.drop_locks()  # in this process too, which keeps the file open all the time
    troubles = ""
    try:
        run = await campaign(
            tmp_path, 202, kills=8, points=(RANDOM,), chosen={"executors"}, mutant="drop_locks"
        )
        troubles = str(run.result.findings.troubles() or "")
    except StoreError as error:  # a store has noticed that its log was deleted
        troubles = str(error)
    assert troubles
