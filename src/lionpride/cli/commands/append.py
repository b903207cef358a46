"""``lionpride append``: one event, from the shell."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import click

from ...core import Event
from ...errors import LionprideError, QueueFullError
from ...model.after import CONDITIONS
from ..batch.lines import BadLine, LineReader
from ..grammar import (
    argument,
    command,
    finish,
    json_option,
    option,
    optional_store_argument,
    setting,
)
from ..output.streams import tell
from ..output.table import json_line
from ..store.event_ids import ID_HELP, find_all
from ..store.location import StoreLocation, locate_store
from ..store.queues import StoreQueues
from ..targets.executor import build
from ..targets.target import Target, load_shared, queue_of
from ..usage import (
    UsageError,
    finite_number,
    future_time,
    length_of_time,
    positive_seconds,
    queue_name,
)

__all__ = ["append"]

_SPAN: Final = "seconds, or 30m, 12h or 7d"


@command(
    "append",
    help=(
        "Append one event to a store, and print its id. A worker runs it. NAME=VALUE gives a field "
        "as text, which its class converts; NAME:=JSON gives it as JSON."
    ),
    epilog="exit status: 0 if the store has the event, 2 if the event or an option is wrong",
)
@optional_store_argument("the store that the executor of TARGET was made with")
@argument(
    "target",
    metavar="TARGET",
    help="the class of the event, or an executor: file.py:NAME or module:NAME",
)
@argument("values", metavar="[NAME=VALUE...]", nargs=-1, help="fields of the event")
@option("--fields", metavar="JSON", help="a JSON object with fields of the event")
@setting(
    "--queue",
    "queues",
    metavar="Q",
    type=queue_name,
    multiple=True,
    help="the queue; by default that of the executor of the file that runs the class, as for "
    "`work`, or else that of the class",
)
@option("--priority", metavar="P", type=finite_number, help="lower runs first")
@option("--delay", metavar="T", type=length_of_time, help=f"do not start it before: {_SPAN}")
@option("--at", metavar="T", type=future_time, help="do not start it before: 2026-01-31T12:00Z")
@option("--ttl", metavar="T", type=length_of_time, help=f"cancel it if not started in: {_SPAN}")
@setting(
    "--timeout",
    "longest",
    metavar="S",
    type=positive_seconds,
    help="cancel attempts that run longer",
)
@option("--unique", metavar="TEXT", help="append nothing if such an event is pending or running")
@option("--unique-for", metavar="T", type=length_of_time, help=f"or was appended in: {_SPAN}")
@option(
    "--after",
    metavar="ID",
    multiple=True,
    help=f"start it when this event has finished: {ID_HELP}; may be given several times",
)
@option(
    "--when",
    type=click.Choice(CONDITIONS),
    help="how the events of --after have to finish (completed); if one does not, the event is "
    "cancelled",
)
@option("--exist-ok", is_flag=True, help="with id=ID: leave an event with this id as it is")
@option("--wait", is_flag=True, help="if the queue is full, wait until a worker has made space")
@json_option("event")
@finish
async def append(
    store: str | None,
    target: str,
    values: tuple[str, ...],
    fields: str | None,
    queues: tuple[str, ...],
    priority: float | None,
    longest: float | None,
    after: tuple[str, ...],
    exist_ok: bool,
    wait: bool,
    as_json: bool,
    **options: Any,
) -> int:
    """Append it; nothing is appended if a field or an option is wrong."""
    place = None if store is None else locate_store(store)
    found = load_shared(target, queues)
    given = _fields(values, fields)
    try:
        raw = json.dumps(given).encode()
        event, own, asked = LineReader(found.event_type, longest).read(1, raw)
    except BadLine as error:
        raise UsageError(str(error).removeprefix("line 1: ")) from error
    place = place or _store_of(found)
    await place.check_made()
    asked |= {name: value for name, value in options.items() if value is not None}
    if after:
        asked["after"] = await _parents(place, after)
    executor = build(found, {}, place, _queue(found, queues))
    try:
        held: Event = await executor.append(
            event, own if priority is None else priority, exist_ok=exist_ok, wait=wait, **asked
        )
        is_new = held is event
        name = executor.store.queue
    except QueueFullError as error:
        raise LionprideError(
            f"queue {executor.store.queue} is full (max_queue_size of {found.name}): append the "
            "event later, or with --wait"
        ) from error
    except (LionprideError, ValueError) as error:
        if isinstance(error, LionprideError) and error.retryable:
            raise
        raise UsageError(str(error)) from error
    finally:
        await executor.store.close()
    if as_json:
        tell(json_line({"id": str(held.id), "queue": name, "appended": is_new}))
    else:
        tell(f"{held.id}" + ("" if is_new else "  was there already"))
    return 0


def _store_of(target: Target) -> StoreLocation:
    """Return the store of the executor of a target.

    Raises:
        UsageError: if it has none that other processes can open.
    """
    if target.store is None:
        raise UsageError(
            f"STORE is needed, since {target.name} has no store: name a file, such as run.db"
        )
    return locate_store(target.store)


def _queue(target: Target, queues: Sequence[str]) -> str | None:
    """Return the queue that is asked for; None for that of the target.

    Raises:
        UsageError: if several are asked for, and none of them is that of the target.
    """
    if len(queues) < 2:
        return queues[0] if queues else None
    own = queue_of(target)
    if own not in queues:
        raise UsageError(
            f"--queue {' '.join(queues)}: an event has one queue, and {own}, that of "
            f"{target.name}, is none of these: name one with --queue"
        )
    return own


async def _parents(place: StoreLocation, names: Sequence[str]) -> list[UUID]:
    """Return the ids of the events that have to finish before.

    Raises:
        UsageError: if a name is no part of an id.
        NotFoundError: if no event has it, or several have.
    """
    async with StoreQueues(place) as queues:
        return [record.id for record in await find_all(queues, names)]


def _fields(values: Sequence[str], text: str | None) -> dict[str, Any]:
    """Return the fields of the event.

    Raises:
        UsageError: if one cannot be read, or is given twice.
    """
    found: dict[str, Any] = {}
    if text is not None:
        found = _json("--fields", text)
        if not isinstance(found, dict):
            raise UsageError('--fields must be a JSON object, such as {"to": "Ann"}')
    for each in values:
        name, equals, value = each.partition("=")
        is_json = name.endswith(":")
        name = name.removesuffix(":")
        if not equals or not name:
            raise UsageError(f"{each!r} is no field: write NAME=VALUE, or NAME:=JSON")
        if name in found:
            raise UsageError(f"{name} is given twice: give it once")
        found[name] = _json(name, value) if is_json else value
    return found


def _json(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{name}: is not JSON ({error}): quote it for the shell") from error
