"""The live display of a run on a terminal: a bar, counts, and what runs the longest.

It needs rich, the extra `[cli]`; nothing else of the command line does.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from types import TracebackType
from typing import Self

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ...core import EventStatus
from ...drawing.text import clock, duration, how_far, rate, shorten
from ..batch.lines import label
from .statistics import Statistics
from .streams import tell
from .summary import HEADINGS, Summary
from .table import STYLES

__all__ = ["LiveScreen"]

EVERY = 0.1  # seconds between two drawings
WINDOW = 50  # drawings that the rate is taken over
OLDEST = 3  # how many of the running events are named


class LiveScreen:
    """Draws on the terminal of standard error, and the table of the end on standard output.

    Args:
        statistics: The statistics; they are read at each refresh.
        title: The name of the target.
        read: Set when all lines have been read, so that the total is known.
        meanwhile: The text until then.
    """

    def __init__(
        self,
        statistics: Statistics,
        title: str,
        read: asyncio.Event,
        meanwhile: str = "reading the input",
    ) -> None:
        self._statistics = statistics
        self._title = title
        self._read = read
        self._meanwhile = meanwhile
        self._console = Console(stderr=True, highlight=False)
        self._end = Console(highlight=False)
        self._live = Live(
            console=self._console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=self._end.is_terminal,  # else it is a file's, and no line of ours
        )
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self._marks: deque[tuple[float, int]] = deque(maxlen=WINDOW)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    async def show(self) -> None:
        """Refresh ten times a second until cancelled."""
        while True:
            done = self._statistics.settled - self._statistics.earlier
            self._marks.append((self._loop.time(), done))
            self._live.update(self._draw(), refresh=True)
            await asyncio.sleep(EVERY)

    def note(self, text: str) -> None:
        """Print one line above the display."""
        self._console.print(Text(text), soft_wrap=True)

    def finish(self, summary: Summary) -> None:
        """Print the table of the end; as plain text, if that goes to no terminal."""
        if not self._end.is_terminal:
            tell(summary.plain())
            return
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim")
        for i, heading in enumerate(HEADINGS):
            table.add_column(heading, justify="left" if i == 0 else "right")
        for row in summary.rows:
            table.add_row(Text(row[0], STYLES.get(row[0], "")), *row[1:])
        self._end.print(Text(self._title, "bold"), Text(summary.headline), sep="  ")
        if summary.rows:
            self._end.print("", table, "", sep="\n")
        for note in (*summary.wrong, *summary.notes):
            self._end.print(Text(note), soft_wrap=True)

    # ------------------------------------------------------------------- one drawing

    def _draw(self) -> Group:
        """The whole display; always of the same height, so that it does not jump."""
        return Group(self._bar(), self._pace(), self._counts(), *self._oldest())

    def _bar(self) -> Table:
        statistics = self._statistics
        known = self._read.is_set()
        total, settled = statistics.total, statistics.settled
        share = f"{settled * 100 // total}%" if known and total else ""
        grid = Table.grid(expand=True, padding=(0, 1))
        grid.add_column(no_wrap=True)
        grid.add_column(ratio=1)
        grid.add_column(justify="right", no_wrap=True)
        bar = ProgressBar(total=total if known else None, completed=settled, pulse=not known)
        name = self._title.rpartition(":")[2]
        count = f"{share:>4}  {settled:,} of {total:,}{'' if known else '+'}"
        grid.add_row(Text(shorten(name, self._console.width // 3), "bold"), bar, count)
        return grid

    def _pace(self) -> Text:
        statistics, now = self._statistics, self._loop.time()
        parts = [f"elapsed {clock(now - self._start)}"]
        then, before = self._marks[0]
        done = statistics.settled - statistics.earlier
        speed = (done - before) / (now - then) if now > then else 0.0
        if speed > 0:
            parts.insert(0, rate(speed))
            if self._read.is_set():
                parts.append(
                    f"ETA {clock(math.ceil((statistics.total - statistics.settled) / speed))}"
                )
        if not self._read.is_set():
            parts.append(self._meanwhile)
        if statistics.earlier:
            parts.append(f"{statistics.earlier:,} ended before")
        return Text(" · ".join(parts), "dim")

    def _counts(self) -> Text:
        text = Text()
        for status, number in self._statistics.counts.items():
            if number or status in (EventStatus.PENDING, EventStatus.PROCESSING):
                text.append(f"{status.value} {number:,}  ", STYLES[status.value])
        return text

    def _oldest(self) -> list[Text]:
        """The events that have run the longest, padded with empty lines."""
        now = self._loop.time()
        lines = [Text("running the longest" if self._statistics.running else "", "dim")]
        for started, event in self._statistics.oldest(OLDEST):
            number = self._statistics.line_of(event)
            where = "" if number is None else f"line {number}"
            text = f"{duration(now - started):>9}  {where:<12} "
            room = max(20, self._console.width - len(text) - 1)
            name, state = label(event), event.execution
            far = how_far(state.progress, len(state.chunks))
            far = shorten(far, max(room // 2, room - len(name) - 2))
            name = shorten(name, room - len(far) - 2 if far else room)
            lines.append(Text(f"{text}{name}{'  ' if name and far else ''}{far}", no_wrap=True))
        return lines + [Text("")] * (OLDEST + 1 - len(lines))
