"""A Redis server on a Unix socket, with the settings of Debian: snapshots, and no log."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from benchmarks import disk
from benchmarks.isolate import MeasurementError, last_line

INSTALL = Path(__file__).with_name("install-redis.sh")
PATIENCE = 10.0
PR_SET_PDEATHSIG = 1


@lru_cache
def program() -> str | None:
    """Return the path of ``redis-server``, which root installs with apt; None if there is none."""
    found = shutil.which("redis-server")
    if found is None and shutil.which("apt-get") and os.geteuid() == 0:
        done = subprocess.run([str(INSTALL)], check=False, capture_output=True, text=True)
        found = shutil.which("redis-server")
        if found is None:
            raise MeasurementError(f"redis-server was not installed: {last_line(done.stderr)}")
    return found


@contextmanager
def redis(home: Path) -> Iterator[Path]:
    """Run a server, and return the path of its socket.

    Raises:
        MeasurementError: if there is no redis-server, or it does not start.
    """
    command = program()
    if command is None:
        raise MeasurementError(
            "redis-server is not installed, and only root can install it with apt"
        )
    with disk.folder_in(home) as folder:
        path = Path(folder, "socket")
        server = subprocess.Popen(
            [command, "--port", "0", "--unixsocket", str(path), "--dir", folder],
            stdout=subprocess.DEVNULL,
            preexec_fn=end_with_parent,  # noqa: PLW1509 - nothing else runs in this process
        )
        try:
            wait_for(path, server)
            yield path
        finally:
            server.kill()
            server.wait()


def end_with_parent() -> None:
    """Let the kernel kill this process when its parent ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def wait_for(path: Path, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        if server.poll() is not None or time.monotonic() > deadline:
            raise MeasurementError("redis-server did not start")
        time.sleep(0.01)
