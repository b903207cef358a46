"""The exit of a process, Ctrl-C, and threads of gevent."""

import signal

import pytest
from sync.jobs import run, start

from lionpride.sync import Executor


def test_the_exit_commits_what_threads_append(durable: str) -> None:
    """A daemon thread is stopped in the middle of its appends; those that returned are kept."""
    lines = run(
        """
executor = Executor.of(square, queue="q", store=store)
done = []
begun = threading.Event()

def append():
    try:
        while True:
            executor.append(square(len(done)))
            done.append(1)
            if len(done) == 30:
                begun.set()
    except Exception:
        pass  # the process exits

threading.Thread(target=append, daemon=True).start()
begun.wait()
print(len(done))
""",
        durable,
    )
    from sync.jobs import square

    executor = Executor.of(square, queue="q", store=durable)
    assert executor.counts()["pending"] >= int(lines[0])
    executor.close()


def test_the_exit_ends_runs_streams_and_waits(durable: str) -> None:
    lines = run(
        """
import logging
logging.basicConfig(level=logging.WARNING)

@job
async def steps() -> None:
    try:
        yield 1
        await asyncio.Event().wait()
    finally:
        print("ended", flush=True)

executor = Executor.of(square, endless, steps, queue="q", store=store, grace=0.1)
executor.__enter__()
event = executor.append(endless())

def wait():
    try:
        executor.result(event)
    except Exception:
        pass  # the process exits

threading.Thread(target=wait, daemon=True).start()
stream = executor.stream(executor.append(steps()))
print(next(stream))
import atexit
atexit.register(lambda: print("later calls:", executor.counts()["pending"] >= 0))
""",
        durable,
    )
    assert lines == ["1", "later calls: True", "ended"]


def test_a_call_after_the_exit_is_refused() -> None:
    before = """
import atexit

@atexit.register
def late():
    try:
        executor.append(square(2))
    except Exception as error:
        print(type(error).__name__, "exits" in str(error), flush=True)
"""
    lines = run("executor = Executor.of(square)\nexecutor.append(square(1))", before=before)
    assert lines == ["OperationError True"]


@pytest.mark.parametrize(
    "wait",
    [
        "executor.result(event)",
        "list(executor.as_completed([event]))",
        "list(executor.stream(event))",
        "list(executor.map([endless()]))",
        "executor.join()",
        "executor.execute()",
    ],
)
def test_ctrl_c_ends_a_wait_and_leaves_things_sound(durable: str, wait: str) -> None:
    entered = "execute" not in wait
    script = f"""
executor = Executor.of(square, endless, queue="q", store=store, grace=0.1)
executor.start()
if {entered}:
    executor.__enter__()
event = executor.append(endless())
try:
    print("waiting", flush=True)
    {wait}
except KeyboardInterrupt:
    print("interrupted", flush=True)
if {entered}:
    executor.__exit__(None, None, None)
print(executor.get(event).status.value)
with executor:
    print(executor.run(square(4), timeout=20))
"""
    with start(script, durable) as process:
        assert process.stdout.readline() == "waiting\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=25)
    assert (out.splitlines(), err) == (["interrupted", "pending", "16"], "")


def test_an_error_of_a_signal_handler_ends_a_wait() -> None:
    """Servers end a request that takes too long in this way."""
    lines = run(
        """
def handler(*_):
    raise SystemExit(5)

signal.signal(signal.SIGALRM, handler)
executor = Executor.of(endless)
event = executor.append(endless())
signal.setitimer(signal.ITIMER_REAL, 0.2)
try:
    executor.result(event)
except SystemExit as error:
    print("left", error, executor.counts()["pending"])
"""
    )
    assert lines == ["left 5 1"]


def test_threads_of_gevent_are_refused() -> None:
    pytest.importorskip("gevent")
    lines = run(
        """
from gevent import monkey
monkey.patch_all()
executor = Executor.of(square)
try:
    executor.append(square(1))
except Exception as error:
    print(type(error).__name__, error)
"""
    )
    assert lines[0].startswith(
        "OperationError lionpride.sync needs threads of the operating system"
    )
    assert "gevent" in lines[0]
    assert "gthread" in lines[0]


def test_gevent_without_patched_threads_is_no_obstacle() -> None:
    pytest.importorskip("gevent")
    lines = run(
        """
import gevent.monkey
with Executor.of(square) as executor:
    print(executor.run(square(3), timeout=20))
"""
    )
    assert lines == ["9"]
