"""What is said at the end of a run: one line, a table of statuses, and what to look at next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .chart import percentile
from .tally import FIRST_FAILURES, Failure, Tally
from .text import duration, plural, rate, shorten

__all__ = ["HEADINGS", "Summary", "summarize"]

HEADINGS = ("status", "events", "share", "run p50", "run p95", "longest")

Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """The end of a run in words: a headline, table rows under `HEADINGS`, and notes."""

    headline: str
    rows: Sequence[Row]
    notes: Sequence[str]

    def plain(self) -> str:
        """The whole as text, for a file, a pipe or a log."""
        table = [HEADINGS, *self.rows] if self.rows else []
        widths = [max(len(row[i]) for row in table) for i in range(len(HEADINGS) if table else 0)]
        lines = [
            "  ".join(
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in table
        ]
        return "\n".join([self.headline, *lines, *self.notes])


def summarize(
    tally: Tally,
    seconds: float,
    *,
    bad: int,
    read_to: int | None,
    files: Mapping[str, str],
) -> Summary:
    """Sum up a run.

    Args:
        tally: What was counted.
        seconds: How long it took.
        bad: How many lines were refused.
        read_to: The last line that was read, if that was not the end of the input.
        files: What was written, by what it is.
    """
    settled = tally.settled
    pace = f", {rate(settled / seconds)}" if settled and seconds > 0 else ""
    headline = f"{plural(settled, 'event')} in {duration(seconds)}{pace}"
    if settled < tally.total:
        headline += f"; {tally.total - settled:,} left"
    rows = [_row(tally, status.value, number) for status, number in tally.counts.items() if number]
    notes = []
    if read_to is not None:
        notes.append(f"the input was read up to line {read_to:,}, not to its end")
    if bad:
        notes.append(f"{plural(bad, 'bad line')}, named above: not run")
    notes += [_failure(failure) for failure in tally.failures]
    if tally.failed > FIRST_FAILURES:
        notes.append(f"…and {tally.failed - FIRST_FAILURES:,} more that did not complete")
    notes += [f"{name.ljust(8)}  {path}" for name, path in files.items()]
    return Summary(headline, rows, notes)


def _failure(failure: Failure) -> str:
    """One event that did not complete: its line, how it ended, why, and what it was."""
    where = f"line {failure.line} " if failure.line else ""
    why = f": {shorten(failure.error, 120)}" if failure.error else ""
    what = f"  ({shorten(failure.label, 40)})" if failure.label else ""
    return f"{where}{failure.status}{why}{what}"


def _row(tally: Tally, status: str, number: int) -> Row:
    times = sorted(next((v for k, v in tally.durations.items() if k.value == status), ()))
    cells = ["", "", ""]
    if times:
        cells = [duration(t) for t in (percentile(times, 0.5), percentile(times, 0.95), times[-1])]
    return (status, f"{number:,}", f"{number / tally.total:.1%}", *cells)
