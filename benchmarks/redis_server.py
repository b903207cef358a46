"""A Redis of one's own on a Unix socket, with what it is shipped with: snapshots, and no log."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
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
FLUSH = b"FLUSHALL\r\n"


@lru_cache
def program() -> str | None:
    """`redis-server`, installed by apt if that can be done; None if there is none."""
    found = shutil.which("redis-server")
    if found is None and shutil.which("apt-get") and os.geteuid() == 0:
        done = subprocess.run([str(INSTALL)], check=False, capture_output=True, text=True)
        found = shutil.which("redis-server")
        if found is None:
            raise MeasurementError(f"redis-server was not installed: {last_line(done.stderr)}")
    return found


@contextmanager
def redis(home: Path) -> Iterator[Path]:
    """A server that runs meanwhile; the path of its socket.

    Raises:
        MeasurementError: if there is no redis-server, or it does not start.
    """
    command = program()
    if command is None:
        raise MeasurementError("there is no redis-server, and only root may have apt install it")
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
    """Have the kernel end this process with the one that started it, however that ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def wait_for(path: Path, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        if server.poll() is not None or time.monotonic() > deadline:
            raise MeasurementError("redis-server did not start")
        time.sleep(0.01)


def empty(path: Path) -> None:
    """Remove all that is kept there."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(FLUSH)
        if not connection.recv(64).startswith(b"+OK"):
            raise MeasurementError("redis-server did not forget what it had")
