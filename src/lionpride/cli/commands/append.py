"""``lionpride append``: one event, from the shell."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from ...core import Executor
from ...errors import LionprideError
from ..batch.lines import BadLine, LineReader
from ..grammar import argument, command, finish, json_option, option, queue_option, store_argument
from ..output.streams import tell
from ..output.table import json_line
from ..store.location import locate_store
from ..targets.executor import build
from ..targets.target import load_target
from ..usage import UsageError, finite_number, future_time, length_of_time

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
@store_argument
@argument("target", metavar="TARGET", help="the class of the event: file.py:NAME or module:NAME")
@argument("values", metavar="[NAME=VALUE...]", nargs=-1, help="fields of the event")
@option("--fields", metavar="JSON", help="a JSON object with fields of the event")
@queue_option("the queue; by default that of the target")
@option("--priority", metavar="P", type=finite_number, help="lower runs first")
@option("--delay", metavar="T", type=length_of_time, help=f"do not start it before: {_SPAN}")
@option("--at", metavar="T", type=future_time, help="do not start it before: 2026-01-31T12:00Z")
@option("--ttl", metavar="T", type=length_of_time, help=f"cancel it if not started in: {_SPAN}")
@option("--unique", metavar="TEXT", help="append nothing if such an event is pending or running")
@option("--unique-for", metavar="T", type=length_of_time, help=f"or was appended in: {_SPAN}")
@json_option("event")
@finish
async def append(
    store: str,
    target: str,
    values: tuple[str, ...],
    fields: str | None,
    queue: str | None,
    priority: float | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Append it; nothing is appended if a field or an option is wrong."""
    place = locate_store(store)
    found = load_target(target)
    given = _fields(values, fields)
    try:
        event, own, asked = LineReader(found.event_type).read(1, json.dumps(given).encode())
    except BadLine as error:
        raise UsageError(str(error).removeprefix("line 1: ")) from error
    await place.check_made()
    asked |= {name: value for name, value in options.items() if value is not None}
    executor: Executor = build(found, {}, place, queue)
    try:
        held = await executor.append(event, own if priority is None else priority, **asked)
        is_new = held.id == event.id
        name = executor.store.queue
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
