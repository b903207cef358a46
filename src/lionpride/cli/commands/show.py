"""``lionpride show``: all that a store has on record of an event."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Iterator
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from ...drawing.text import duration, how_far, number, one_line
from ...engine.event_lookup import relatives
from ...errors import NotFoundError
from ...model.attempts import Attempt, attempts_of
from ...stores.contract import Relative, Store
from ...stores.record import Record
from ...view.plain_json import plain_json
from ...view.records import (
    condition_of,
    created_of,
    due_of,
    error_of,
    priority_of,
    schedule_of,
    seconds_of,
    status_of,
)
from ...view.redact import HIDDEN_TEXT, STANDARD_ENTRIES, hidden_names, hide_secrets, redacted
from ..grammar import argument, json_option, option, store_command
from ..output.streams import tell
from ..output.table import json_line, show_fields
from ..store.event_ids import ID_HELP, find_all
from ..store.location import locate_store
from ..store.queues import StoreQueues
from ..targets.target import load_targets, target_option
from ..transfer.records import listed

__all__ = ["show"]

SHOWN: Final = 5
"""Number of parents and of children that a person is shown."""

COUNTED: Final = 1_000
"""Maximum number of relatives that are read to count them."""

Read: TypeAlias = Callable[[Store, Record], Coroutine[Any, Any, dict[str, Any]]]

COUNTERS: Final = {
    "attempts": "attempt_number",
    "failures": "failure_count",
    "denials": "denials",
    "interruptions": "interruptions",
}
"""Names of counters on the screen, and as attributes of a record; those at 0 are left out."""


@store_command("show", help="Show all that a store has on record about events, except secrets.")
@argument("ids", metavar="ID...", nargs=-1, required=True, help=ID_HELP)
@json_option("event")
@target_option("imports the classes, so that fields with their default are shown, too")
@option("--reveal", is_flag=True, help="show secret fields, too")
async def show(
    store: str,
    queue: str | None,
    ids: tuple[str, ...],
    as_json: bool,
    targets: tuple[str, ...],
    reveal: bool,
) -> int:
    """Show them."""
    for text in targets:
        load_targets(text)
    async with StoreQueues(locate_store(store), queue) as queues:
        found = await find_all(queues, ids)
        read = _relatives_as_data if as_json else _relatives_as_text
        relatives = [await _relatives(read, queues, record) for record in found]
    for i, (record, related) in enumerate(zip(found, relatives, strict=True)):
        if as_json:
            shown = record if reveal else hide_secrets(record)
            tell(json_line(listed(shown) | _live(record) | related))
        else:
            if i:
                tell("\n")
            show_fields(_fields(record, related, reveal))
    return 0


async def _relatives(read: Read, queues: StoreQueues, record: Record) -> dict[str, Any]:
    """Return parents and children of an event; nothing if it was removed meanwhile."""
    try:
        return await read(queues.of(record.queue), record)
    except NotFoundError:
        return {}


async def _relatives_as_text(store: Store, record: Record) -> dict[str, str]:
    """Return the first parents and the first children of an event, one a line."""
    parents = await store.parents(record.id, limit=COUNTED + 1)
    children = await store.children(record.id, limit=COUNTED + 1)
    found = {"parents": parents, "children": children}
    return {name: "\n".join(_relatives_lines(each)) for name, each in found.items() if each}


def _relatives_lines(found: list[Relative]) -> list[str]:
    lines = [
        f"{each.record.id}  {each.record.kind}  {status_of(each.record)}  {condition_of(each)}"
        for each in found[:SHOWN]
    ]
    if len(found) > COUNTED:
        return [*lines, f"and more than {COUNTED - SHOWN:,} more"]
    return [*lines, f"and {len(found) - SHOWN:,} more"] if len(found) > SHOWN else lines


async def _relatives_as_data(store: Store, record: Record) -> dict[str, Any]:
    """Return all parents and all children of an event for programs."""
    return {
        "parents": [_relative_data(each) async for each in relatives(store.parents, record.id)],
        "children": [_relative_data(each) async for each in relatives(store.children, record.id)],
    }


def _relative_data(one: Relative) -> dict[str, Any]:
    return {
        "id": str(one.record.id),
        "queue": one.record.queue,
        "kind": one.record.kind,
        "status": one.record.status.value,
        "blocked": one.record.is_blocked,
        "when": one.when,
        "is_met": one.is_met,
    }


def _fields(record: Record, related: dict[str, str], reveal: bool) -> dict[str, str]:
    payload, state = record.payload, record.payload["execution"]
    fields = {
        "id": str(record.id),
        "number": str(record.number),
        "queue": record.queue,
        "kind": record.kind,
        "status": _status(record),
        "priority": priority_of(record),
        "created": _time(created_of(payload)),
        **_times(record),
    }
    if unique := state.get("unique"):
        fields["unique"] = f"{unique[0]} since {_at(unique[1])}"
    if retry := state.get("retry"):
        fields["retry"] = ", ".join(f"{name} {_amount(value)}" for name, value in _policy(retry))
    fields |= {name: str(n) for name, of in COUNTERS.items() if (n := getattr(record, of))}
    if far := how_far(record.progress, None):
        fields["progress"] = far
    if chunks := _chunks(record):
        fields["chunks"] = f"{chunks:,}"
    if (seconds := seconds_of(record)) is not None:
        fields["ran"] = duration(seconds)
    if error := error_of(record, 1000):
        fields["error"] = error
    if attempts := attempts_of(state.get("attempts", ())):
        fields["failed"] = "\n".join(map(_attempt, attempts))
        if trace := attempts[-1].traceback:
            fields["traceback"] = trace
    if record.actions:
        fields["actions"] = "\n".join(map(str, record.actions))
    if (uid := record.continued_by) is not None:
        fields["continued"] = f"by {uid}, which computes the result"
    return fields | related | _own(record, reveal)


def _times(record: Record) -> dict[str, str]:
    """Return the instant of its schedule, its start time and its expiry, if it has them."""
    fields: dict[str, str] = {}
    if (mark := schedule_of(record)) is not None:
        fields["schedule"] = f"{one_line(mark.name)}, for {_at(mark.at)}"
    if (due := due_of(record)) is not None:
        fields["due"] = _at(due) + (", or later" if record.is_blocked else "")
    if expires := record.payload["execution"].get("expires"):
        fields["expires"] = _at(expires)
    return fields


def _status(record: Record) -> str:
    """Return the status of an event, and that it is blocked."""
    waits = ", blocked until its parents have finished" if record.is_blocked else ""
    return f"{record.status.value}{waits}"


def _own(record: Record, reveal: bool) -> dict[str, str]:
    """Return the values of the user's code: fields, metadata and the response."""
    payload, fields = record.payload, dict[str, str]()
    hidden, write = ((), _json) if reveal else (hidden_names(record), _clean)
    for name, value in payload.items():
        if name not in STANDARD_ENTRIES:
            fields[f".{name}"] = HIDDEN_TEXT if name in hidden else write(value)
    meta = {n: v for n, v in payload.get("metadata", {}).items() if not n.startswith("lion_")}
    if meta:
        fields["metadata"] = write(meta)
    if "response" in payload["execution"] and record.continued_by is None:
        fields["response"] = write(payload["execution"]["response"])
    return fields


def _attempt(attempt: Attempt) -> str:
    """An attempt that failed, in a line."""
    words = f"attempt {attempt.number}, {_at(attempt.started)}, {duration(attempt.duration)}"
    return f"{words}: {one_line(attempt.error)}"


def _at(seconds: float) -> str:
    return _time(datetime.fromtimestamp(seconds, UTC))


def _chunks(record: Record) -> int:
    """How many chunks a stream has yielded so far, or altogether."""
    if record.chunks or not record.payload.get("streaming"):
        return record.chunks
    response = record.payload["execution"].get("response")
    return len(response) if isinstance(response, list) else 0


def _live(record: Record) -> dict[str, Any]:
    """Return the progress of a running attempt, and what continues an event."""
    live: dict[str, Any] = {}
    if record.progress is not None:
        live["progress"] = record.progress._asdict()
    if record.chunks:
        live["chunks"] = record.chunks
    if (uid := record.continued_by) is not None:
        live["continued_by"] = str(uid)
    return live


def _policy(retry: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The settings of a stored retry policy, under their present names."""
    for name, value in retry.items():
        yield "max_attempts" if name == "attempts" else name, value


def _amount(value: Any) -> str:
    """A setting of a retry policy: numbers as people write them."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number(value) if is_number else _json(value)


def _clean(value: Any) -> str:
    """A value as JSON, without what is tagged as a secret."""
    shown = redacted(value)
    return HIDDEN_TEXT if shown == HIDDEN_TEXT else _json(shown)


def _json(value: Any) -> str:
    """A value as plain JSON; on several lines if it is long."""
    value = plain_json(value)
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else json.dumps(value, ensure_ascii=False, indent=2)


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
