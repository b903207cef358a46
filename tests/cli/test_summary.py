"""The words at the end of a run."""

from array import array

from lionpride.cli.output.statistics import FIRST_FAILURES, Failure, Statistics
from lionpride.cli.output.summary import summarize
from lionpride.core import EventStatus


def tally_of(**counts):
    statistics = Statistics({})
    statistics.counts.update({EventStatus(name): number for name, number in counts.items()})
    return statistics


def words(statistics, seconds=2.0, bad=0, read_to=None, files=None):
    return summarize(statistics, seconds, bad=bad, read_to=read_to, files=files or {}).plain()


async def test_counts_shares_and_times_stand_in_columns():
    statistics = tally_of(completed=3, failed=1)
    statistics.durations[EventStatus.COMPLETED] = array("d", [0.3, 0.1, 0.2])
    head, columns, completed, failed = words(statistics).splitlines()
    assert head == "4 events in 2.00 s, 2.0/s"
    assert columns.split() == ["status", "events", "share", "run", "p50", "run", "p95", "longest"]
    assert completed.split() == ["completed", "3", "75.0%", "200", "ms", "300", "ms", "300", "ms"]
    assert failed.split() == ["failed", "1", "25.0%"]


async def test_what_is_left_and_what_was_not_read_is_said(snapshot):
    text = words(tally_of(completed=1, pending=5, processing=1), bad=2, read_to=9)
    assert text == snapshot


async def test_the_first_failures_are_named_and_the_others_counted(snapshot):
    statistics = tally_of(failed=FIRST_FAILURES + 2)
    statistics.failures = [Failure(3, "a.png", "failed", "ValueError: no")] * FIRST_FAILURES
    text = words(statistics)
    assert text.count("line 3 failed") == FIRST_FAILURES
    assert text == snapshot


async def test_files_are_named():
    text = words(tally_of(completed=1), files={"results": "r.jsonl", "timeline": "run.svg"})
    assert text.splitlines()[-2:] == ["results   r.jsonl", "timeline  run.svg"]


async def test_nothing_at_all_makes_one_line():
    assert words(tally_of()) == "0 events in 2.00 s"


async def test_what_ended_before_is_told_apart_from_what_this_run_did(snapshot):
    statistics = tally_of(completed=5, failed=1, pending=2)
    statistics.earlier, statistics.others, statistics.others_failed = 4, 3, 1
    text = words(statistics, files={"store": "run.db"})
    assert text == snapshot
