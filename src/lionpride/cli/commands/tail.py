"""``lionpride tail``: the changes of all events, or the progress and the chunks of one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, Final

from ...core import Event, EventStatus, Executor
from ...drawing.text import how_far, one_line
from ...errors import NotFoundError, StoreError
from ...model import registry
from ...model.execution import TERMINAL
from ...model.serialization.codec import encode
from ...stores.record import Record
from ...view.monitor import Monitor
from ...view.plain_json import plain_json
from ...view.records import error_of
from ...view.redact import redacted
from ..grammar import argument, json_option, store_command
from ..output.streams import tell, warn
from ..output.table import json_line
from ..store.changes import EventChange, StoreChanges
from ..store.event_ids import ID_HELP, find_all
from ..store.location import StoreLocation, locate_store
from ..store.queues import StoreQueues
from ..targets.target import load_targets, target_option
from ..usage import UsageError

__all__ = ["tail"]

EVERY: Final = 0.5
"""Seconds between two looks for changes."""

GOOD = (EventStatus.COMPLETED, EventStatus.SKIPPED)


@store_command(
    "tail",
    help=(
        "Print each change of the status of events, until Ctrl-C: time (UTC), id, kind, status and "
        "queue. With ID, print the progress and the chunks of this event as they arrive, until it "
        "has finished."
    ),
    epilog=(
        "exit status: 130 after Ctrl-C; with ID, 0 if the event is completed or skipped, 1 if it "
        "has finished otherwise or was removed; after Ctrl-C the event goes on"
    ),
)
@argument("uid", metavar="[ID]", required=False, help=ID_HELP)
@target_option("with ID: imports the class of the event, which is needed")
@json_option("change or message")
async def tail(
    store: str, queue: str | None, uid: str | None, targets: tuple[str, ...], as_json: bool
) -> int:
    """Follow the events.

    Raises:
        UsageError: if --target is given without an event.
    """
    location = locate_store(store)
    if uid is None:
        if targets:
            raise UsageError("--target does nothing without ID: leave it out")
        return await _follow_all(location, queue, as_json)
    for text in targets:
        load_targets(text)
    return await _follow_one(location, queue, uid, as_json)


async def _follow_all(location: StoreLocation, queue: str | None, as_json: bool) -> int:
    """Print changes until standard output is closed."""
    async with StoreQueues(location, queue):
        pass  # the store and the queue are there
    monitor = Monitor(location.url)
    try:
        changes, failed = StoreChanges(monitor, queue), False
        await changes.begin()
        warn(f"following the events of {location.name} until Ctrl-C")
        while True:
            try:
                found, failed = await changes.look(), False
            except StoreError as error:
                if not error.retryable:
                    raise
                if not failed:
                    warn(f"lionpride: {one_line(str(error))}; trying again")
                found, failed = [], True
            lines = [json_line(_plain(each)) if as_json else _text(each) for each in found]
            if lines and not tell("\n".join(lines)):
                return 0
            await asyncio.sleep(EVERY)
    finally:
        await monitor.close()


def _plain(change: EventChange) -> dict[str, Any]:
    return change._asdict() | {"id": str(change.id)}


def _text(change: EventChange) -> str:
    time = datetime.fromtimestamp(change.at, UTC)
    head = f"{time:%Y-%m-%d %H:%M:%S}.{time.microsecond // 1000:03}"
    words = f"{change.id}  {change.kind}  {change.status}  {change.queue}"
    return one_line(f"{head}  {words}")


async def _follow_one(location: StoreLocation, queue: str | None, uid: str, as_json: bool) -> int:
    """Print messages about an event until it has finished.

    Raises:
        UsageError: if the class of the event is not imported.
    """
    async with StoreQueues(location, queue) as queues:
        (record,) = await find_all(queues, [uid])
    try:
        kind = registry.find(record.kind)
    except NotFoundError as error:
        raise UsageError(
            f"{record.kind} is not imported: name its module, such as --target jobs.py"
        ) from error
    if not issubclass(kind, Event):
        raise UsageError(f"{record.kind} is no class of events, so nothing runs it")
    executor = Executor.of(kind, store=location.url, queue=record.queue)
    try:
        return await _Tail(executor, record, as_json).follow()
    finally:
        await executor.store.close()


class _Tail:
    """Prints messages about one event.

    Args:
        executor: An executor of its queue, which runs nothing.
        record: The event.
        as_json: True to print objects.
    """

    def __init__(self, executor: Executor, record: Record, as_json: bool) -> None:
        self._executor = executor
        self._record = record
        self._as_json = as_json

    async def follow(self) -> int:
        """Print all messages, and return the exit status."""
        uid = self._record.id
        self._tell({"status": self._record.status.value}, self._record.status.value)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_progress())
            if self._record.payload.get("streaming"):
                group.create_task(self._follow_chunks())
        (now,) = await self._executor.store.get([uid])
        if now is None:
            raise NotFoundError(f"{uid} was removed")
        if self._record.status not in TERMINAL:
            error = error_of(now, 1000)
            data = {"status": now.status.value} | ({"error": error} if error else {})
            self._tell(data, f"{now.status.value}{f': {error}' if error else ''}")
        return 0 if now.status in GOOD else 1

    async def _follow_progress(self) -> None:
        async with aclosing(self._executor.progress(self._record.id)) as reports:
            async for report in reports:
                self._tell(report._asdict(), how_far(report, None))

    async def _follow_chunks(self) -> None:
        chunks = self._executor.stream(self._record.id, on_restart=self._tell_restart)
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    plain = plain_json(redacted(encode(chunk)))
                    text = plain if isinstance(plain, str) else json.dumps(plain)
                    self._tell({"chunk": plain}, one_line(text))
        except StoreError:
            raise
        except Exception:  # the error of the event, which its record has
            (now,) = await self._executor.store.get([self._record.id])
            if now is not None and now.status not in TERMINAL:
                raise

    def _tell_restart(self) -> None:
        self._tell({"restarted": True}, "a new attempt begins: its chunks follow")

    def _tell(self, data: Mapping[str, Any], text: str) -> None:
        tell(json_line(data) if self._as_json else text)
