"""The comparisons and the environments of the other libraries."""

import re

import pytest

from benchmarks import memory, postgres, sqlite
from benchmarks.bars import Bar, at_most
from benchmarks.environment import HERE, Environment, install
from benchmarks.isolate import MeasurementError
from benchmarks.rounds import Answers
from benchmarks.table import Section, draw

HUEY_ONE, HUEY_ALL, DBOS_ONE, DBOS_ALL = (peer.label for peer in sqlite.PEERS)


def answers(**figures: tuple[float, ...]) -> Answers:
    made = Answers()
    made.figures = {label: [{"ns": ns} for ns in several] for label, several in figures.items()}
    return made


def test_a_bar_has_a_floor_for_noise() -> None:
    assert [Bar(2.0, floor=1.0).verdict(each) for each in (2.0, 1.5, 0.9)] == [
        "ok",
        "ok (floor)",
        "MISS",
    ]
    assert [at_most(5.0).verdict(each) for each in (-3.0, 5.0, 5.1)] == ["ok", "ok", "MISS"]


# ------------------------------------------------------------------------------------- SQLite


def test_the_fastest_way_of_a_peer_is_compared() -> None:
    some = answers(**{HUEY_ONE: (500.0,), HUEY_ALL: (400.0,), DBOS_ONE: (900.0,)})
    assert sqlite.fastest(some, "huey") == HUEY_ALL
    assert sqlite.fastest(some, "dbos") == DBOS_ONE
    assert sqlite.fastest(answers(), "huey") is None


def test_sqlite_is_compared_by_the_minima() -> None:
    some = answers(
        **{
            sqlite.OURS: (40.0, 20.0),
            sqlite.RAW: (13.0, 26.0),
            HUEY_ONE: (190.0,),
            DBOS_ONE: (1000.0,),
        }
    )
    rows = sqlite.comparisons(some, 10)
    assert [row.ratio for row in rows] == [0.65, 9.5, 50.0]
    assert [row.verdict for row in rows] == ["ok", "MISS", "ok"]


def test_nothing_is_compared_without_our_own_figures() -> None:
    assert sqlite.comparisons(answers(**{sqlite.RAW: (13.0,)}), 10) == []
    assert sqlite.comparisons(answers(**{sqlite.OURS: (20.0,)}), 10) == []
    some = answers(**{postgres.RAW: (13.0,)})
    assert postgres.comparisons(some, some, 10, 1) == []


def test_a_failed_measurement_is_shown_with_its_reason() -> None:
    some = answers(**{sqlite.RAW: (10.0,)})
    some.failures[sqlite.OURS] = "no such store"
    section = Section("sqlite", "SQLITE")
    sqlite.add_figures(section, some, {sqlite.RAW: 7, sqlite.OURS: 7})
    assert [(row.n, row.ratio, row.note) for row in section.rows] == [
        (7, 1.0, ""),
        (7, None, "no such store"),
    ]
    assert "no such store" in draw([section])


# --------------------------------------------------------------------------------- PostgreSQL


def test_postgres_is_compared_by_the_medians() -> None:
    some = answers(
        **{
            postgres.OURS: (10.0, 20.0, 900.0),
            postgres.OURS_WIDE: (10.0,),
            postgres.RAW: (13.0, 1.0, 90.0),
            postgres.PGQUEUER: (12.5,),
        }
    )
    few = answers(**{postgres.PROCRASTINATE: (600.0,), "celery on Redis": (50.0,)})
    rows = postgres.comparisons(some, few, 10, 1)
    assert [row.ratio for row in rows] == [0.65, 1.25, 30.0, 2.5]
    assert [row.verdict for row in rows] == ["ok (floor)", "MISS", "ok", "MISS"]


# ------------------------------------------------------------------------------- environments


def test_each_peer_has_requirements() -> None:
    environments = [peer.environment for peer in postgres.PEERS]
    environments += [memory.ORIGINAL, sqlite.ENVIRONMENT]
    assert {each.requirements for each in environments} == set(HERE.glob("*-requirements.txt"))
    assert all((HERE / each.script).is_file() for each in environments)


@pytest.mark.parametrize(
    "path", sorted(HERE.glob("*-requirements.txt")), ids=lambda path: path.stem
)
def test_peers_are_pinned(path) -> None:
    pins = path.read_text(encoding="utf-8").splitlines()
    assert pins == sorted(pins, key=lambda pin: pin.partition("==")[0].lower())
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", pin) for pin in pins)


def test_an_environment_is_made_once(tmp_path, monkeypatch) -> None:
    here = Environment("sqlite", "sqlite_peers.py", "peers", "import nothing")
    monkeypatch.setattr("benchmarks.environment.ROOT", tmp_path)
    monkeypatch.setattr("benchmarks.environment.run_step", lambda command: "offline")
    install.cache_clear()
    with pytest.raises(MeasurementError, match="peers could not be installed: offline"):
        here.interpreter()
    install.cache_clear()
    here.home.mkdir()
    (here.home / "installed").write_text(here.requirements.read_text())
    assert here.interpreter() == tmp_path / ".venv-sqlite" / "bin" / "python"
    install.cache_clear()
