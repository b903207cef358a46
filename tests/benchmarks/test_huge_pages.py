"""Huge pages are set apart for a server, as many as are missing, and given back."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import huge_pages

Pool = Callable[..., Path]


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pool:
    """Makes the files in which the system says, and is told, how many there are."""

    def make(*, total: int, free: int, reserved: int = 0) -> Path:
        memory, wanted = tmp_path / "meminfo", tmp_path / "nr_hugepages"
        memory.write_text(
            f"MemTotal: 8000000 kB\nHugePages_Total: {total}\nHugePages_Free: {free}\n"
            f"HugePages_Rsvd: {reserved}\nHugepagesize: 2048 kB\n"
        )
        wanted.write_text(f"{total}\n")
        monkeypatch.setattr(huge_pages, "MEMORY", memory)
        monkeypatch.setattr(huge_pages, "POOL", wanted)
        return wanted

    return make


def told(wanted: Path) -> None:
    """The system does what it was told."""
    memory = wanted.with_name("meminfo")
    lines = memory.read_text().splitlines()
    lines[1] = f"HugePages_Total: {wanted.read_text().strip()}"
    memory.write_text("\n".join(lines))


@pytest.mark.parametrize("reserved", [0, 3])
def test_what_is_missing_is_set_apart_and_given_back(pool: Pool, reserved: int) -> None:
    wanted = pool(total=10, free=4 + reserved, reserved=reserved)
    with huge_pages.set_apart(20):
        assert wanted.read_text() == "17\n", "seven more: eleven of 2 MB are free then"
        told(wanted)
    assert wanted.read_text() == "10\n"


def test_they_are_given_back_by_who_is_told_to_end(pool: Pool) -> None:
    wanted = pool(total=10, free=0)

    def measure() -> None:
        with huge_pages.set_apart(20):
            told(wanted)
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()

    with pytest.raises(SystemExit):
        measure()
    assert wanted.read_text() == "10\n"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_who_has_enough_is_left_alone(pool: Pool) -> None:
    wanted = pool(total=50, free=40)
    wanted.write_text("untouched")
    with huge_pages.set_apart(20):
        pass
    assert wanted.read_text() == "untouched"


def test_a_system_without_them_or_that_forbids_it_does_without(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool(total=0, free=0)
    monkeypatch.setattr(huge_pages, "POOL", tmp_path)  # nobody can write a folder
    with huge_pages.set_apart(20):
        pass
    monkeypatch.setattr(huge_pages, "MEMORY", tmp_path / "nothing")
    with huge_pages.set_apart(20):
        pass
