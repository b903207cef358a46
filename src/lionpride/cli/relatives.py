"""Parents and children of an event, as `show` writes them."""

from __future__ import annotations

from typing import Any, Final

from ..engine.event_lookup import relatives
from ..stores.contract import Relative, Store
from ..stores.record import Record
from ..view.records import condition_of, status_of

__all__ = ["relatives_as_data", "relatives_as_text"]

SHOWN: Final = 5
"""Number of parents and of children that a person is shown."""

COUNTED: Final = 1_000
"""Maximum number of relatives that are read to count them."""


async def relatives_as_text(store: Store, record: Record) -> dict[str, str]:
    """Return the first parents and the first children of an event, one a line."""
    parents = await store.parents(record.id, limit=COUNTED + 1)
    children = await store.children(record.id, limit=COUNTED + 1)
    found = {"parents": parents, "children": children}
    return {name: "\n".join(_lines(each)) for name, each in found.items() if each}


def _lines(found: list[Relative]) -> list[str]:
    lines = [
        f"{each.record.id}  {each.record.kind}  {status_of(each.record)}  {condition_of(each)}"
        for each in found[:SHOWN]
    ]
    if len(found) > COUNTED:
        return [*lines, f"and more than {COUNTED - SHOWN:,} more"]
    return [*lines, f"and {len(found) - SHOWN:,} more"] if len(found) > SHOWN else lines


async def relatives_as_data(store: Store, record: Record) -> dict[str, Any]:
    """Return all parents and all children of an event for programs."""
    return {
        "parents": [_data(each) async for each in relatives(store.parents, record.id)],
        "children": [_data(each) async for each in relatives(store.children, record.id)],
    }


def _data(one: Relative) -> dict[str, Any]:
    return {
        "id": str(one.record.id),
        "queue": one.record.queue,
        "kind": one.record.kind,
        "status": one.record.status.value,
        "blocked": one.record.is_blocked,
        "when": one.when,
        "is_met": one.is_met,
    }
