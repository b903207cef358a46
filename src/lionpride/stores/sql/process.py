"""Identity of this process, and detection of workers whose process has ended."""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

__all__ = ("forks", "is_dead", "process_namespace", "process_start", "this_process")


def process_namespace() -> str:
    """Return an id of the boot and the PID namespace in which a process id is unique."""
    try:
        return _boot()
    except OSError:
        return f"{platform.node()}/{platform.system()}"


@cache
def _boot() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"


def this_process() -> tuple[str, int, str]:
    """Return the PID namespace, the process id and the start time of this process.

    Stores call this when they are made. Later, no file descriptor may be free to read them.
    """
    pid = os.getpid()
    return process_namespace(), pid, _born_once(pid)


@cache
def _born_once(pid: int) -> str:
    return process_start(pid)


def process_start(pid: int) -> str:
    """Return the start time of a process in clock ticks since boot; "" if it is unknown."""
    stat = _stat(pid)
    return stat[_BORN] if stat else ""


def is_dead(where: str, pid: int, when: str) -> bool:
    """Return True if a process has certainly ended. False means that this is unknown.

    Args:
        where: The result of ``process_namespace()`` in that process.
        pid: Its id.
        when: The result of ``process_start()`` for it.
    """
    if where != process_namespace():
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
    """Return the fields of ``/proc/PID/stat`` from the state on (proc(5)); [] without a file."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


class _Forks:
    """Number of forks between the process that imported this module and this process.

    Comparing it with an earlier value detects a fork in less time than ``os.getpid()`` takes.
    """

    count = 0

    def add(self) -> None:
        self.count += 1


forks = _Forks()
if hasattr(os, "register_at_fork"):  # Windows has neither this function nor fork
    os.register_at_fork(after_in_child=forks.add)
