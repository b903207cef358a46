"""What the figures are held against, whatever could be measured."""

import re

import pytest

from benchmarks import bars, durable, filled, recovery, settled, stall
from benchmarks.durable import PEERS
from benchmarks.environment import HERE, Environment, install
from benchmarks.filled import Setting
from benchmarks.isolate import MeasurementError
from benchmarks.rounds import Answers

HUEY_ONE, HUEY_ALL, DBOS_ONE, DBOS_ALL = (peer.label for peer in PEERS)


def answers(**figures: float) -> Answers:
    made = Answers()
    for label, ns in figures.items():
        made.figures[label] = [{"ns": ns * 2}, {"ns": ns}]
    return made


def test_a_peer_is_taken_at_its_fastest() -> None:
    some = answers(**{HUEY_ONE: 500.0, HUEY_ALL: 400.0, DBOS_ONE: 900.0})
    assert durable.fastest(some, "huey") == HUEY_ALL
    assert durable.fastest(some, "dbos") == DBOS_ONE
    assert durable.fastest(answers(), "huey") is None


def test_ours_is_held_to_all_three() -> None:
    some = answers(**{durable.OURS: 20.0, durable.RAW: 13.0, HUEY_ONE: 190.0, DBOS_ONE: 1000.0})
    rows = durable.comparisons(some, 10)
    assert [row.ratio for row in rows] == [0.65, 9.5, 50.0]
    assert [row.verdict for row in rows] == ["ok", "MISS", "ok"]


def test_without_ours_nothing_is_held_to_a_bar() -> None:
    assert durable.comparisons(answers(**{durable.RAW: 13.0}), 10) == []
    some = answers(**{durable.OURS: 20.0})
    assert durable.comparisons(some, 10) == []


def test_what_could_not_be_measured_says_why() -> None:
    some = answers(**{durable.RAW: 10.0})
    some.failures[durable.OURS] = "no such store"
    section = durable.Section("durable", "")
    durable.add_figures(section, some, {durable.RAW: 7, durable.OURS: 7}, durable.RAW)
    assert [(row.n, row.ratio, row.note) for row in section.rows] == [
        (7, 1.0, ""),
        (7, None, "no such store"),
    ]


# ------------------------------------------------------------------------------ the large file


@pytest.fixture
def setting(tmp_path) -> Setting:
    return Setting(tmp_path, rounds=1, settled=10)


def test_the_large_file_is_made_once(setting, monkeypatch) -> None:
    asked = []

    def measure(module, parameters):
        asked.append((module, parameters))
        return {"most": 40_000_000, "end": 30_000_000}

    monkeypatch.setattr(filled, "measure", measure)
    assert setting.database == setting.database == str(setting.folder / "filled.db")
    assert asked == [("filled", {"n": 10, "store": f"sqlite:///{setting.folder}/filled.db"})]
    most, end = filled.report(setting).rows
    assert (most.median, most.verdict, end.median) == (40.0, "ok", 30.0)


def test_if_it_cannot_be_made_all_who_need_it_say_so_and_nobody_tries_again(
    setting, monkeypatch
) -> None:
    tries = []

    def measure(module, parameters):
        tries.append(module)
        raise MeasurementError("disk full")

    monkeypatch.setattr(filled, "measure", measure)
    for ask in (filled.report, settled.report, recovery.report):
        (row,) = ask(setting).rows
        assert row.note == "disk full"
    assert tries == ["filled"]


def test_a_stall_is_told_by_its_quantiles() -> None:
    told = stall.summary([float(i) for i in range(1, 1001)])
    assert told["p50"] == pytest.approx(500.5)
    assert told["p99"] == pytest.approx(991, abs=1)
    assert (told["longest"], told["turns"]) == (1000.0, 1000)


def test_the_bars_are_the_issues() -> None:
    assert str(bars.OF_RAW_SQLITE) == ">= 0.6"
    assert str(bars.RESIDENT) == "<= 50 MB"
    assert bars.STALL.verdict(-3.0) == bars.STALL.verdict(5.0) == "ok"
    assert bars.STALL.verdict(5.1) == bars.RECOVERY.verdict(1.1) == "MISS"


# ------------------------------------------------------------------------------ their interpreters


@pytest.mark.parametrize(
    "path", sorted(HERE.glob("*-requirements.txt")), ids=lambda path: path.stem
)
def test_peers_are_pinned_plainly(path) -> None:
    pins = path.read_text(encoding="utf-8").splitlines()
    assert pins == sorted(pins, key=lambda pin: pin.partition("==")[0].lower())
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", pin) for pin in pins)


def test_an_environment_that_is_there_is_not_made_again(tmp_path, monkeypatch) -> None:
    here = Environment("durable", "durable_peers.py", "peers", "import nothing")
    monkeypatch.setattr("benchmarks.environment.ROOT", tmp_path)
    monkeypatch.setattr("benchmarks.environment.run_step", lambda command: "offline")
    install.cache_clear()
    with pytest.raises(MeasurementError, match="peers could not be installed: offline"):
        here.interpreter()
    install.cache_clear()
    here.home.mkdir()
    (here.home / "installed").write_text(here.requirements.read_text())
    assert here.interpreter() == tmp_path / ".venv-durable" / "bin" / "python"
    install.cache_clear()
