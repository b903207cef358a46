"""What ``lionpride top`` draws, as a snapshot: 80 columns, 24 lines."""

from typing import Any
from uuid import UUID

from rich.console import Console

from lionpride.cli.output.dashboard import Choice, Dashboard, sparkline
from lionpride.core import EventStatus
from lionpride.stores.inspector import LimitUsage, RunningEvent, WorkerRecord
from lionpride.stores.record import Record
from lionpride.view.overview import Overview

S = EventStatus
NOW = 1_800_000_000.0


def record(number: int, status: S, **state: Any) -> Record:
    ended = state.pop("ended", None)
    progress = state.pop("progress", None)
    chunks = state.pop("chunks", 0)
    return Record(
        number=number,
        id=UUID(int=number),
        queue="pages",
        kind="crawler.FetchPage",
        status=status,
        priority=0.0,
        due=None,
        attempt=1,
        tries=1,
        denials=0,
        interruptions=0,
        payload={"execution": state},
        ended=ended,
        progress=progress,
        chunks=chunks,
    )


def overview() -> Overview:
    counts = dict.fromkeys(S, 0) | {S.PENDING: 1_204, S.PROCESSING: 3, S.COMPLETED: 987_654}
    counts |= {S.FAILED: 12, S.SKIPPED: 40}
    error = {
        "error": "ConnectionError",
        "message": "shop.example.net did\nnot answer \x1b[31min 10 s",
    }
    worker = WorkerRecord("w1", "pages", "vm", 7, NOW - 60, NOW, 0.0, alive=True, held=())
    return Overview(
        at=NOW,
        counts=counts,
        rate=41.7,
        ended=[{S.COMPLETED: n % 9, S.FAILED: n % 4 == 3} for n in range(90)],
        waited=(0.42, 1.5),
        ran=(1.24, 9.1),
        runs=[
            RunningEvent(
                record(31, S.PROCESSING, progress=(0.4, "part 4 of 10")), "w1", NOW - 65.0
            ),
            RunningEvent(record(33, S.PROCESSING, chunks=12), "w1", NOW - 3.2),
            RunningEvent(record(34, S.PROCESSING), "w1", None),
        ],
        failures=[
            record(n, S.FAILED, error=error, ended=NOW - 5.0 * (30 - n)) for n in (29, 28, 27)
        ],
        workers=[worker, WorkerRecord("w0", "pages", "vm", 6, 0, 0, 9e9, alive=False, held=())],
        usage=[
            LimitUsage("slots", 3, 12, None),
            LimitUsage("requests", 58.0, 60.0, 10.0),
            LimitUsage("unheard", 2.0, None, None),
        ],
    )


def drawn(board: Dashboard, width: int = 80, height: int = 24) -> str:
    console = Console(width=width, height=height, force_terminal=False, legacy_windows=False)
    with console.capture() as captured:
        console.print(board, height=height)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


SNAPSHOT = """\
lionpride top  crawler.db   1 worker, 1 gone
     1,204              3      987,654       12            0         40        0
   pending     processing    completed   failed    cancelled    skipped  aborted
throughput    41.7/s over 1 min   ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█ ▁▂▃▄▅▆▇█
failed            22 in 15 min     █   █   █   █   █   █   █   █   █   █   █
queue wait 420 ms / 1.50 s   duration 1.24 s / 9.10 s   p50 / p95
slots ━━━━━━━━━━━━━━━━━━━━━━━━━━ 3/12   requests ━━━━━━━━━━━━━━ 58/60 in 10 s
unheard  2
Running 3 ──────────────────────────────────────────────────────────────────────
FetchPage 31               40% part 4 of 10                            1 min 5 s
FetchPage 33               12 chunks                                      3.20 s
FetchPage 34
Latest failures ────────────────────────────────────────────────────────────────
FetchPage 29               ConnectionError: shop.example.net did not… 5.00 s ago
FetchPage 28               ConnectionError: shop.example.net did not… 10.0 s ago
FetchPage 27               ConnectionError: shop.example.net did not… 15.0 s ago







↑↓ tab choose   c cancel   r retry   R retry all failed   q quit"""


def test_it_is_readable_at_80_by_24() -> None:
    assert drawn(Dashboard("crawler.db", overview())) == SNAPSHOT


def test_it_fits_whatever_the_terminal_is() -> None:
    for width, height in ((40, 12), (60, 20), (80, 24), (200, 60)):
        lines = drawn(Dashboard("a" * 300, overview()), width, height).splitlines()
        assert len(lines) <= height
        assert max(map(len, lines)) <= width


def test_a_question_stands_below_until_it_is_answered() -> None:
    last = drawn(Dashboard("x", overview(), Choice(asks="Retry event 3?"))).splitlines()[-1]
    assert last == "Retry event 3?  y yes   n no"
    last = drawn(Dashboard("x", overview(), Choice(says="event 3: retried"))).splitlines()[-1]
    assert last == "event 3: retried"
    assert "p pause" in drawn(Dashboard("x", overview(), Choice(paused=False)), 120)
    assert "PAUSED" in drawn(Dashboard("x", overview(), Choice(paused=True)), 120)


def test_the_chosen_line_is_always_in_sight() -> None:
    few = drawn(Dashboard("x", overview(), Choice("failures", 2)), 80, 17)
    assert "FetchPage 27" in few


def test_a_sparkline_shows_the_last_values_and_no_nothing_as_something() -> None:
    assert sparkline([0, 1, 8, 4], 10) == " ▁█▄"
    assert sparkline([9, 0, 0.001, 8], 3) == " ▁█"
    assert sparkline([0, 0], 5) == "  "
    assert sparkline([], 5) == ""
