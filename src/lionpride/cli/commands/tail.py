"""``lionpride tail``: the progress and the chunks of an event, as they arrive."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from ...core import Event, EventStatus, Executor
from ...drawing.text import how_far, one_line
from ...errors import NotFoundError, StoreError
from ...model import registry
from ...model.execution import TERMINAL
from ...model.serialization.codec import encode
from ...stores.record import Record
from ...view.plain_json import plain_json
from ...view.records import error_of
from ...view.redact import redacted
from ..grammar import argument, json_option, store_command
from ..output.streams import tell
from ..output.table import json_line
from ..store.event_ids import ID_HELP, find_all
from ..store.location import locate_store
from ..store.queues import StoreQueues
from ..targets.target import load_targets, target_option
from ..usage import UsageError

__all__ = ["tail"]

GOOD = (EventStatus.COMPLETED, EventStatus.SKIPPED)


@store_command(
    "tail",
    help="Print the progress and the chunks of an event as they arrive, until it has finished.",
    epilog=(
        "exit status: 0 if it is completed or skipped, 1 if it has finished otherwise or was "
        "removed, 130 after Ctrl-C; the event goes on then"
    ),
)
@argument("uid", metavar="ID", help=ID_HELP)
@target_option("imports the class of the event, which is needed")
@json_option("message")
async def tail(
    store: str, queue: str | None, uid: str, targets: tuple[str, ...], as_json: bool
) -> int:
    """Follow it.

    Raises:
        UsageError: if the class of the event is not imported.
    """
    for text in targets:
        load_targets(text)
    location = locate_store(store)
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
