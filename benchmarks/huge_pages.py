"""Huge pages for the server under measurement, as its manual advises (18.4.5, Linux Huge Pages).

Each process of a server maps its shared memory by itself, and on a virtual machine the first look
at each page of 4 kB costs it microseconds: of eight workers' back ends, which look at the same
pages, each pays that. PostgreSQL takes huge pages by itself (`huge_pages = try`) where the system
has some set apart, which is for an administrator to do; here root does it while it measures.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

MEMORY = Path("/proc/meminfo")
POOL = Path("/proc/sys/vm/nr_hugepages")


@contextmanager
def set_apart(megabytes: int) -> Iterator[None]:
    """Have so much free in huge pages within the block, if this user may, and there is so much.

    They are given back at its end, also if that is SIGTERM.
    """
    missing = 0
    if size := figure("Hugepagesize"):  # in kB
        free = figure("HugePages_Free") - figure("HugePages_Rsvd")
        missing = max(0, megabytes * 1024 // size + 1 - free)
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        add(missing)
        yield
    finally:
        add(-missing)
        signal.signal(signal.SIGTERM, before)


def add(pages: int) -> None:
    """Have so many more, or fewer."""
    if pages:
        with suppress(OSError):  # somebody else's machine: then there are those that there are
            POOL.write_text(f"{figure('HugePages_Total') + pages}\n")


def figure(name: str) -> int:
    """A figure of the system's memory; 0 where there is none."""
    try:
        lines = MEMORY.read_text().splitlines()
    except OSError:
        return 0
    found = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return int(found[0]) if found else 0
