"""A folder on a real disk for the files of one run, and the time of an fsync there."""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter_ns
from typing import Any

from benchmarks.isolate import ROOT, Figures, measure

MOUNTS = Path("/proc/mounts")
MEMORY = {"tmpfs", "ramfs", "devtmpfs"}
PAGE = 4096
SYNCS = 200


@contextmanager
def scratch() -> Iterator[Path]:
    """Make a temporary folder, and remove it afterwards.

    It is in the system's temporary folder, or in the repository if that one is in memory, where an
    fsync costs nothing.
    """
    usual = Path(tempfile.gettempdir())
    home = ROOT if file_system(usual) in MEMORY else usual
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=home) as folder:
        yield Path(folder)


def file_system(folder: Path) -> str:
    """Return the kind of file system of a folder; empty if it is unknown."""
    try:
        mounts = [line.split()[1:3] for line in MOUNTS.read_text().splitlines()]
    except OSError:
        return ""
    return of_mounts([(place, kind) for place, kind in mounts], folder.resolve())


def of_mounts(mounts: list[tuple[str, str]], folder: Path) -> str:
    """Return the kind of the innermost mount; of two at one place, the last one counts."""
    found = [(len(Path(place).parts), kind) for place, kind in mounts if is_below(folder, place)]
    deepest = max((depth for depth, _ in found), default=0)
    return next((kind for depth, kind in reversed(found) if depth == deepest), "")


def is_below(folder: Path, place: str) -> bool:
    spelled = place.replace("\\040", " ")
    return folder == Path(spelled) or Path(spelled) in folder.parents


def sync_cost(folder: Path) -> float:
    """Return the median time to append a page to a file and sync it, in µs."""
    took = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(SYNCS):
            file.write(bytes(PAGE))
            file.flush()
            began = perf_counter_ns()
            os.fsync(file.fileno())
            took.append((perf_counter_ns() - began) / 1e3)
    return statistics.median(took)


def where(folder: Path, costs: list[float]) -> str:
    kind = file_system(folder) or "an unknown file system"
    spelled = ", ".join(f"{cost:.0f}" for cost in costs)
    return (
        f"files on {kind}; to append and sync a page took {spelled} µs: before, and after each N."
    )


def copy_database(source: str, target: str) -> None:
    """Copy a database with its log, and sync the copy."""
    for path in sorted(Path(source).parent.glob(Path(source).name + "*")):
        copied = target + path.name.removeprefix(Path(source).name)
        shutil.copyfile(path, copied)
        with Path(copied).open("rb+") as file:
            os.fsync(file.fileno())


def folder_in(folder: Path) -> tempfile.TemporaryDirectory[str]:
    """Return a temporary folder for one measurement, to be entered."""
    return tempfile.TemporaryDirectory(dir=folder)


def ask(folder: Path, module: str, **parameters: Any) -> Figures:
    """Measure in a temporary folder."""
    with folder_in(folder) as own:
        return measure(module, {"folder": own, **parameters})
