"""The log: a line a step at DEBUG, failures at WARNING, and nothing is configured."""

import logging
import subprocess
import sys
from typing import Any

import pytest
from engine.kit import Job, answers, desk, raises, sleeps

from lionpride.core import EventStatus, Retry, Skip

pytestmark = pytest.mark.virtual

NAME = "lionpride.events"


def lines(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == NAME]


async def test_each_step_is_one_line_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, NAME)
    executor = desk()
    job = await executor.append(Job(do=sleeps(2)))
    await executor.forward()
    name = f"Job {job.id}"
    assert [record.getMessage() for record in lines(caplog)] == [
        f"{name} pending",
        f"{name} pending -> processing, attempt 1, waited 0.000 s",
        f"{name} processing -> completed, attempt 1, waited 0.000 s, took 2.000 s",
    ]
    assert {record.levelno for record in lines(caplog)} == {logging.DEBUG}


async def test_what_a_line_says_is_there_as_fields(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, NAME)
    executor = desk(concurrency_limit=1)
    first = await executor.append(Job(do=sleeps(3)))
    second = await executor.append(Job(do=raises(ValueError("no\nluck"))))
    await executor.forward()
    record: Any = lines(caplog)[-1]
    assert first.status is EventStatus.COMPLETED
    assert record.levelno == logging.WARNING
    assert record.event_id == str(second.id)
    assert record.event_class == "engine.kit.Job"
    assert record.queue == executor.store.queue
    assert (record.previous, record.status, record.attempt) == ("processing", "failed", 1)
    assert (record.queue_wait, record.duration) == (3.0, 0.0)
    assert record.error == r"ValueError('no\nluck')"
    assert "\n" not in record.getMessage()


FAILURES = [
    (lambda: Job(do=raises(ValueError("no"))), ["failed"]),
    (lambda: Job(do=sleeps(5), timeout=1), ["cancelled"]),
    (lambda: Job(ask=raises(ValueError("no"))), ["failed"]),
    (lambda: Job(ask=answers(False)), ["aborted"]),
    (lambda: Job(do=raises(Skip("nothing to do"))), []),
    (lambda: Job(), []),
]


@pytest.mark.parametrize(("make", "said"), FAILURES)
async def test_what_fails_is_a_warning_though_nobody_asks_for_more(
    make: Any, said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    executor = desk(asks=True)
    await executor.append(make())
    async with executor:
        await executor.join()
    assert [record.status for record in lines(caplog)] == said  # type: ignore[attr-defined]
    assert not executor.observers.level, "and nothing else is told of"


async def test_an_attempt_that_is_tried_again_is_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    executor = desk()
    await executor.append(Job(do=raises(ValueError("no"))), retry=Retry(attempts=2, backoff=1))
    async with executor:
        await executor.join()
    assert [(record.status, record.reason) for record in lines(caplog)] == [  # type: ignore[attr-defined]
        ("pending", "retry"),
        ("failed", None),
    ]


async def test_a_logger_that_is_not_enabled_is_told_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR, NAME)
    executor = desk()
    await executor.append(Job(do=raises(ValueError("no"))))
    await executor.forward()
    assert lines(caplog) == []


async def test_the_level_is_looked_at_anew_when_a_run_begins(
    caplog: pytest.LogCaptureFixture,
) -> None:
    executor = desk()
    await executor.append(Job())
    caplog.set_level(logging.DEBUG, NAME)
    await executor.forward()
    assert len(lines(caplog)) == 2
    caplog.set_level(logging.INFO, NAME)
    await executor.append(Job())
    await executor.forward()
    assert len([each for each in lines(caplog) if each.levelno == logging.DEBUG]) <= 5
    assert not executor.observers.level


async def test_no_record_is_made_that_no_handler_would_see(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    factory = logging.getLogRecordFactory()

    def counted(*args: Any, **how: Any) -> logging.LogRecord:
        made.append(args[0])
        return factory(*args, **how)

    monkeypatch.setattr(logging.root, "handlers", [])
    monkeypatch.setattr(logging.getLogger("lionpride"), "handlers", [])  # the one of conftest.py
    logging.setLogRecordFactory(counted)
    try:
        caplog.set_level(logging.DEBUG, NAME)
        executor = desk()
        await executor.append(Job(do=raises(ValueError("no"))))
        await executor.forward()
        assert not executor.observers.level
    finally:
        logging.setLogRecordFactory(factory)
    assert NAME not in made


SILENT = """
import asyncio, logging
before = (logging.root.level, list(logging.root.handlers), logging.getLogger("lionpride").level)
from lionpride.core import Event, Executor, Processor
class Bad(Event):
    async def _invoke(self): raise ValueError("no")
class BadProcessor(Processor): event_type = Bad
class BadExecutor(Executor): processor_type = BadProcessor
async def main():
    executor = BadExecutor()
    await executor.append(Bad())
    await executor.forward()
asyncio.run(main())
after = (logging.root.level, list(logging.root.handlers), logging.getLogger("lionpride").level)
print(before == after)
"""


def test_nothing_is_configured_and_nothing_printed_unless_the_user_does() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SILENT], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("True\n", "")


async def test_an_error_that_cannot_be_printed_is_recorded_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Unprintable(Exception):
        def __repr__(self) -> str:
            raise RuntimeError("no repr")

    executor = desk()
    job = await executor.append(Job(do=raises(Unprintable())))
    await executor.append(Job())
    await executor.forward()
    assert isinstance(job.execution.error, Unprintable)
    assert executor.status_counts()["completed"] == 1
    assert executor.observers.failures == 1
