"""Order in which `import` appends events that have parents: a parent before its children."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from graphlib import TopologicalSorter
from uuid import UUID

from ...model.after import After
from ...rules.dependencies import check_acyclic
from ...stores.record import Record

__all__ = ["after_of", "batches_of_children"]


def after_of(record: Record) -> After | None:
    """Return the parents that a record names; None if it names none.

    Raises:
        ValidationError: if they cannot be read.
    """
    data = record.payload["execution"].get("after")
    return None if data is None else After.from_dict(data)


def batches_of_children(children: Sequence[Record]) -> Iterator[tuple[str, list[Record]]]:
    """Yield events with parents in batches of one queue, and the name of the queue.

    A parent is in an earlier batch than its child, or in the same one. So events of one queue are
    one batch, unless they have parents in another queue that have parents themselves.

    Args:
        children: Events that name their parents. Other parents were imported before.

    Raises:
        ValidationError: if the events wait for each other in a cycle.
    """
    after = {each.id: parents for each in children if (parents := after_of(each))}
    check_acyclic(after)
    records = {each.id: each for each in children}
    places = {uid: place for place, uid in enumerate(records)}
    order: TopologicalSorter[UUID] = TopologicalSorter(
        {uid: [one for one in after[uid].parents if one in records] for uid in records}
    )
    order.prepare()
    ready: defaultdict[str, list[UUID]] = defaultdict(list)
    while order.is_active():
        for uid in order.get_ready():
            ready[records[uid].queue].append(uid)
        queue = next(name for name, ids in ready.items() if ids)
        batch: list[UUID] = []
        while ids := ready.pop(queue, []):
            batch += ids
            order.done(*ids)
            for uid in order.get_ready():
                ready[records[uid].queue].append(uid)
        yield queue, [records[uid] for uid in sorted(batch, key=places.__getitem__)]
