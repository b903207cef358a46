"""Forked children: PostgreSQL is opened again, and the parent goes on undisturbed."""

from pathlib import Path
from time import monotonic

import psycopg
import pytest
from stores.homes import Home
from sync.jobs import postgres_url, run, start

FORK = """
executor = Executor.of(square, queue="q", store=store)

def in_child(work):
    if (pid := os.fork()) == 0:
        try:
            work()
        except Exception as error:
            print(type(error).__name__, error)
        sys.stdout.flush()
        os._exit(0)
    return pid
"""


def test_a_child_opens_its_own_connections_and_the_parent_keeps_its(home: Home) -> None:
    lines = run(
        f"""{FORK}
def wait(event):
    try:
        executor.result(event)
    except Exception as error:
        print("waiter:", type(error).__name__)

def child():
    for each in range(20):
        executor.append(square(each))
    print("child:", executor.counts()["pending"] >= 20)

parent = executor.append(square(12), delay=3600)
waiter = threading.Thread(target=wait, args=[parent])
waiter.start()
children = []
for _ in range(3):
    children.append(in_child(child))
    executor.append(square(2))
for pid in children:
    os.waitpid(pid, 0)
for _ in range(20):
    executor.append(square(3))
print("parent:", executor.counts()["pending"])
executor.cancel(parent)
waiter.join()
""",
        postgres_url(home),
    )
    assert sorted(lines) == [*["child: True"] * 3, "parent: 84", "waiter: EventCancelledError"]


def test_the_server_notices_the_end_of_a_parent_whose_child_goes_on(home: Home) -> None:
    """The child keeps no socket of the parent, also not that of the heartbeat."""
    script = """
executor = Executor.of(endless, queue="q", store=store)
executor.__enter__()
executor.append(endless())
sys.stdin.readline()
if os.fork() == 0:
    print("child", flush=True)
    sys.stdin.readline()
    os._exit(0)
threading.Event().wait()
"""
    query = """
    SELECT pid FROM pg_stat_activity
    WHERE strpos(query, %s) > 0 AND strpos(query, %s) > 0 AND pid <> ALL(%s)
    """
    with psycopg.connect(home.url, autocommit=True) as connection:

        def pids(what: str, but: list[int]) -> list[int]:
            found = connection.execute(query, (f'"{home.schema}"', what, but))
            return [row[0] for row in found]

        ours = pids("", [])
        with start(script, f"{postgres_url(home)}&lionpride_lease=1") as process:
            try:
                while not pids("SET heartbeat_at", ours):
                    assert process.poll() is None
                process.stdin.write("fork\n")
                process.stdin.flush()
                assert process.stdout.readline() == "child\n"
                assert len(pids("", ours)) > 1
                process.kill()
                until = monotonic() + 20
                while pids("", ours):
                    assert monotonic() < until, "the child has a connection of the parent"
            finally:
                process.kill()
                process.stdin.close()


def test_a_child_that_ends_as_usual_leaves_the_parent_alone(home: Home) -> None:
    """Its objects of the parent are deleted at its exit, with their sockets."""
    lines = run(
        f"""{FORK}
import gc
executor.append(square(1))
if (pid := os.fork()) == 0:
    executor.append(square(2))
    executor = None
    gc.collect()
    sys.exit(3)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
print(executor.append(square(3)).number, executor.counts()["pending"])
with executor:
    executor.join(timeout=20)
print(executor.counts()["completed"])
""",
        postgres_url(home),
    )
    assert lines == ["3", "3 3", "3"]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_of_multiprocessing(home: Home, tmp_path: Path, method: str) -> None:
    (tmp_path / "squares.py").write_text(
        """
import os
from lionpride import job
from lionpride.sync import Executor

@job
async def square(number: int) -> int:
    return number * number

executor = Executor.of(square, store=os.environ["STORE"])

def append(number):
    return str(executor.append(square(number)).id)
"""
    )
    (tmp_path / "pooled.py").write_text(
        """
import multiprocessing, os, sys
os.environ["STORE"] = sys.argv[1]
from squares import append, executor, square

if __name__ == "__main__":
    executor.append(square(0))
    with multiprocessing.get_context(sys.argv[2]).Pool(3) as pool:
        ids = pool.map(append, range(1, 30))
        pool.close()
        pool.join()
    with executor:
        print(sum(executor.result(uid, timeout=20) for uid in ids))
"""
    )
    lines = run(str(tmp_path / "pooled.py"), postgres_url(home), method)
    assert lines == [str(sum(each * each for each in range(30)))]


def test_a_child_of_a_process_with_an_open_file_is_refused(tmp_path: Path) -> None:
    lines = run(
        f"""{FORK}
executor.append(square(1))
os.waitpid(in_child(lambda: executor.append(square(2))), 0)
executor.append(square(3))
print(executor.counts()["pending"])
""",
        f"sqlite:///{tmp_path / 'run.db'}",
    )
    assert lines[0].startswith("OperationError")
    assert "open it after the fork " in lines[0]
    assert "--preload" in lines[0]
    assert lines[1:] == ["2"]


def test_a_child_opens_a_file_that_its_parent_has_closed(tmp_path: Path) -> None:
    lines = run(
        f"""{FORK}
executor.append(square(1))
executor.close()
os.waitpid(in_child(lambda: executor.append(square(2))), 0)
print(executor.counts()["pending"])
""",
        f"sqlite:///{tmp_path / 'run.db'}",
    )
    assert lines == ["2"]


def test_a_child_opens_a_file_that_its_parent_has_only_named(tmp_path: Path) -> None:
    lines = run(
        f"""{FORK}
os.waitpid(in_child(lambda: executor.append(square(2))), 0)
print(executor.counts()["pending"])
""",
        f"sqlite:///{tmp_path / 'run.db'}",
    )
    assert lines == ["1"]


def test_a_store_in_memory_is_empty_in_a_child() -> None:
    lines = run(
        f"""{FORK}
executor.append(square(1))
os.waitpid(in_child(lambda: print(executor.counts()["pending"])), 0)
print(executor.counts()["pending"])
"""
    )
    assert lines == ["0", "1"]


def test_a_store_object_of_the_parent_is_refused_in_a_child() -> None:
    lines = run(
        """
from lionpride.stores.memory import MemoryStore
executor = Executor.of(square, store=MemoryStore("q"))
executor.append(square(1))
if (pid := os.fork()) == 0:
    try:
        executor.counts()
    except Exception as error:
        print(error, flush=True)
    os._exit(0)
os.waitpid(pid, 0)
"""
    )
    assert "give store= as a URL" in lines[0]


def test_what_belongs_to_the_parent_does_nothing_in_a_child() -> None:
    lines = run(
        f"""{FORK}
@job
async def chunks(number: int):
    for each in range(number):
        yield each

executor = Executor.of(square, chunks, queue="q")
seen = []

def child():
    executor.__exit__(None, None, None)
    executor.close()
    try:
        next(stream)
    except Exception as error:
        print(error)
    with executor:
        print(executor.run(square(4), timeout=20), len(seen) > 2, executor.event_types)

with executor:
    executor.observe(seen.append)
    stream = executor.stream(executor.append(chunks(3)))
    print(next(stream))
    os.waitpid(in_child(child), 0)
    print(list(stream), executor.run(square(5), timeout=20))
"""
    )
    assert lines[:2] == [
        "0",
        "the iteration was begun before fork(): begin a new one in the child process",
    ]
    assert lines[2].startswith("16 True (")
    assert lines[3] == "[1, 2] 25"
