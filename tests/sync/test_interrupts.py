"""Ctrl-C at every instruction of a call, in the main thread."""

import signal
from pathlib import Path

import pytest
from sync.jobs import run, start

from lionpride.sync.interrupts import is_second_interrupt

EVERYWHERE = """
import lionpride.sync
from contextlib import suppress

class Interrupt:
    \"\"\"A trace function that sends SIGINT before an instruction of lionpride.sync.\"\"\"

    def __init__(self, number):
        self.left, self.place = number, None

    def __call__(self, frame, event, _):
        if self.place or not frame.f_code.co_filename.startswith(lionpride.sync.__path__[0]):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            self.left -= 1
            if self.left < 0:
                self.place = frame.f_code.co_qualname, frame.f_lineno
                signal.raise_signal(signal.SIGINT)
        return self

    def during(self, function, *arguments):
        before = sys.gettrace()
        sys.settrace(self)
        try:
            function(*arguments)
        finally:
            sys.settrace(before)

async def other_tasks():
    return asyncio.all_tasks() - {asyncio.current_task()}

def tasks_end():
    thread = executor._bridge._opened.thread
    while asyncio.run_coroutine_threadsafe(other_tasks(), thread.loop).result() or thread._kept:
        pass

def stream(event):
    with executor.stream(event, timeout=0.001) as chunks:
        next(chunks)

def append(_):
    executor.append(square(1))

def result(event):
    executor.result(event, timeout=0.001)

def enter(interrupt):
    interrupt.during(executor.__enter__)
    executor.__exit__(None, None, None)

def leave(interrupt):
    executor.__enter__()
    event = executor.append(endless())
    interrupt.during(executor.__exit__, None, None, None)
    assert executor.get(event).status.value == "pending"

def call(interrupt, function):
    with executor:
        event = executor.append(endless())
        with suppress(TimeoutError):
            interrupt.during(function, event)

what, default = sys.argv[2], signal.getsignal(signal.SIGINT)
import logging
logging.disable()
executor = Executor.of(square, endless, queue="q", store=store, grace=0.001)
number = 0
while True:
    interrupt = Interrupt(number)
    try:
        if what in ("enter", "leave"):
            globals()[what](interrupt)
        else:
            call(interrupt, globals()[what])
    except KeyboardInterrupt:
        pass
    else:
        if interrupt.place:
            print("nothing was raised at", interrupt.place)
    if not interrupt.place:
        break
    if signal.getsignal(signal.SIGINT) is not default:
        print("the handler was not given back at", interrupt.place)
    for event in executor.pending_events:
        executor.cancel(event)
    with executor:
        assert executor.run(square(3), timeout=20) == 9
    tasks_end()
    number += 1
print(number > 200)
"""


@pytest.mark.parametrize("what", ["enter", "leave", "append", "result", "stream"])
def test_an_interrupt_at_any_instruction_is_raised_and_leaves_things_sound(what: str) -> None:
    """The run has ended, no task is left in the loop, and the executor is used again."""
    assert run(EVERYWHERE, "memory://", what) == ["True"]


LEAVE = """
executor = Executor.of(endless, queue="q", store=store, grace=3600)
before = signal.getsignal(signal.SIGINT)
try:
    with executor:
        event = executor.append(endless())
        try:
            print("waiting", flush=True)
            executor.result(event)
        finally:
            print("leaving", flush=True)
except KeyboardInterrupt:
    print("left")
print(executor.get(event).status.value, signal.getsignal(signal.SIGINT) is before)
"""


def test_a_second_ctrl_c_ends_the_grace_time(tmp_path: Path) -> None:
    """It comes in the block, or before any instruction of its exit."""
    with start(LEAVE, f"sqlite:///{tmp_path / 'run.db'}") as process:
        try:
            assert process.stdout.readline() == "waiting\n"
            process.send_signal(signal.SIGINT)
            assert process.stdout.readline() == "leaving\n"
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=25)
        finally:
            process.kill()
    assert (out.splitlines(), err) == (["left", "pending True"], "")


def test_an_interrupt_that_follows_another_one_is_the_second() -> None:
    first, second, other = KeyboardInterrupt(), KeyboardInterrupt(), SystemExit()
    assert not is_second_interrupt(None)
    assert not is_second_interrupt(first)
    second.__context__, other.__context__ = other, first
    assert is_second_interrupt(second)
    assert not is_second_interrupt(other)
    first.__context__ = ValueError()
    first.__context__.__context__ = first
    assert not is_second_interrupt(first)


def test_interrupts_stay_with_a_handler_of_the_program() -> None:
    lines = run(
        """
def handler(*_):
    print("handled")

signal.signal(signal.SIGINT, handler)
with Executor.of(square) as executor:
    signal.raise_signal(signal.SIGINT)
    print(executor.run(square(3), timeout=20), signal.getsignal(signal.SIGINT) is handler)
"""
    )
    assert lines == ["handled", "9 True"]


def test_executors_in_each_other_and_in_other_threads() -> None:
    lines = run(
        """
default = signal.getsignal(signal.SIGINT)

def other():
    with Executor.of(square) as executor:
        print(executor.run(square(2), timeout=20))

with Executor.of(square) as first:
    try:
        with Executor.of(square) as second:
            print(second.run(square(3), timeout=20))
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
            signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        print("left")
    print(signal.getsignal(signal.SIGINT) is default, first.run(square(4), timeout=20))
print(signal.getsignal(signal.SIGINT) is default)
"""
    )
    assert lines == ["9", "4", "left", "False 16", "True"]
