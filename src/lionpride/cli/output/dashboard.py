"""The display of ``lionpride top``: the state of a store in the size of the terminal.

It needs rich, the extra `[cli]`. It makes no queries: the same overview has the same display.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from ...core import EventStatus
from ...drawing.text import duration, how_far, number, one_line, rate, shorten, wait
from ...stores.inspector import LimitUsage, RunningEvent
from ...stores.record import Record
from ...view.overview import Overview
from ...view.records import error_of
from ...view.redact import label_of
from .table import STYLES

__all__ = ["Choice", "Dashboard", "sparkline"]

BARS = " ▁▂▃▄▅▆▇█"
HEAD = 6  # lines above the two lists
LISTS = 6  # lines that they have at least, if there is room for anything else
FOOT = 1  # lines below


@dataclass(frozen=True, slots=True)
class Choice:
    """The selection that the user has made with the keys.

    Attributes:
        list: "running" or "failures".
        index: The selected line.
        asks: The question that is to be answered; empty for none.
        says: The message about the last action.
        paused: True if the store is paused; None if it cannot be paused.
    """

    list: str = "running"
    index: int = 0
    asks: str = ""
    says: str = ""
    paused: bool | None = None


@dataclass(frozen=True, slots=True)
class Dashboard:
    """The display of one overview.

    Args:
        name: The name of the store.
        overview: The state of the store.
        choice: The selection of the user.
    """

    name: str
    overview: Overview
    choice: Choice = Choice()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = options.max_width, options.height or options.size.height
        gauges = min(_gauge_lines(self.overview.usage, width), max(0, height - HEAD - FOOT - LISTS))
        room = max(2, height - HEAD - FOOT - gauges)
        running = min(max(1, room // 2), 1 + max(1, len(self.overview.runs)))
        yield Group(
            self._title(width),
            *self._counts(width),
            *self._gauges(width, gauges),
            self._running(width, running),
            self._failures(width, room - running),
            self._foot(width),
        )

    # -- the head ----------------------------------------------------------------------------

    def _title(self, width: int) -> Text:
        overview = self.overview
        alive = [one for one in overview.workers if one.alive]
        gone = len(overview.workers) - len(alive)
        machines = len({one.host for one in alive})
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append("lionpride top  ", "bold")
        text.append(shorten(self.name, max(12, width // 3)))
        words = f"{len(alive)} worker{'' if len(alive) == 1 else 's'}"
        if machines > 1:
            words += f" on {machines} machines"
        text.append(f"   {words}", "" if alive else "bold yellow")
        if gone:
            text.append(f", {gone} gone", "bold red")
        if self.choice.paused:
            text.append("   PAUSED", "bold yellow")
        return text

    def _counts(self, width: int) -> Iterator[RenderableType]:
        """The counts in one line, and how fast they go in two more."""
        overview = self.overview
        table = Table.grid(padding=(0, 1), expand=True)
        for _ in EventStatus:
            table.add_column(justify="right", no_wrap=True)
        style = {status: STYLES[status.value] for status in EventStatus}
        table.add_row(*(Text(f"{overview.counts[s]:,}", f"{style[s]} bold") for s in EventStatus))
        table.add_row(*(Text(s.value, style[s]) for s in EventStatus))
        yield table
        span = max(10, width - 36)
        well = [sum(one.values()) - _failed(one) for one in overview.ended]
        badly = [_failed(one) for one in overview.ended]
        line = Text(no_wrap=True, overflow="crop")
        line.append("throughput ", "dim").append(f"{rate(overview.rate):>9}", "bold")
        line.append(" over 1 min   ", "dim")
        line.append(sparkline(well, span), "green")
        yield line
        line = Text(no_wrap=True, overflow="crop")
        line.append("failed     ", "dim")
        line.append(f"{sum(badly):>9,}", "bold red" if sum(badly) else "")
        line.append(" in 15 min    ", "dim")
        line.append(sparkline(badly, span), "red")
        yield line
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append("queue wait ", "dim").append(_two(overview.waited))
        line.append("   duration ", "dim").append(_two(overview.ran))
        line.append("   p50 / p95", "dim")
        yield line

    def _gauges(self, width: int, lines: int) -> Iterator[RenderableType]:
        usage = self.overview.usage
        if not lines:
            return
        columns = _gauge_columns(width)
        table = Table.grid(padding=(0, 2), expand=True)
        for _ in range(columns):
            table.add_column(ratio=1, no_wrap=True)
        cells = [_gauge(one, (width - 2 * columns) // columns) for one in usage[: lines * columns]]
        cells += [Text()] * (-len(cells) % columns)
        for first in range(0, len(cells), columns):
            table.add_row(*cells[first : first + columns])
        yield table

    # -- the lists ---------------------------------------------------------------------------

    def _running(self, width: int, lines: int) -> RenderableType:
        runs = self.overview.runs
        more = self.overview.counts[EventStatus.PROCESSING]
        return self._list(
            "running", f"Running {more:,}", [self._run(one) for one in runs], lines, width
        )

    def _run(self, one: RunningEvent) -> tuple[Text, Text, Text]:
        record = one.record
        age = "" if one.since is None else duration(max(0.0, self.overview.at - one.since))
        far = Text(one_line(how_far(record.progress, record.chunks)), "cyan")
        return _name(record), far, Text(age, "dim")

    def _failures(self, width: int, lines: int) -> RenderableType:
        rows = []
        for record in self.overview.failures:
            at = record.ended
            age = "" if at is None else f"{duration(max(0.0, self.overview.at - at))} ago"
            error = Text(
                one_line(error_of(record)) or record.status.value, STYLES[record.status.value]
            )
            rows.append((_name(record), error, Text(age, "dim")))
        return self._list("failures", "Latest failures", rows, lines, width)

    def _list(
        self, name: str, title: str, rows: Sequence[tuple[Text, Text, Text]], lines: int, width: int
    ) -> RenderableType:
        """A heading, and as many rows as there is room for, the chosen one among them."""
        here = self.choice.list == name
        heading = Text(no_wrap=True).append(title, "bold reverse" if here else "bold")
        heading.append(" " + "─" * max(0, width - len(title) - 1), "dim")
        room = max(0, lines - 1)
        index = min(self.choice.index, len(rows) - 1) if here else -1
        first = max(0, index - room + 1)
        table = Table.grid(padding=(0, 1), expand=True)
        table.add_column(no_wrap=True, overflow="ellipsis", width=min(28, width // 3))
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        table.add_column(no_wrap=True, justify="right")
        for i, row in enumerate(rows[first : first + room], first):
            table.add_row(*row, style="reverse" if i == index else "")
        for _ in range(room - max(1, min(room, len(rows) - first))):
            table.add_row("")
        if not rows and room:
            table.add_row(Text("nothing", "dim"))
        return Group(heading, table)

    def _foot(self, width: int) -> Text:
        choice = self.choice
        if choice.asks:
            return Text(f"{choice.asks}  y yes   n no", "bold yellow", no_wrap=True)
        if choice.says:
            return Text(shorten(choice.says, width - 1), "bold", no_wrap=True)
        keys = [("↑↓ tab", "choose"), ("c", "cancel"), ("r", "retry"), ("R", "retry all failed")]
        if choice.paused is not None:
            keys.append(("p", "resume" if choice.paused else "pause"))
        text = Text(no_wrap=True, overflow="ellipsis")
        for key, words in [*keys, ("q", "quit")]:
            text.append(key, "bold").append(f" {words}   ", "dim")
        return text


def sparkline(values: Sequence[float], width: int) -> str:
    """The last values as bars, one a character, each as high as its share of the highest."""
    shown = list(values)[-width:]
    most = max(shown, default=0)
    if not most:
        return " " * len(shown)
    top = len(BARS) - 1
    return "".join(BARS[0 if not value else max(1, round(value / most * top))] for value in shown)


def _failed(ended: dict[EventStatus, int]) -> int:
    return ended.get(EventStatus.FAILED, 0) + ended.get(EventStatus.ABORTED, 0)


def _two(values: tuple[float, ...] | None) -> Text:
    return Text("–" if values is None else " / ".join(map(duration, values)), "bold")


def _name(record: Record) -> Text:
    return Text(label_of(record) or one_line(f"{record.kind.rpartition('.')[2]} {record.number}"))


def _gauge_columns(width: int) -> int:
    return max(1, min(4, width // 38))


def _gauge_lines(usage: Sequence[LimitUsage], width: int) -> int:
    return min(3, -(-len(usage) // _gauge_columns(width)))


def _gauge(one: LimitUsage, width: int) -> Text:
    """A name, a bar, and how much."""
    of = "" if one.amount is None else f"/{number(one.amount)}"
    span = "" if one.per is None else f" in {wait(one.per)}"
    words = f"{number(one.used)}{of}{span}"
    name = shorten(one.name, max(8, width - len(words) - 10))
    share = min(1.0, one.used / one.amount) if one.amount else 0.0
    room = max(3, width - len(words) - len(name) - 3)
    full = round(share * room)
    text = Text(f"{name} ", no_wrap=True)
    if one.amount is not None:
        text.append("━" * full, "yellow" if share >= 0.9 else "green")
        text.append("━" * (room - full), "bright_black")
    return text.append(f" {words}", "dim")
