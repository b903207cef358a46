"""Processes that start together are measured together."""

import sys

import pytest

from benchmarks import processes
from benchmarks.isolate import MeasurementError

WORKER = """
from benchmarks.start_signal import StartSignal
signal = StartSignal()
signal.wait()
signal.finish(events={events})
"""
PEER = """
import threading
from benchmarks.start_signal import StartSignal
signal = StartSignal()
signal.wait()
done = 3
signal.report(lambda: done)
signal.wait()
done = 10
threading.Event().wait()
"""


def command(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_all_processes_start_and_end_together() -> None:
    figures = processes.together([command(WORKER.format(events=n)) for n in (3, 4)], 7)
    assert [each["events"] for each in figures["members"]] == [3, 4]
    assert figures["ns"] > 0


def test_workers_are_warm_before_the_clock_starts() -> None:
    assert processes.supplied([command(PEER)], [], 7, 3)["ns"] > 0


def test_a_process_that_fails_reports_the_reason() -> None:
    with pytest.raises(MeasurementError, match="no such thing"):
        processes.together([command("raise RuntimeError('no such thing')")], 1)
