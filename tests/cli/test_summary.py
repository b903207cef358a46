"""The words at the end of a run."""

from array import array

from lionpride.cli.summary import summarize
from lionpride.cli.tally import FIRST_FAILURES, Failure, Tally
from lionpride.core import EventStatus


def tally_of(**counts):
    tally = Tally({})
    tally.counts.update({EventStatus(name): number for name, number in counts.items()})
    return tally


def words(tally, seconds=2.0, bad=0, read_to=None, files=None):
    return summarize(tally, seconds, bad=bad, read_to=read_to, files=files or {}).plain()


async def test_counts_shares_and_times_stand_in_columns():
    tally = tally_of(completed=3, failed=1)
    tally.durations[EventStatus.COMPLETED] = array("d", [0.3, 0.1, 0.2])
    head, columns, completed, failed = words(tally).splitlines()
    assert head == "4 events in 2.00 s, 2.0/s"
    assert columns.split() == ["status", "events", "share", "run", "p50", "run", "p95", "longest"]
    assert completed.split() == ["completed", "3", "75.0%", "200", "ms", "300", "ms", "300", "ms"]
    assert failed.split() == ["failed", "1", "25.0%"]


async def test_what_is_left_and_what_was_not_read_is_said(snapshot):
    text = words(tally_of(completed=1, pending=5, processing=1), bad=2, read_to=9)
    assert text == snapshot


async def test_the_first_failures_are_named_and_the_others_counted(snapshot):
    tally = tally_of(failed=FIRST_FAILURES + 2)
    tally.failures = [Failure(3, "a.png", "failed", "ValueError: no")] * FIRST_FAILURES
    text = words(tally)
    assert text.count("line 3 failed") == FIRST_FAILURES
    assert text == snapshot


async def test_files_are_named():
    text = words(tally_of(completed=1), files={"results": "r.jsonl", "timeline": "run.svg"})
    assert text.splitlines()[-2:] == ["results   r.jsonl", "timeline  run.svg"]


async def test_nothing_at_all_makes_one_line():
    assert words(tally_of()) == "0 events in 2.00 s"


async def test_what_ended_before_is_told_apart_from_what_this_run_did(snapshot):
    tally = tally_of(completed=5, failed=1, pending=2)
    tally.earlier, tally.others, tally.others_failed = 4, 3, 1
    text = words(tally, files={"store": "run.db"})
    assert text == snapshot
