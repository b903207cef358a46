"""The live display on a made-up terminal: what each drawing says, and what stays at the end."""

import asyncio
import io
import re
import sys

import pytest
from cli.steps import COMPLETED, FAILED, PENDING, PROCESSING, Steps, Thing

from lionpride.cli.output.statistics import Statistics
from lionpride.cli.output.summary import Summary
from lionpride.core import EventStatus
from lionpride.model.progress import Live

progress = pytest.importorskip("lionpride.cli.output.live_screen")

WIDTH, HEIGHT = 60, 7
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
END = Summary(
    "3 events in 1.00 s", [("completed", "3", "100.0%", "1 ms", "2 ms", "3 ms")], ["note"]
)


class Terminal(io.StringIO):
    """Keeps what is written, and what was written at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.writes.append(text)
        return super().write(text)

    def drawing(self) -> list[str]:
        """The lines of the newest drawing of the display."""
        text = next(text for text in reversed(self.writes) if "elapsed" in text)
        return [line.rstrip() for line in CONTROL.sub("", text).split("\n")]


@pytest.fixture
def terminal(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    monkeypatch.setenv("LINES", "24")
    before = sys.stdout, sys.stderr
    yield Terminal()
    sys.stdout, sys.stderr = before


class Watched:
    """A display of a run whose steps the test makes up."""

    def __init__(self, terminal: Terminal, out: io.StringIO | None = None) -> None:
        sys.stderr, sys.stdout = terminal, out or terminal  # until pytest takes them back
        self.lines: dict = {}
        self.statistics = Statistics(self.lines)
        self.read = asyncio.Event()
        self.screen = progress.LiveScreen(self.statistics, "some/job.py:Work", self.read)

    def step(self, event, *statuses) -> None:
        steps = Steps(self.statistics)
        steps.at = asyncio.get_running_loop().time()
        steps(event, *statuses)

    async def __aenter__(self):
        self.screen.__enter__()
        self.task = asyncio.create_task(self.screen.show())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *error):
        self.task.cancel()
        await asyncio.wait([self.task])
        assert self.task.cancelled()
        self.screen.__exit__(None, None, None)


@pytest.mark.virtual
async def test_the_bar_tells_how_far_how_fast_and_how_long_yet(terminal):
    async with Watched(terminal) as run:
        things = [Thing(name=f"thing {i}") for i in range(40)]
        for thing in things:
            run.step(thing, None, PENDING)
        run.read.set()
        for thing in things[:10]:
            run.step(thing, PENDING, PROCESSING, COMPLETED)
            await asyncio.sleep(0.2)
        bar, pace, counts, *_ = terminal.drawing()
        assert bar.startswith("Work ")
        assert bar.endswith(" 25%  10 of 40")
        assert re.fullmatch(r"5\.\d/s · elapsed 0:0[12] · ETA 0:06", pace)
        assert counts == "pending 30  processing 0  completed 10"


@pytest.mark.virtual
async def test_while_lines_are_read_the_total_is_open(terminal):
    async with Watched(terminal) as run:
        run.step(Thing(), None, PENDING, PROCESSING, COMPLETED)
        run.step(Thing(), None, PENDING)
        await asyncio.sleep(1)
        bar, pace, *_ = terminal.drawing()
        assert bar.endswith(" 1 of 2+")
        assert "%" not in bar
        assert "ETA" not in pace
        assert pace.endswith("reading the input")


@pytest.mark.virtual
async def test_what_runs_the_longest_is_named_with_its_line(terminal):
    async with Watched(terminal) as run:
        for number, name in enumerate(["first", "x" * 100, "[bold]third[/]", "fourth"], 11):
            thing = Thing(name=name)
            run.lines[thing.id] = number
            run.step(thing, None, PENDING, PROCESSING)
            await asyncio.sleep(1)
        *_, heading, first, second, third = terminal.drawing()[:HEIGHT]
        assert heading == "running the longest"
        assert re.fullmatch(r" +[23]\.\d+ s  line 11 +first", first)
        assert "line 12" in second
        assert "…" in second
        assert "[bold]third[/]" in third
        assert "fourth" not in "".join(terminal.drawing())


@pytest.mark.virtual
async def test_what_runs_says_how_far_it_is_and_what_it_has_yielded(terminal):
    async with Watched(terminal) as run:
        paging, streaming, both = (
            Thing(name="paging"),
            Thing(name="streaming"),
            Thing(name="z" * 99),
        )
        for thing in (paging, streaming, both):
            run.step(thing, None, PENDING, PROCESSING)
            thing.status = PROCESSING
            await asyncio.sleep(0.2)
        paging.progress(0.4, "page 4\nof \x1b[31m10")
        Live.of(streaming.__dict__).begin(0, ["a"] * 1234)
        Live.of(both.__dict__).begin(0, ["a"])
        both.progress(note="n" * 99)
        await asyncio.sleep(0.2)
        *_, first, second, third = terminal.drawing()[:HEIGHT]
        assert first.endswith("  paging  40% page 4 of [31m10")
        assert second.endswith("  streaming  1,234 chunks")
        assert re.search(r" z+…z+  n+…n+ 1 chunk$", third)
        assert len(third) <= WIDTH


@pytest.mark.virtual
async def test_an_event_that_never_came_with_the_input_is_shown_without_a_line(terminal):
    async with Watched(terminal) as run:
        run.step(Thing(name="stranger"), None, PENDING, PROCESSING)
        await asyncio.sleep(1)
        assert "stranger" in terminal.drawing()[4]
        assert "line" not in terminal.drawing()[4]


@pytest.mark.virtual
async def test_every_drawing_has_the_same_height_and_fits(terminal):
    async with Watched(terminal) as run:
        heights, things = set(), [Thing(name="y" * 300) for _ in range(6)]
        for thing in things:
            run.step(thing, None, PENDING, PROCESSING)
            await asyncio.sleep(0.3)
            heights.add(len(terminal.drawing()))
        for thing in things:
            run.step(thing, PROCESSING, FAILED)
            await asyncio.sleep(0.3)
            heights.add(len(terminal.drawing()))
        assert heights == {HEIGHT}
        assert all(len(line) <= WIDTH for line in terminal.drawing())
        assert "failed 6" in terminal.drawing()[2]


@pytest.mark.virtual
async def test_the_display_is_taken_down_and_the_cursor_comes_back(terminal):
    async with Watched(terminal) as run:
        run.step(Thing(), None, PENDING)
        await asyncio.sleep(1)
    text = terminal.getvalue()
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert text.rindex("\x1b[2K") > text.rindex("elapsed")


async def test_a_note_is_one_line_whatever_is_in_it(terminal):
    note = "line 3: [red]x[/] " + "long " * 40
    with Watched(terminal).screen as screen:
        screen.note(note)
    assert note in CONTROL.sub("", terminal.getvalue())


async def test_the_end_is_a_table(terminal, snapshot):
    Watched(terminal).screen.finish(END)
    lines = [line.rstrip() for line in CONTROL.sub("", terminal.getvalue()).splitlines()]
    assert "\n".join(lines) == snapshot


async def test_a_run_of_nothing_has_no_table(terminal, snapshot):
    Watched(terminal).screen.finish(Summary("0 events in 1.00 s", [], []))
    assert CONTROL.sub("", terminal.getvalue()) == snapshot


async def test_the_end_is_plain_where_standard_output_is_no_terminal(terminal):
    out = io.StringIO()
    Watched(terminal, out).screen.finish(END)
    assert out.getvalue() == END.plain() + "\n"
    assert terminal.getvalue() == ""


@pytest.mark.virtual
async def test_what_events_print_into_a_file_stays_out_of_the_display(terminal):
    out = io.StringIO()
    async with Watched(terminal, out):
        print("printed")
        await asyncio.sleep(1)
        assert out.getvalue() == "printed\n"
    assert "printed" not in terminal.getvalue()


def test_every_status_has_its_style():
    assert set(progress.STYLES) == {status.value for status in EventStatus}
