"""Huge pages for the server under measurement, as its manual advises (18.4.5, Linux Huge Pages).

Each process of a server maps its shared memory by itself, and on a virtual machine the first look
at each page of 4 kB costs it microseconds: of eight workers' back ends, which look at the same
pages, each pays that. PostgreSQL takes huge pages by itself (`huge_pages = try`) where the system
has some set apart, which is for an administrator to do; here root does it while it measures.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MEMORY = Path("/proc/meminfo")
POOL = Path("/proc/sys/vm/nr_hugepages")


@contextmanager
def set_apart(megabytes: int) -> Iterator[None]:
    """Have so much free in huge pages within the block, if this user may, and there is so much."""
    before = figure("HugePages_Total")
    missing = 0
    if size := figure("Hugepagesize"):  # in kB
        missing = megabytes * 1024 // size + 1 - figure("HugePages_Free")
    if missing > 0:
        want(before + missing)
    try:
        yield
    finally:
        if missing > 0:
            want(before)


def want(pages: int) -> None:
    with suppress(OSError):  # somebody else's machine: then there are those that there are
        POOL.write_text(f"{pages}\n")


def figure(name: str) -> int:
    """A figure of the system's memory; 0 where there is none."""
    try:
        lines = MEMORY.read_text().splitlines()
    except OSError:
        return 0
    found = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return int(found[0]) if found else 0
