"""Each measurement of this library runs, with few events, in this process."""

import pytest

from benchmarks import (
    __main__,
    growth_memory,
    growth_sqlite,
    latency_memory,
    memory,
    memory_peers,
    sqlite_ours,
)
from benchmarks.table import Section

pytest.importorskip("lionpride.stores.sqlite")


@pytest.fixture(autouse=True)
def few_events(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (memory, sqlite_ours, growth_sqlite):
        monkeypatch.setattr(module, "WARM_UP", 20)


@pytest.mark.parametrize("function", ["ours", "priority_queue", "aiojobs"])
@pytest.mark.parametrize("has_fields", [True, False])
def test_memory(function, has_fields) -> None:
    if function == "aiojobs":
        pytest.importorskip("aiojobs")
    assert memory.child(function, 150, has_fields)["ns"] > 0


def test_the_jobs_of_a_priority_queue_are_validated() -> None:
    with pytest.raises(ValueError, match="depth"):
        memory_peers.make_job("not a number", has_fields=True)


@pytest.mark.parametrize("way", ["callers", "batches"])
def test_sqlite(way, tmp_path) -> None:
    assert sqlite_ours.child(150, way, str(tmp_path))["ns"] > 0


def test_latency_in_memory(monkeypatch) -> None:
    monkeypatch.setattr(latency_memory, "PAIRS", 2)
    monkeypatch.setattr(latency_memory, "SAMPLES", 2)
    figures = latency_memory.child()
    assert min(figures.values()) > 0


@pytest.mark.parametrize("order", growth_memory.ORDERS)
def test_growth_in_memory(order, monkeypatch) -> None:
    monkeypatch.setattr(growth_memory, "ROUNDS", 2)
    figures = growth_memory.child(30, order)
    assert min(figures.values()) > 0


def test_growth_on_sqlite(tmp_path) -> None:
    filled, full, new = (tmp_path / name for name in ("filled", "full", "new"))
    for folder in (filled, full, new):
        folder.mkdir()
    grown = growth_sqlite.child("fill", 300, str(filled))
    assert grown["most"] >= grown["end"]
    source = str(filled / "filled.db")
    assert growth_sqlite.child("run", 100, str(full), finished=300, source=source)["ns"] > 0
    assert growth_sqlite.child("run", 100, str(new))["ns"] > 0


# ----------------------------------------------------------------------------------- the command


def test_the_command_measures_only_the_named_questions() -> None:
    options = __main__.parse(["--only", "memory", "growth", "--n", "10", "20"])
    assert (options.only, options.n) == (["memory", "growth"], [10, 20])
    assert __main__.parse([]).only == ["memory", "sqlite", "postgres", "latency", "growth"]


def test_a_question_that_cannot_be_measured_says_why() -> None:
    def report(_run) -> Section:
        raise __main__.MeasurementError("there is no PostgreSQL")

    section = __main__.answer(report, None)
    assert section.rows[0].note == "there is no PostgreSQL"
