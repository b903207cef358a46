"""The checks of ``lionpride doctor`` on each queue, which are the same for every store."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

from ...core import EventStatus
from ...drawing.text import duration, plural, shorten
from ...errors import NotFoundError
from ...model import registry
from ...rules.explain import explain
from ...stores.inspector import WorkerRecord
from ...stores.maintenance import Finding
from ...stores.record import Record
from ...stores.schedule_record import ScheduleRecord
from ...stores.sql.unreadable import reason_of
from .location import DurableStore

__all__ = ["check_queue"]

PAGE: Final = 1000  # events that wait, of which the kinds are looked at
ASKED: Final = 20  # due events whose reason to wait is looked up
GLANCE: Final = 1.0  # seconds between two looks whether anything moves
LONG: Final = 60.0  # seconds after which another worker should have taken over from a dead one
LATE: Final = 60.0  # seconds after an instant of a schedule in which a worker appends its event


async def check_queue(store: DurableStore, name: str, *, knows_classes: bool) -> list[Finding]:
    """Return the findings about a queue.

    Args:
        store: The store of the queue.
        name: The name of the store.
        knows_classes: True if this process has imported the modules that its workers have.
    """
    workers = await store.workers()
    waiting = (await store.counts())[EventStatus.PENDING]
    alive = [worker for worker in workers if worker.alive]
    found = [_nobody(store.queue, waiting, alive, name), *_dead(workers, alive)]
    found += _not_fired(store, await store.schedules(), bool(alive), name)
    if waiting:
        page = await store.list_records(EventStatus.PENDING, limit=PAGE)
        unreadable = list(_unreadable(store.queue, page, alive, knows_classes))
        found += unreadable
        if knows_classes:
            found += _unknown(store.queue, page)
        if alive and not any(worker.held for worker in alive) and not unreadable:
            found.append(await _stuck(store, page, name))
        found.append(await _slots(store, page, alive))
    return [each for each in found if each is not None]


def _nobody(queue: str, waiting: int, alive: Sequence[WorkerRecord], name: str) -> Finding | None:
    if alive or not waiting:
        return None
    wait = "waits" if waiting == 1 else "wait"
    what = f"no worker runs queue {queue!r}, and {plural(waiting, 'event')} in it {wait}"
    return Finding("worker", "wrong", what, f"start one: lionpride work TARGET --store {name}")


def _dead(workers: Sequence[WorkerRecord], alive: Sequence[WorkerRecord]) -> Iterable[Finding]:
    """Dead workers that hold events still."""
    for worker in workers:
        if worker.alive or not worker.held:
            continue
        late = not alive or worker.silent > LONG
        yield Finding(
            "leases",
            "wrong" if late else "note",
            f"worker {worker.name} (process {worker.pid} of "
            f"{worker.host or 'this machine'}) is dead, last seen {duration(worker.silent)} "
            f"ago, and has claimed {plural(len(worker.held), 'event')} of queue "
            f"{worker.queue!r}",
            "another worker of the queue runs them again: "
            + ("there is none, so start one" if not alive else "wait until their leases expire"),
        )


def _not_fired(
    store: DurableStore, schedules: Sequence[ScheduleRecord], is_alive: bool, name: str
) -> Iterable[Finding]:
    """Schedules whose instant is past, and that no worker has fired."""
    for each in schedules:
        if each.unreadable is not None or each.is_paused or each.next is None:
            continue
        late = store.time() - each.next
        if late <= LATE:
            continue
        remedy = (
            "the logs of its workers say why, such as a missing extra [cron] or time zone; "
            "workers of this release fire all schedules of their queue"
            if is_alive
            else f"start a worker: lionpride work TARGET --store {name}"
        )
        yield Finding(
            "schedules",
            "wrong",
            f"schedule {each.name!r} of queue {store.queue!r} was due {duration(late)} ago, and no "
            "worker has fired it",
            f"{remedy}; or pause it: lionpride schedules {name} pause {each.name}",
        )


def _unknown(queue: str, page: Sequence[Record]) -> Iterable[Finding]:
    """Classes of what waits that this process has not defined."""
    kinds = Counter(record.kind for record in page)
    for kind, count in sorted(kinds.items()):
        try:
            registry.find(kind)
        except NotFoundError:
            yield Finding(
                "classes",
                "wrong",
                f"{plural(count, 'event')} of class {kind} wait in queue {queue!r}, and no target "
                "defines it",
                "import the module that defines it in the workers; if the class was moved "
                "or renamed, list this name in its former_names; or cancel these events",
            )


def _unreadable(
    queue: str, page: Sequence[Record], alive: Sequence[WorkerRecord], knows_classes: bool
) -> Iterable[Finding]:
    """Waiting events that workers, or the targets that were given, could not build."""
    waiting = {record.kind for record in page}
    remedy = (
        "start a worker of the release that appended them; or cancel them; or let them "
        "fail: lionpride work --fail-unreadable"
    )
    for worker in alive:
        for one in worker.about.unreadable if worker.about is not None else ():
            if one.kind in waiting:
                yield Finding(
                    "unreadable",
                    "wrong",
                    f"worker {worker.name} (process {worker.pid} of "
                    f"{worker.host or 'this machine'}) could not read "
                    f"{plural(one.total, 'event')} of class {one.kind} in queue {queue!r}, such "
                    f"as {one.example}: {one.reason}",
                    remedy,
                )
    bad = [(record, reason) for record in page if knows_classes and (reason := _why_not(record))]
    for kind, total in sorted(Counter(record.kind for record, _ in bad).items()):
        record, reason = next(each for each in bad if each[0].kind == kind)
        yield Finding(
            "unreadable",
            "wrong",
            f"the target cannot read {plural(total, 'event')} of class {kind} that wait in queue "
            f"{queue!r}, such as {record.id}: {reason}",
            remedy,
        )


def _why_not(record: Record) -> str | None:
    """Why an event cannot be built of its record; None if it can, or its class is not here."""
    if not registry.is_defined(record.kind):
        return None
    try:
        record.event()
    except Exception as error:  # validators are the user's code
        return reason_of(error)
    return None


async def _stuck(store: DurableStore, page: Sequence[Record], name: str) -> Finding | None:
    """Return True if events that are due wait, though workers have nothing to do."""
    before = _due(page, store.time())
    await asyncio.sleep(GLANCE)
    again = _due(await store.list_records(EventStatus.PENDING, limit=PAGE), store.time())
    still = [each for each in again if each in before]
    if not still or any(worker.held for worker in await store.workers()):
        return None
    still = [each for each in still[:ASKED] if not await _may_wait(store, each)]
    if not still:
        return None
    kinds = ", ".join(sorted({again[each] for each in still}))
    return Finding(
        "stuck",
        "wrong",
        f"{plural(len(still), 'event')} of queue {store.queue!r} are due and do not start, "
        f"although its workers are idle: {shorten(kinds, 200)}",
        f"lionpride why {next(iter(still))} --store {name} explains one of them; usually "
        "the workers have not imported the class (check with --target)",
    )


async def _may_wait(store: DurableStore, uid: UUID) -> bool:
    """Return True if a limit, a pause or an earlier event keeps an event from starting."""
    standing = await store.explain(uid)
    if standing is None:
        return True  # it has been removed
    return any(hold.kind in _USUAL for hold in explain(standing).holds)


_USUAL: Final = {"behind", "due", "denied", "key", "limit", "paused", "queue paused", "retry"}
"""Reasons to wait that are no fault; see ``rules.why``."""


async def _slots(
    store: DurableStore, page: Sequence[Record], alive: Sequence[WorkerRecord]
) -> Finding | None:
    """Return a finding if all slots are held, none is freed, and events of other classes wait."""
    held = _held(alive)
    slots = sum(worker.about.slots for worker in alive if worker.about is not None)
    waiting = Counter(_due(page, store.time()).values())
    if not held or len(held) < slots or waiting.keys() <= set(held.values()):
        return None  # a queue of one class is as a rule just busy
    await asyncio.sleep(GLANCE)
    if _held(await store.workers()) != held:
        return None
    return Finding(
        "slots",
        "note",
        f"all {plural(slots, 'slot')} of queue {store.queue!r} are in use by "
        f"{_kinds(held.values())}, and {_kinds(waiting.elements())} wait",
        "if the running events await the waiting ones, none of them can finish: give the "
        "running class a queue of its own, or a timeout, or start workers with more "
        "--concurrency",
    )


def _held(workers: Sequence[WorkerRecord]) -> dict[tuple[UUID, int], str]:
    """Return the class of each attempt that runs, by event and attempt number."""
    return {(one.id, one.attempt): one.kind for worker in workers for one in worker.held}


def _kinds(kinds: Iterable[str]) -> str:
    """Return the number of each class as text, such as ``4 jobs.Parent, 2 jobs.Child``."""
    return ", ".join(f"{total:,} {kind}" for kind, total in sorted(Counter(kinds).items()))


def _due(page: Sequence[Record], now: float) -> dict[UUID, str]:
    """The kinds of those that are due, by id."""
    return {one.id: one.kind for one in page if one.due is None or one.due <= now}
