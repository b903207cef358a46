"""The measured sides run, each at a small size, in this process."""

import pytest

from benchmarks import filled, ours_on_disk, recovery, settled, stall
from benchmarks.ours import NoOp

pytest.importorskip("lionpride.stores.sqlite")


@pytest.mark.parametrize("way", ["appenders", "batches", "bulk"])
def test_our_events_are_all_run(way, tmp_path) -> None:
    assert ours_on_disk.child(150, way, str(tmp_path))["ns"] > 0


def test_a_large_file_is_filled_grown_beside_and_recovered(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(ours_on_disk, "WARM_UP", 20)
    monkeypatch.setattr(NoOp, "_invoke", NoOp._invoke)  # put back what `recover` puts there
    source = tmp_path / "filled.db"
    figures = filled.child(300, f"sqlite:///{source}")
    assert figures["most"] >= figures["end"]
    beside, left, found = (tmp_path / name for name in ("beside", "left", "found"))
    for folder in (beside, left, found):
        folder.mkdir()
    assert settled.child(100, str(beside), 300, str(source))["ns"] > 0
    recovery.child(str(left), str(source), waiting=50, total=350)
    assert recovery.child(str(found), str(left / "left.db"), waiting=0, total=350)["s"] > 0


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_the_turns_of_another_task_are_told(kind, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(ours_on_disk, "WARM_UP", 20)
    assert stall.child(2_000, kind, str(tmp_path))["turns"] > 0
