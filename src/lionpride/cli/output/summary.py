"""The summary of a run: one line, a table of statuses, and hints for the next step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...drawing.chart import percentile
from ...drawing.text import columns, duration, plural, rate, shorten
from .statistics import FIRST_FAILURES, Failure, Statistics

__all__ = ["HEADINGS", "Summary", "summarize"]

HEADINGS = ("status", "events", "share", "run p50", "run p95", "longest")

Row = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """The end of a run in words: a headline, table rows under `HEADINGS`, and notes.

    ``wrong`` are notes about errors that have not been reported yet.
    """

    headline: str
    rows: Sequence[Row]
    notes: Sequence[str]
    wrong: Sequence[str] = ()

    def plain(self) -> str:
        """Return the summary as text, for a file, a pipe or a log."""
        table = columns([HEADINGS, *self.rows], range(1, len(HEADINGS))) if self.rows else []
        return "\n".join([self.headline, *table, *self.wrong, *self.notes])


def summarize(
    statistics: Statistics,
    seconds: float,
    *,
    bad: int,
    twice: int = 0,
    read_to: int | None,
    files: Mapping[str, str],
    broken: bool = False,
) -> Summary:
    """Sum up a run.

    Args:
        statistics: What was counted.
        seconds: How long it took.
        bad: How many lines were refused.
        twice: How many were there already, by their ``unique`` value.
        read_to: The last line that was read, if that was not the end of the input.
        files: What was written, by what it is.
        broken: True if something other than the events went wrong, as when the store was removed.
    """
    settled = statistics.settled - statistics.earlier
    left = statistics.total - statistics.settled
    pace = f", {rate(settled / seconds)}" if settled > 0 and seconds > 0 else ""
    headline = f"{plural(settled, 'event')} in {duration(seconds)}{pace}"
    if statistics.earlier:
        headline += f"; {statistics.earlier:,} had finished before"
    if left:
        headline += f"; {left:,} left"
    counts = statistics.counts.items()
    rows = [_row(statistics, status.value, number) for status, number in counts if number]
    wrong, notes = [], []
    if read_to is not None:
        wrong.append(f"the input was read up to line {read_to:,}, not to its end")
    if bad:
        notes.append(f"{plural(bad, 'bad line')}, named above: not run")
    if statistics.by_hand:
        notes.append(f"{plural(statistics.by_hand, 'event')} cancelled by hand")
    if twice:
        notes.append(f"{plural(twice, 'line')} had the unique value of an existing event: not run")
    wrong += [_failure(failure) for failure in statistics.failures]
    if statistics.failures and statistics.failed > FIRST_FAILURES:
        wrong.append(f"…and {statistics.failed - FIRST_FAILURES:,} more that did not complete")
    if statistics.others:
        others_failed = statistics.others_failed
        failed = f", and {others_failed:,} of them failed" if others_failed else ""
        (wrong if failed else notes).append(
            f"{plural(statistics.others, 'event')} of the queue that are not in the input ran "
            f"too{failed}"
        )
    if left and "store" in files and not broken:  # the events may be gone with the store
        notes.append("the same command runs the rest")
    notes += [f"{name.ljust(8)}  {path}" for name, path in files.items()]
    return Summary(headline, rows, notes, wrong)


def _failure(failure: Failure) -> str:
    """One event that did not complete: its line, how it ended, why, and what it was."""
    where = f"line {failure.line} " if failure.line else ""
    why = f": {shorten(failure.error, 120)}" if failure.error else ""
    what = f"  ({shorten(failure.label, 40)})" if failure.label else ""
    return f"{where}{failure.status}{why}{what}"


def _row(statistics: Statistics, status: str, number: int) -> Row:
    times = sorted(next((v for k, v in statistics.durations.items() if k.value == status), ()))
    cells = ["", "", ""]
    if times:
        cells = [duration(t) for t in (percentile(times, 0.5), percentile(times, 0.95), times[-1])]
    return (status, f"{number:,}", f"{number / statistics.total:.1%}", *cells)
