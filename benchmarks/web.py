"""The page over a file of a million settled events: how soon it answers, and what that costs a run.

Pages are asked for one after another, over a socket, as `lionpride ui` serves them. For the run,
a browser is played beside it: it hears of changes, and asks for the overview every two seconds, as
the page's own script does. It comes and goes while one executor runs on, so that each span of time
with it stands between two without.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import random
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import bars, disk
from benchmarks.filled import SEED, Setting
from benchmarks.isolate import Figures, MeasurementError
from benchmarks.rounds import Ask, alternate
from benchmarks.table import Row, Samples, Section, absent, figure, held
from lionpride.core import EventStatus

if TYPE_CHECKING:
    from benchmarks.ours import NoOpExecutor

SPANS = 9
"""In how many spans of time a run is measured: every other one with a browser."""

SECONDS = 4.0
"""How long each is."""

SETTLES = 1.5
"""Seconds that are left out before each, in which the browser comes or goes."""

ASKED = 40
"""How often each page is asked for in one round."""

EVERY = 2.0
SHARE = 0.95
MOST_ROUNDS = 3
RUN = "(e) ours"
PAGES = {
    "overview": "/",
    "timeline": "/timeline",
    "timeline, 15 minutes": "/timeline?last=15m",
    "list": "/events",
    "list, by status": "/events?status=failed",
    "list, by kind": "/events?kind=benchmarks.ours.NoOp",
    "list, by a kind that there is not": "/events?kind=none",
    "list, by time and status": "/events?since=24h&status=completed",
    "list, by error": "/events?q=timeout",
    "list, in the middle": "/events?before=500000",
    "event": "",  # the newest
    "workers": "/workers",
}


# --- the measured side ----------------------------------------------------------------


def child(way: str, folder: str, source: str) -> Figures:
    if way == "pages":
        return pages(source)
    return run(folder, source)


def pages(source: str) -> Figures:
    """The 95th percentile of the time to the first byte, and to the last, of each page: ms."""
    figures: Figures = {}
    with served(source) as page:
        newest = re.search(rb"/events/[0-9a-f-]{36}", ask(page, "/events")[2])
        assert newest is not None
        for name, path in PAGES.items():
            took = sorted(ask(page, path or newest[0].decode())[:2] for _ in range(ASKED))
            at = int(SHARE * ASKED) - 1
            whole = sorted(last for _, last in took)
            figures[name] = [took[at][0] * 1e3, whole[at] * 1e3]
    return figures


def run(folder: str, source: str) -> Figures:
    """What an event takes that goes through a copy of the file, in each span of time: ns."""
    path = str(Path(folder, "measured.db"))
    disk.copy_database(source, path)
    with served(path) as page:
        return asyncio.run(spans(path, page))


async def spans(path: str, page: Page) -> Figures:
    """Have events run without an end, and measure them while a browser comes and goes."""
    from benchmarks.ours import make_executor
    from benchmarks.ours_on_disk import append_each

    took, used, shares = list[float](), list[float](), list[float]()
    chance = random.Random(SEED)
    async with make_executor(store=f"sqlite:///{path}") as executor:
        go_on = True
        appending = asyncio.create_task(
            append_each(executor, iter(lambda: chance.random() if go_on else 1.0, 1.0))
        )
        with looking(page):  # the first look counts the last quarter of an hour
            await asyncio.sleep(2 * SETTLES)
        for number in range(SPANS):
            with looking(page) if number % 2 else nullcontext():
                await asyncio.sleep(SETTLES)
                before = [*await reading(executor), page.used()]
                await asyncio.sleep(SECONDS)
                after = [*await reading(executor), page.used()]
            done, wall, cpu, its = (now - then for now, then in zip(after, before, strict=True))
            took.append(wall / done)
            used.append(cpu / done)
            shares.append(1e11 * its / wall)
        go_on = False
        await appending
        await executor.join()
    return {"ns": took, "cpu": used, "share": shares}


async def reading(executor: NoOpExecutor) -> tuple[float, int, int]:
    """How many events have gone through, an append being half; the time, and what was used."""
    counts = await executor.store.counts()
    gone = (sum(counts.values()) + counts[EventStatus.COMPLETED]) / 2
    return gone, time.perf_counter_ns(), time.process_time_ns()


class Page(NamedTuple):
    """A page that is served: where, what opens it, and by which process."""

    port: int
    token: str
    pid: int

    def used(self) -> float:
        """Seconds of processor time that the process has taken; 0.0 where nobody says it."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def served(path: str) -> Iterator[Page]:
    """The page of a file."""
    command = [sys.executable, "-m", "lionpride", "ui", "--store", path, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r":(\d+)/\?token=(\S+)", process.stdout.readline())
            assert found is not None
            yield Page(int(found[1]), found[2], process.pid)
        finally:
            process.terminate()
            process.wait()


@contextmanager
def looking(page: Page) -> Iterator[None]:
    """A browser of sorts, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.web", *map(str, page)]
    with subprocess.Popen(command) as process:
        try:
            yield
        finally:
            process.kill()
            process.wait()


def ask(page: Page, path: str) -> tuple[float, float, bytes]:
    """Seconds to the first byte of a page, and to the last; and the page."""
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=60)
    began = time.perf_counter()
    connection.request("GET", path, headers={"Authorization": f"Bearer {page.token}"})
    connection.sock.recv(1, socket.MSG_PEEK)
    first = time.perf_counter() - began
    answer = connection.getresponse()
    text = answer.read()
    last = time.perf_counter() - began
    connection.close()
    assert answer.status == 200, (path, answer.status)
    return first, last, text


def browse(page: Page) -> None:
    """Hear of changes, and ask for the overview when there are any, as a page does."""
    live = http.client.HTTPConnection("127.0.0.1", page.port, timeout=600)
    live.request("GET", "/live", headers={"Authorization": f"Bearer {page.token}"})
    stream = live.getresponse()
    asked = 0.0
    while line := stream.readline():
        if line.startswith(b"data:") and time.monotonic() - asked >= EVERY:
            ask(page, "/")
            asked = time.monotonic()


# --- the asking side ------------------------------------------------------------------


def report(setting: Setting) -> Section:
    section = Section(
        "web",
        f"WEB: ms to the first byte of each page, p95, over {setting.settled:,} settled events",
        notes=["a list is counted while it is read: to its last byte, all that match are."],
    )
    try:
        source = setting.database
    except MeasurementError as error:
        section.rows.append(absent("pages", str(error), setting.settled))
        return section
    rounds = min(setting.rounds, MOST_ROUNDS)
    asking = partial(disk.ask, setting.folder, "web", source=source)
    answers = alternate("web", {"pages": partial(asking, way="pages")}, rounds)
    if "pages" in answers:
        section.rows += list(of_pages(answers.figures["pages"]))
    else:
        section.rows.append(absent("pages", answers.failures["pages"]))
    questions: dict[str, Ask] = {RUN: partial(asking, way="run")}
    answers = alternate("web", questions, rounds)
    if RUN not in answers:
        section.rows.append(absent(RUN, answers.failures[RUN]))
        return section
    found = answers.figures[RUN]
    for label, first in ((f"{RUN}, nobody looks", 0), (f"{RUN}, a browser looks", 1)):
        each = Samples(ns for figures in found for ns in figures["ns"][first::2])
        section.rows.append(figure(label, each, "ns", setting.settled))
    for label, key in (("looked at, over alone", "ns"), ("the same in its processor time", "cpu")):
        ratio = median(one for figures in found for one in against(figures[key]))
        section.rows.append(held(f"    {label}", ratio, bars.LOOKED_AT, setting.settled))
    share = median(one for figures in found for one in figures["share"][1::2])
    section.rows.append(Row("    the page's own share of a processor", None, share, share, "%"))
    return section


def against(spans: list[float]) -> Iterator[float]:
    """Each span with a browser, against the two beside it."""
    for at in range(1, len(spans) - 1, 2):
        yield 2 * spans[at] / (spans[at - 1] + spans[at + 1])


def of_pages(rounds: list[Figures]) -> Iterator[Row]:
    """A row for each page: the least of all rounds counts, since the machine is shared."""
    for name in PAGES:
        first = min(figures[name][0] for figures in rounds)
        last = min(figures[name][1] for figures in rounds)
        row = Row(f"    {name}", None, first, first, "ms")
        row.bar, row.verdict = str(bars.FIRST_BYTE), bars.FIRST_BYTE.verdict(first)
        yield row
        if name.startswith("list"):
            yield Row("        to its last byte", None, last, last, "ms")


if __name__ == "__main__":
    browse(Page(int(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
