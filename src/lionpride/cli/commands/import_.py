"""``lionpride import``: events and schedules that `export` wrote, or a Flow, into a store."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import IO, Any
from uuid import UUID

from ...core import EventStatus
from ...drawing.text import one_line, plural
from ...engine.schedules import Schedules
from ...errors import ExistsError, LionprideError, NotFoundError
from ...stores.record import Record
from ..batch.outputs import is_same_file
from ..grammar import argument, command, finish, json_option, option, queue_option, store_argument
from ..output.streams import tell, warn
from ..output.table import json_line
from ..store.location import StoreLocation, locate_store
from ..store.queues import StoreQueues, told_counts
from ..transfer.bundle import Bundle, open_bundle
from ..transfer.order import after_of, batches_of_children
from ..usage import UsageError

__all__ = ["import_"]

PAGE = 500  # events of a queue appended at a time: all of them or none

DESCRIPTION = """\
Import events into a store, with the order and the status that the file gives them. Events that
were running are pending again. The whole file is checked before anything is imported. Then
batches of 500 events of a queue are imported, each as a whole; events that wait for parents come
last, in one batch, and then schedules. After an interruption, --exist-ok imports the rest.
"""


@command("import", help=DESCRIPTION)
@argument(
    "file",
    metavar="FILE",
    help="the output of `export`, or a Flow's to_dict as JSON; - is standard input",
)
@store_argument
@queue_option("the queue of all events and schedules, whatever the file says")
@option("--exist-ok", is_flag=True, help="skip events and schedules that the store already has")
@json_option("import")
@finish
async def import_(file: str, store: str, queue: str | None, exist_ok: bool, as_json: bool) -> int:
    """Take them in."""
    location = locate_store(store)
    is_file = file != "-" and location.path is not None
    if is_file and is_same_file(file, str(location.path)):
        raise UsageError(f"{file} is the store itself: name the file to import")
    with closing(_open(file)) as opened:
        bundle = open_bundle(opened, _name(file), queue)
        return await _Import(location, bundle, exist_ok=exist_ok).run(as_json)


def _name(path: str) -> str:
    return "standard input" if path == "-" else path


def _open(path: str) -> IO[bytes]:
    """The file; standard input in a file of its own, since it is read more than once.

    Raises:
        UsageError: if it cannot be read.
    """
    if path == "-":
        spool = tempfile.TemporaryFile()  # noqa: SIM115  closed by the caller
        shutil.copyfileobj(sys.stdin.buffer, spool)
        spool.seek(0)
        return spool
    try:
        return Path(path).open("rb")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error


class _Import:
    """One import, which reads the file twice: to check it, and to append its events."""

    def __init__(self, location: StoreLocation, bundle: Bundle, *, exist_ok: bool) -> None:
        self._location = location
        self._bundle = bundle
        self._exist_ok = exist_ok
        self._queues = StoreQueues(location)
        self._there = 0
        self._taken: Counter[EventStatus] = Counter()
        self._interrupted = 0
        self._schedules = 0

    async def run(self, as_json: bool) -> int:
        """Run the import; return the exit status.

        Args:
            as_json: True to print what was imported as an object.

        Raises:
            LionprideError: if a line is bad, or an event or a schedule is known; nothing was
                appended then.
        """
        self._bundle.check()
        parents = self._parents_elsewhere()
        try:
            if await self._location.is_made():
                await self._queues.__aenter__()
                if not self._exist_ok:
                    await self._check_unknown()
            await self._check_parents(parents)
            await self._take_all()
            await self._take_schedules()
        finally:
            await self._queues.close()
        self._say(as_json)
        return 0

    async def _check_unknown(self) -> None:
        batch: list[tuple[str, Record]] = []
        for item in self._bundle.records():
            batch.append(item)
            if len(batch) == PAGE:
                await self._refuse_known(batch)
                batch.clear()
        await self._refuse_known(batch)
        for where, (queue, record) in self._bundle.schedules():
            if record.name in await self._schedule_names(queue):
                raise ExistsError(
                    f"{where}: queue {queue!r} of {self._location.name} has a schedule "
                    f"{record.name!r}: nothing was imported; --exist-ok skips such schedules"
                )

    async def _schedule_names(self, queue: str) -> set[str]:
        """Return the names of the schedules that a queue has."""
        if queue not in self._queues.names:
            return set()
        return {record.name for record in await self._queues.of(queue).schedules()}

    async def _refuse_known(self, batch: Sequence[tuple[str, Record]]) -> None:
        known = await self._known([record for _, record in batch])
        for where, record in batch:
            if (queue := known.get(record.id)) is not None:
                raise ExistsError(
                    f"{where}: id {record.id} is known in queue {queue!r} of "
                    f"{self._location.name}: nothing was imported; --exist-ok skips such events"
                )

    def _parents_elsewhere(self) -> dict[UUID, UUID]:
        """Return the parents of blocked events that the file does not have, each with a child."""
        wanted: dict[UUID, UUID] = {}
        for _, record in self._bundle.records():
            after = after_of(record) if record.is_blocked else None
            wanted |= {} if after is None else dict.fromkeys(after.parents, record.id)
        for _, record in self._bundle.records() if wanted else ():
            wanted.pop(record.id, None)
        return wanted

    async def _check_parents(self, parents: Mapping[UUID, UUID]) -> None:
        """Check that the store has these parents.

        Raises:
            NotFoundError: if it does not have one; nothing was imported.
        """
        missing = set(parents)
        for queue in self._queues.names if parents else ():
            known = await self._queues.of(queue).get(parents)
            missing -= {record.id for record in known if record is not None}
        for parent, child in parents.items():
            if parent in missing:
                raise NotFoundError(
                    f"{parent}, a parent of {child}, is neither in the file nor in "
                    f"{self._location.name}: nothing was imported; export the parents of blocked "
                    "events as well"
                )

    async def _known(self, records: Sequence[Record]) -> dict[UUID, str]:
        """In which queues those are that are known."""
        ids = [record.id for record in records]
        found: dict[UUID, str] = {}
        for queue in self._queues.names:
            for record in await self._queues.of(queue).get(ids):
                if record is not None:
                    found[record.id] = queue
        return found

    async def _take_all(self) -> None:
        waiting: dict[str, list[Record]] = {}
        children: list[Record] = []  # a batch may have a child before its parents
        for _, record in self._bundle.records():
            if after_of(record) is not None:
                children.append(record)
                continue
            batch = waiting.setdefault(record.queue, [])
            batch.append(record)
            if len(batch) == PAGE:
                await self._take(record.queue, batch)
                batch.clear()
        for queue, batch in waiting.items():
            await self._take(queue, batch)
        for queue, batch in batches_of_children(children):
            await self._take(queue, batch)

    async def _take(self, queue: str, batch: Sequence[Record]) -> None:
        if not batch:
            return
        fresh = list(batch)
        if self._exist_ok:
            known = await self._known(batch)
            fresh = [record for record in batch if record.id not in known]
        self._there += len(batch) - len(fresh)
        if fresh:
            try:
                await self._queues.of(queue).import_records(fresh)
            except LionprideError as error:
                raise self._cut_off(error) from error
        for record in fresh:
            running = record.status is EventStatus.PROCESSING
            self._interrupted += running
            self._taken[EventStatus.PENDING if running else record.status] += 1

    async def _take_schedules(self) -> None:
        """Import the schedules; their events come first, so that no instant is repeated."""
        for _, (queue, record) in self._bundle.schedules():
            if self._exist_ok and record.name in await self._schedule_names(queue):
                self._there += 1
                continue
            try:
                await Schedules(self._queues.of(queue)).load(record)
            except LionprideError as error:
                raise self._cut_off(error) from error
            self._schedules += 1

    def _cut_off(self, error: LionprideError) -> LionprideError:
        done = sum(self._taken.values())
        rest = f"{self._numbers(done)} had been imported: --exist-ok imports the rest"
        is_begun = done or self._schedules
        return LionprideError(
            f"{one_line(str(error))}; {rest}" if is_begun else one_line(str(error))
        )

    def _numbers(self, events: int) -> str:
        schedules = f" and {plural(self._schedules, 'schedule')}" if self._schedules else ""
        return plural(events, "event") + schedules

    def _say(self, as_json: bool) -> None:
        count = sum(self._taken.values())
        if as_json:
            tell(json_line(self._data(count)))
            return
        said = f"{self._numbers(count)} imported into {self._location.name}"
        if count:
            said += f": {told_counts({s: self._taken[s] for s in EventStatus})}"
        if self._interrupted:
            said += f" ({self._interrupted:,} of them had been running)"
        if self._there:
            said += f"; {self._there:,} were there already"
        tell(said)
        if self._bundle.left_out:
            names = ", ".join(map(one_line, self._bundle.left_out))
            warn(f"a store does not keep your own progressions, left out: {names}")

    def _data(self, count: int) -> dict[str, Any]:
        return {
            "store": self._location.name,
            "events": count,
            "statuses": {status.value: self._taken[status] for status in EventStatus},
            "interrupted": self._interrupted,
            "schedules": self._schedules,
            "there": self._there,
            "left_out": self._bundle.left_out,
        }
