"""The page over a file of a million settled events: how soon it answers, and what that costs a run.

Pages are asked for one after another, over a socket, as `lionpride ui` serves them. For the run,
a browser is played beside it: it hears of changes, and asks for the overview every two seconds, as
the page's own script does.
"""

from __future__ import annotations

import asyncio
import http.client
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from benchmarks import bars, disk
from benchmarks.filled import Setting
from benchmarks.isolate import Figures, MeasurementError
from benchmarks.rounds import Ask, alternate
from benchmarks.table import Row, Section, absent, figure, held

N = 100_000
ASKED = 40
"""How often each page is asked for in one round."""

EVERY = 2.0
SHARE = 0.95
MOST_ROUNDS = 5
ALONE = "(e) ours, nobody looks"
WATCHED = "(e) ours, a browser looks"
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


def child(way: str, folder: str, source: str, n: int = N, watched: bool = False) -> Figures:
    if way == "pages":
        return pages(source)
    return run(folder, source, n, watched)


def pages(source: str) -> Figures:
    """The 95th percentile of the time to the first byte, and to the last, of each page: ms."""
    figures: Figures = {}
    with served(source) as port:
        newest = re.search(rb"/events/[0-9a-f-]{36}", ask(port, "/events")[2])
        assert newest is not None
        for name, path in PAGES.items():
            took = sorted(ask(port, path or newest[0].decode())[:2] for _ in range(ASKED))
            at = int(SHARE * ASKED) - 1
            whole = sorted(last for _, last in took)
            figures[name] = [took[at][0] * 1e3, whole[at] * 1e3]
    return figures


def run(folder: str, source: str, n: int, watched: bool) -> Figures:
    """What an event takes that goes through a copy of the file, from append to its end."""
    from benchmarks.candidates import shuffled_priorities
    from benchmarks.ours_on_disk import WARM_UP, appenders, url

    path = str(Path(folder, "measured.db"))
    disk.copy_database(source, path)
    before = count(path)
    asyncio.run(appenders(url(folder, "measured"), shuffled_priorities(WARM_UP), before))
    with ExitStack() as stack:
        if watched:
            stack.enter_context(looking(stack.enter_context(served(path))))
        store, used = url(folder, "measured"), time.process_time_ns()
        took = asyncio.run(appenders(store, shuffled_priorities(n), before + WARM_UP))
        used = time.process_time_ns() - used
    return {"ns": took / n, "cpu": used / n}


def count(path: str) -> int:
    """How many have completed in a file."""
    from benchmarks.ours import make_executor
    from benchmarks.ours_on_disk import on_record

    async def ask() -> int:
        async with make_executor(store=f"sqlite:///{path}") as executor:
            return await on_record(executor)

    return asyncio.run(ask())


@contextmanager
def served(path: str) -> Iterator[int]:
    """The port of the page of a file."""
    command = [sys.executable, "-m", "lionpride", "ui", "--store", path, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r":(\d+)/", process.stdout.readline())
            assert found is not None
            yield int(found[1])
        finally:
            process.terminate()
            process.wait()


@contextmanager
def looking(port: int) -> Iterator[None]:
    """A browser of sorts, in a process of its own."""
    with subprocess.Popen([sys.executable, "-m", "benchmarks.web", str(port)]) as process:
        try:
            time.sleep(3.0)  # the first look counts the last quarter of an hour
            yield
        finally:
            process.kill()
            process.wait()


def ask(port: int, path: str) -> tuple[float, float, bytes]:
    """Seconds to the first byte of a page, and to the last; and the page."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    began = time.perf_counter()
    connection.request("GET", path)
    connection.sock.recv(1, socket.MSG_PEEK)
    first = time.perf_counter() - began
    answer = connection.getresponse()
    text = answer.read()
    last = time.perf_counter() - began
    connection.close()
    assert answer.status == 200, (path, answer.status)
    return first, last, text


def browse(port: int) -> None:
    """Hear of changes, and ask for the overview when there are any, as a page does."""
    live = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    live.request("GET", "/live")
    stream = live.getresponse()
    asked = 0.0
    while line := stream.readline():
        if line.startswith(b"data:") and time.monotonic() - asked >= EVERY:
            ask(port, "/")
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
    questions: dict[str, Ask] = {
        ALONE: partial(asking, way="run"),
        WATCHED: partial(asking, way="run", watched=True),
    }
    answers = alternate("web", questions, rounds)
    for label in questions:
        if label in answers:
            section.rows.append(figure(label, answers.samples(label, "ns"), "ns", N))
        else:
            section.rows.append(absent(label, answers.failures[label], N))
    if ALONE in answers and WATCHED in answers:
        ratio = answers.samples(WATCHED, "ns").least / answers.samples(ALONE, "ns").least
        section.rows.append(held("    looked at, over alone", ratio, bars.LOOKED_AT, N))
        ratio = answers.samples(WATCHED, "cpu").median / answers.samples(ALONE, "cpu").median
        section.rows.append(held("    the same in its processor time", ratio, bars.LOOKED_AT, N))
    return section


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
    browse(int(sys.argv[1]))
