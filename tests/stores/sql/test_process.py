"""Whether a process is dead, asked of real ones: only what is certain counts."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lionpride.stores.sql.process import is_dead, process_namespace, process_start

PROC = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")
NOBODY_KNOWS = False


@pytest.fixture
def living() -> Iterator[subprocess.Popen[bytes]]:
    """A process that does nothing until its input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def test_a_host_is_the_same_each_time_and_in_a_child() -> None:
    code = "from lionpride.stores.sql.process import process_namespace as name; print(name())"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    said = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment
    )
    assert said.stdout.strip() == process_namespace() != ""


def test_this_process_is_alive() -> None:
    assert not is_dead(process_namespace(), os.getpid(), process_start(os.getpid()))
    assert not is_dead(process_namespace(), os.getppid(), process_start(os.getppid()))


def test_a_living_child_is_alive(living: subprocess.Popen[bytes]) -> None:
    assert not is_dead(process_namespace(), living.pid, process_start(living.pid))


def test_a_child_that_is_stopped_is_alive(living: subprocess.Popen[bytes]) -> None:
    when = process_start(living.pid)
    living.send_signal(signal.SIGSTOP)
    os.waitpid(living.pid, os.WUNTRACED)
    assert not is_dead(process_namespace(), living.pid, when)
    living.send_signal(signal.SIGCONT)


def test_a_finished_child_is_dead(living: subprocess.Popen[bytes]) -> None:
    when = process_start(living.pid)
    living.kill()
    living.wait()
    assert is_dead(process_namespace(), living.pid, when)
    assert is_dead(process_namespace(), living.pid, ""), "its birth need not be known for that"
    assert process_start(living.pid) == ""


@PROC
def test_a_zombie_is_dead(living: subprocess.Popen[bytes]) -> None:
    when = process_start(living.pid)
    assert not is_dead(process_namespace(), living.pid, when)
    living.kill()
    os.waitid(os.P_PID, living.pid, os.WEXITED | os.WNOWAIT)  # it stays, for nobody has asked
    assert process_start(living.pid) == when, "it is there still"
    assert is_dead(process_namespace(), living.pid, when)


@PROC
def test_an_id_that_another_process_has_now_is_a_dead_ones(
    living: subprocess.Popen[bytes],
) -> None:
    assert process_start(living.pid).isdigit()
    assert is_dead(process_namespace(), living.pid, str(int(process_start(living.pid)) - 1))


def test_who_has_no_birth_is_alive_while_its_id_is_in_use(living: subprocess.Popen[bytes]) -> None:
    assert not is_dead(process_namespace(), living.pid, "")


@PROC
def test_a_birth_is_told_apart_from_a_name_full_of_brackets() -> None:
    """``/proc/PID/stat`` has the name in brackets, and it may hold any of them."""
    with subprocess.Popen(
        [sys.executable, "-c", "open('/proc/self/comm', 'w').write(') Z 1 ('); print(); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as odd:
        assert odd.stdout is not None
        before = process_start(odd.pid)
        odd.stdout.readline()
        assert ") Z 1 (" in Path(f"/proc/{odd.pid}/stat").read_text()
        assert process_start(odd.pid) == before
        assert not is_dead(process_namespace(), odd.pid, before)
        odd.kill()


def test_of_another_host_nobody_knows(living: subprocess.Popen[bytes]) -> None:
    when = process_start(living.pid)
    living.kill()
    living.wait()
    assert is_dead("elsewhere/pid:[1]", living.pid, when) is NOBODY_KNOWS
    boot, _, _ = process_namespace().partition("/")
    assert is_dead(f"{boot}/pid:[1]", living.pid, when) is NOBODY_KNOWS, "another container"


def test_an_id_that_no_process_can_have_is_dead() -> None:
    assert process_start(2**22 + 1) == ""
    assert is_dead(process_namespace(), 2**22 + 1, "1")


@PROC
def test_a_store_knows_its_process_though_no_file_descriptor_is_free_later(tmp_path: Path) -> None:
    code = """if True:
        import os, resource
        from lionpride.stores.sql.process import this_process
        from lionpride.stores.sqlite import SqliteStore
        store = SqliteStore("run.db")
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
        print(*this_process())
        """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment,
    ) as process:
        assert process.stdout is not None
        where, pid, when = process.stdout.read().split()
        assert (where, int(pid)) == (process_namespace(), process.pid)
        assert when.isdigit()
