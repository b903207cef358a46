"""A folder on a real disk for the files of one run, and what an fsync costs there."""

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
    """A folder that is removed afterwards: the system's for such, or beside the repository.

    The second if the first is kept in memory, where an fsync costs nothing.
    """
    usual = Path(tempfile.gettempdir())
    home = ROOT if file_system(usual) in MEMORY else usual
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=home) as folder:
        yield Path(folder)


def file_system(folder: Path) -> str:
    """The kind of file system that a folder is on; empty where the system does not say."""
    try:
        mounts = [line.split()[1:3] for line in MOUNTS.read_text().splitlines()]
    except OSError:
        return ""
    return of_mounts([(place, kind) for place, kind in mounts], folder.resolve())


def of_mounts(mounts: list[tuple[str, str]], folder: Path) -> str:
    """The kind of the innermost of the places where something is mounted; the last one wins."""
    found = [(len(Path(place).parts), kind) for place, kind in mounts if is_below(folder, place)]
    deepest = max((depth for depth, _ in found), default=0)
    return next((kind for depth, kind in reversed(found) if depth == deepest), "")


def is_below(folder: Path, place: str) -> bool:
    spelled = place.replace("\\040", " ")
    return folder == Path(spelled) or Path(spelled) in folder.parents


def sync_cost(folder: Path) -> float:
    """The median of what it takes to append a page to a file and have it on disk, in µs."""
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
        f"files on {kind}; a page appended and synced took {spelled} µs: before, and after each N."
    )


def copy_database(source: str, target: str) -> None:
    """Copy a database with what stands beside it, and have the copy on disk."""
    for path in sorted(Path(source).parent.glob(Path(source).name + "*")):
        copied = target + path.name.removeprefix(Path(source).name)
        shutil.copyfile(path, copied)
        with Path(copied).open("rb+") as file:
            os.fsync(file.fileno())


def folder_in(folder: Path) -> tempfile.TemporaryDirectory[str]:
    """A folder for one measurement, to be entered; it is removed on leaving."""
    return tempfile.TemporaryDirectory(dir=folder)


def ask(folder: Path, module: str, **parameters: Any) -> Figures:
    """Measure in a folder of its own."""
    with folder_in(folder) as own:
        return measure(module, {"folder": own, **parameters})
