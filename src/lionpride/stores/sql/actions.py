"""Who cancelled or retried events, in a table of its own: events without a name pay nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from ...rules.action import KEPT, Action

if TYPE_CHECKING:
    from .backend import Transaction
    from .queries import Snapshot

__all__ = ("actions_of", "delete_actions", "insert_actions", "note_action")

_INSERT: Final = """
INSERT INTO {action} (number, at, what, asked_by)
SELECT CAST(e.value ->> 0 AS bigint), CAST(e.value ->> 1 AS double precision),
    e.value ->> 2, e.value ->> 3
FROM {json_rows} WHERE true ON CONFLICT DO NOTHING
"""
_DELETE_OLD: Final = f"""
DELETE FROM {{action}} WHERE number {{in_1}} AND (
    SELECT count(*) FROM {{action}} newer WHERE newer.number = {{action}}.number
        AND (newer.at, newer.what) > ({{action}}.at, {{action}}.what)
) >= {KEPT}
"""
_DELETE: Final = "DELETE FROM {action} WHERE number {in_1}"
_OF: Final = """
SELECT number, what, asked_by, at FROM {action} WHERE number {in_1} ORDER BY number, at, what
"""


async def insert_actions(tx: Transaction, actions: Mapping[int, Sequence[Action]]) -> None:
    """Insert the actions of events by number. A repeat inserts nothing twice.

    Round trips on PostgreSQL: 1 if there are any.
    """
    rows = [(number, a.at, a.what, a.by) for number, each in actions.items() for a in each]
    if rows:
        await tx.rows(_INSERT, json.dumps(rows))


async def note_action(tx: Transaction, numbers: Iterable[int], action: Action | None) -> None:
    """Add an action to those of events, and delete the oldest beyond ``KEPT``.

    Round trips on PostgreSQL: 2 if there is an action.
    """
    if action is not None and (some := sorted(set(numbers))):
        await insert_actions(tx, dict.fromkeys(some, (action,)))
        await tx.rows(_DELETE_OLD, some)


async def delete_actions(tx: Transaction, numbers: Sequence[int]) -> None:
    """Delete the actions of events that are removed.

    Round trips on PostgreSQL: 1.
    """
    await tx.rows(_DELETE, list(numbers))


async def actions_of(db: Snapshot, numbers: Sequence[int]) -> dict[int, tuple[Action, ...]]:
    """Return the actions of the events that have any, the oldest first."""
    found: dict[int, list[Action]] = {}
    rows: list[Any] = await db.rows(_OF, list(numbers)) if numbers else []
    for number, what, by, at in rows:
        found.setdefault(number, []).append(Action(what, by, at))
    return {number: tuple(actions) for number, actions in found.items()}
