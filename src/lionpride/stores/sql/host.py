"""Whether the process behind a worker is provably dead, so that its leases need not lapse."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

__all__ = ("born", "host", "is_dead", "this_process")


def host() -> str:
    """Where process ids mean what they mean here: this boot of this machine, this namespace."""
    try:
        return _boot()
    except OSError:
        return f"{platform.node()}/{platform.system()}"


@cache
def _boot() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"


def this_process() -> tuple[str, int, str]:
    """Return the host, the id and the birth of this process.

    They are read once, when a store is made: later, no file descriptor may be free to read them.
    """
    pid = os.getpid()
    return host(), pid, _born_once(pid)


@cache
def _born_once(pid: int) -> str:
    return born(pid)


def born(pid: int) -> str:
    """When a process began, in the kernel's own count; empty if it cannot be told."""
    stat = _stat(pid)
    return stat[_BORN] if stat else ""


def is_dead(where: str, pid: int, when: str) -> bool:
    """Whether a process certainly runs no more. False means: nobody knows.

    Args:
        where: What ``host()`` was in it.
        pid: Its id.
        when: What ``born()`` said of it.
    """
    if where != host():
        return False
    stat = _stat(pid)
    if stat:
        return stat[_STATE] in "ZX" or (when != "" and stat[_BORN] != when)
    if os.name != "posix":
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


_STATE, _BORN = 0, 19


def _stat(pid: int) -> list[str]:
    """The fields of ``/proc/PID/stat`` from the state on (proc(5)); empty where there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()
