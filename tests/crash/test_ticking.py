"""Schedules lose no instant and use none twice, whoever is killed."""

from pathlib import Path

import pytest
from crash import ticking
from crash.bases import Base
from crash.on_postgres import OnPostgres
from crash.on_sqlite import OnSqlite

pytestmark = pytest.mark.guard(120)


@pytest.fixture(params=[OnSqlite, OnPostgres], ids=["sqlite", "postgres"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Base:
    made: Base = request.param(tmp_path, "run")
    return made


async def test_each_instant_has_one_event_although_workers_are_killed(base: Base) -> None:
    wrong, count = await ticking.campaign(base.url(1.0), kills=8, seed=7)
    assert wrong == []
    assert count > ticking.SCHEDULES


async def test_each_instant_has_one_event_although_the_server_crashes(tmp_path: Path) -> None:
    base = OnPostgres(tmp_path, "run")
    base.befall(["crashes"], 0)
    try:
        wrong, count = await ticking.campaign(base.url(1.0), 8, 11, base.crash)
    finally:
        base.relieve()
    assert wrong == []
    assert count > ticking.SCHEDULES
