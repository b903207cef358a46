"""Workers on one PostgreSQL server are killed, frozen and held up: nothing is lost."""

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest
from crash import campaign
from crash.bases import Base
from crash.campaign import RANDOM, Campaign
from crash.deeds import Deed
from crash.faults import faults_of
from crash.on_postgres import OnPostgres
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
from crash.test_crash import LEASE, SLOW, Play
from crash.workers import nursery

pytestmark = pytest.mark.guard(90)


@pytest.fixture
def base(tmp_path: Path) -> Base:
    return OnPostgres(tmp_path, "run")


# -- killed ----------------------------------------------------------------------------------------


@pytest.mark.promise("postgres-kills-lose-nothing")
async def test_workers_that_die_at_each_point_and_at_any_time_lose_nothing(
    base: Base, tmp_path: Path
) -> None:
    async with nursery() as workers:
        run = Campaign(workers, base, tmp_path, 104, kills=len(base.points))
        await run.run()
    assert not run.result.findings.troubles()
    assert run.result.findings.interrupted
    assert sum(run.result.kills.values()) == len(base.points)


# -- other faults ----------------------------------------------------------------------------------


@pytest.mark.promise("postgres-kills-lose-nothing")
@pytest.mark.parametrize("fault", sorted(faults_of("postgres") - SLOW))
async def test_workers_that_meet_another_fault_lose_nothing(
    fault: str, base: Base, tmp_path: Path
) -> None:
    async with nursery() as workers:
        run = Campaign(workers, base, tmp_path, 204, kills=6, points=(RANDOM,), chosen={fault})
        await run.run()
    assert not run.result.findings.troubles()


# -- who takes over, and when ----------------------------------------------------------------------


@pytest.mark.promise("postgres-takes-over")
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
        assert again.at - death.at < 8.0, "the lease is 10 s"
        assert not (await made.end()).troubles()


@pytest.mark.promise("postgres-expired-lease-is-fenced")
@pytest.mark.promise("stale-claim-is-not-started")
@pytest.mark.parametrize(
    "play",
    [
        stopped_past_its_lease,
        stopped_between_check_and_start,
        stopped_between_claim_and_start,
        blocked_past_its_lease,
        clock_jumps_past_a_lease,
        without_descriptors,
    ],
)
async def test_one_that_is_late_is_fenced_and_one_that_is_blocked_is_not(
    play: Play, base: Base, tmp_path: Path
) -> None:
    async with nursery() as workers, scene(workers, base, tmp_path, LEASE) as made:
        await play(made)


@pytest.mark.promise("one-attempt-at-a-time")
@pytest.mark.parametrize("hold", [0.0, 2.0], ids=["stopped", "interpreter held"])
async def test_the_only_worker_keeps_what_it_runs(hold: float, base: Base, tmp_path: Path) -> None:
    async with nursery() as workers, scene(workers, base, tmp_path, LEASE) as made:
        await stopped_alone(made, hold)


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


async def test_a_campaign_reports_events_that_stay_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign, "STUCK", 6.0)
    given = {"kills": 2, "points": (RANDOM,), "chosen": {"cuts"}, "mutant": "keeps_late_claims"}
    stuck: list[str] = []
    async with nursery() as workers:
        for seed in range(1, 9):  # most campaigns cut a connection while a claim commits
            base = OnPostgres(tmp_path, f"run{seed}")
            result = await Campaign(workers, base, tmp_path, seed, **given).run()
            if stuck := result.findings.stuck:
                break
    assert stuck


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
    ],
)
async def test_a_spoilt_store_is_caught(
    mutant: str, play: Play, base: Base, tmp_path: Path
) -> None:
    made: Scene
    async with nursery() as workers, scene(workers, base, tmp_path, LEASE, mutant) as made:
        with pytest.raises(AssertionError):
            await play(made)
