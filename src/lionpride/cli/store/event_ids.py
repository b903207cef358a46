"""Events by what a command line calls them: an id, or enough of its beginning."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from ...core import EventStatus
from ...drawing.text import plural, shorten
from ...errors import NotFoundError
from ...stores.record import Record
from ..usage import UsageError
from .queues import StoreQueues

__all__ = ["ID_HELP", "find_all", "scan"]

ID_HELP = "an id, its first characters, or '#N' (in quotes) for number N of ls"

PAGE = 1000  # records looked at in one go
NAMED = 5  # so many of several that fit are named

_NUMBER = re.compile(r"#[0-9]{1,18}")
_HEX = re.compile(r"[0-9a-f]+")


async def find_all(queues: StoreQueues, names: Sequence[str]) -> list[Record]:
    """The events of these names, each once.

    A whole id, or an arrival number such as ``#12``, is looked up. For a part of an id, every event
    is read.

    Raises:
        UsageError: if a name is no part of an id.
        NotFoundError: if none has this name, or several have.
    """
    numbers = {name: int(name[1:]) for name in names if _NUMBER.fullmatch(name)}
    asked = {name: _hex(name) for name in dict.fromkeys(names) if name not in numbers}
    found = {name: await _at(queues, number) for name, number in numbers.items()}
    found |= {name: await _get(queues, UUID(h)) for name, h in asked.items() if len(h) == 32}
    short = {name: h for name, h in asked.items() if len(h) < 32}
    if short:
        found |= await _search(queues, short)
    records = {}
    for name in dict.fromkeys(names):
        fits = found[name]
        if not fits:
            number = f"; write '#{name}' for event number {name}" if name.isdecimal() else ""
            raise NotFoundError(
                f"{shorten(name, 40)}: no event of this id in {queues.location.name}{number}; "
                f"see: lionpride ls {queues.location.name}"
            )
        if len(fits) > 1:
            some = ", ".join(str(record.id) for record in fits[:NAMED])
            more = ", …" if len(fits) > NAMED else ""
            raise NotFoundError(
                f"{name}: {plural(len(fits), 'event')} begin with it: {some}{more}; write "
                "more of the id"
            )
        records[fits[0].id] = fits[0]
    return list(records.values())


async def _get(queues: StoreQueues, uid: UUID) -> list[Record]:
    for queue in queues.names:
        (record,) = await queues.of(queue).get([uid])
        if record is not None:
            return [record]
    return []


async def _at(queues: StoreQueues, number: int) -> list[Record]:
    """The event of an arrival number."""
    for queue in queues.names:
        for record in await queues.of(queue).list_records(after=number - 1, limit=1):
            if record.number == number:
                return [record]
    return []


async def _search(queues: StoreQueues, names: dict[str, str]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = {name: [] for name in names}
    beginnings = tuple(names.values())
    for queue in queues.names:
        async for record in scan(queues, queue):
            if (text := record.id.hex).startswith(beginnings):
                for name, beginning in names.items():
                    if text.startswith(beginning):
                        found[name].append(record)
    return found


async def scan(
    queues: StoreQueues, queue: str, status: EventStatus | None = None
) -> AsyncIterator[Record]:
    """Every record of a queue in order of arrival, each once, as it stands when it is read."""
    after = 0
    while page := await queues.of(queue).list_records(status, after=after, limit=PAGE):
        for record in page:
            yield record
        after = page[-1].number
        await asyncio.sleep(0)


def _hex(name: str) -> str:
    text = name.lower().replace("-", "")
    if not _HEX.fullmatch(text) or len(text) > 32:
        raise UsageError(
            f"{shorten(name, 60)!r} is no id: give an id that `lionpride ls` shows, its first "
            "characters, or the event's number, such as '#12' (in quotes)"
        )
    return text
