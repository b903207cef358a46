"""Several processes that start together: the time that they took, and the processor time."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic, perf_counter_ns
from typing import Any, Self

from benchmarks.isolate import ROOT, TIMEOUT, Figures, MeasurementError, last_line

BEGIN = "begin\n"


class Members:
    """Processes that wait for a ``StartSignal``; they are killed on leaving."""

    def __init__(self, commands: Sequence[list[str]]) -> None:
        self.heard: queue.Queue[tuple[int, dict[str, Any] | None]] = queue.Queue()
        self.deadline = monotonic() + TIMEOUT
        self.ready: set[int] = set()
        self.listeners: list[threading.Thread] = []
        self.errors = [tempfile.TemporaryFile("w+") for _ in commands]  # noqa: SIM115 - see leaving
        self.processes = [self.start(*each) for each in enumerate(commands)]

    def start(self, number: int, command: list[str]) -> subprocess.Popen[str]:
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, text=True,
                                   stdout=subprocess.PIPE, stderr=self.errors[number])  # fmt: skip
        listener = threading.Thread(target=self.listen, args=(number, process), daemon=True)
        listener.start()
        self.listeners.append(listener)
        return process

    def listen(self, number: int, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                self.heard.put((number, json.loads(line)))
        self.heard.put((number, None))

    def hear(self) -> tuple[int, dict[str, Any]]:
        """Return the next message of any process, with its number.

        Raises:
            MeasurementError: if a process has failed, or no message comes in time.
        """
        while True:
            try:
                number, said = self.heard.get(timeout=max(0.0, self.deadline - monotonic()))
            except queue.Empty:
                raise MeasurementError(f"no answer within {TIMEOUT:.0f} s") from None
            if said is not None:
                return number, said
            if self.processes[number].wait() != 0:
                self.errors[number].seek(0)
                reason = last_line(self.errors[number].read())
                raise MeasurementError(reason or f"member {number} ended early")

    def all_ready(self, numbers: Sequence[int] | None = None) -> None:
        wanted = set(range(len(self.processes)) if numbers is None else numbers)
        while not wanted <= self.ready:
            number, said = self.hear()
            if "ready" in said:
                self.ready.add(number)
        self.ready -= wanted

    def begin(self, numbers: Sequence[int] | None = None) -> None:
        for number in range(len(self.processes)) if numbers is None else numbers:
            pipe = self.processes[number].stdin
            assert pipe is not None
            pipe.write(BEGIN)
            pipe.flush()

    def release(self) -> None:
        """Let the finished processes exit."""
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.close()
        for process in self.processes:
            process.wait()

    def all_finished(self) -> list[dict[str, Any]]:
        """Return the last message of each process."""
        ends: dict[int, dict[str, Any]] = {}
        while len(ends) < len(self.processes):
            number, said = self.hear()
            if "ended" in said:
                ends[number] = said
        return [ends[number] for number in range(len(self.processes))]

    def until_done(
        self, n: int, before: Mapping[int, dict[str, Any]] | None = None
    ) -> tuple[int, dict[int, dict[str, Any]]]:
        """Return the time when n jobs were done, and the last report of each process."""
        reports = dict(before or {})
        while sum(report["done"] for report in reports.values()) < n:
            number, said = self.hear()
            if "done" in said:
                reports[number] = said
            elif "ready" in said:
                self.ready.add(number)
        return max(report["at"] for report in reports.values()), reports

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()
        for listener in self.listeners:
            listener.join()
        for number, process in enumerate(self.processes):
            for pipe in (process.stdin, process.stdout, self.errors[number]):
                assert pipe is not None
                with suppress(BrokenPipeError):
                    pipe.close()


def ours(module: str, **parameters: Any) -> list[str]:
    """Return the command of a process that runs this library."""
    return [sys.executable, "-m", "benchmarks.child", module, json.dumps(parameters)]


def foreign(interpreter: Path, module: str, **parameters: Any) -> list[str]:
    """Return the command of a process in the environment of another library."""
    path = f"import sys; sys.path.append({str(ROOT)!r})"
    start = f"from benchmarks import {module} as module; module.main()"
    return [str(interpreter), "-I", "-c", f"{path}; {start}", json.dumps(parameters)]


def one(command: list[str]) -> None:
    """Run a command that is not measured.

    Raises:
        MeasurementError: if it fails.
    """
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True,
                          timeout=TIMEOUT)  # fmt: skip
    if done.returncode:
        raise MeasurementError(last_line(done.stderr) or f"exit status {done.returncode}")


def together(commands: Sequence[list[str]], n: int, server: int | None = None) -> Figures:
    """Start processes together, and measure from the first start to the last end.

    Args:
        commands: Of the processes.
        n: Events.
        server: A process; the processor time of its children is measured too.
    """
    with Members(commands) as members:
        members.all_ready()
        before = cpu_of_tree(server)
        members.begin()
        ends = members.all_finished()
        served = cpu_of_tree(server) - before
        members.release()
    took = max(each["ended"] for each in ends) - min(each["began"] for each in ends)
    used = sum(each["cpu"] for each in ends)
    return {
        "ns": took / n,
        "worker_us": used * 1e6 / n,
        "server_us": served * 1e6 / n,
        "members": ends,
    }


def supplied(
    producers: Sequence[list[str]], workers: Sequence[list[str]], n: int, warm_up: int
) -> Figures:
    """Let producers enqueue n jobs for workers that are warm; a process may be both.

    The time is from the signal to the end of the last job, as the workers report.
    """
    commands = [*producers, *workers]
    with Members(commands) as members:
        members.all_ready()
        members.begin()
        _, before = members.until_done(warm_up)
        members.all_ready(range(len(producers)))
        began = perf_counter_ns()
        members.begin(range(len(producers)))
        ended, _ = members.until_done(warm_up + n, before)
    return {"ns": (ended - began) / n}


def cpu_of_tree(root: int | None) -> float:
    """Return the processor time of a process and of its children, in seconds."""
    if root is None or not Path("/proc").is_dir():
        return 0.0
    ticks = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(folder.name) == root:
            ticks += sum(map(int, fields[11:15]))
        elif int(fields[1]) == root:
            ticks += sum(map(int, fields[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")
