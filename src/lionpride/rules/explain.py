"""Explanation why an event waits: what blocks it, until when, and when it may start."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from math import inf
from typing import Final, NamedTuple
from uuid import UUID

from ..drawing.text import in_unit, number, unit_of
from ..model.execution import TERMINAL, EventStatus
from .limits.fleet import CAPACITY, CONCURRENCY
from .queue_position import FOR_EVER, Blockers, First, QueueWorker, Room, Standing
from .state_machine import MAX_DENIALS

__all__ = ("Hold", "Near", "Why", "explain")

_S = EventStatus

_TO: Final = {"completed": "complete", "failed": "fail", "finished": "finish"}
"""The verb of each condition."""

_START: Final = "start a worker (`lionpride work`), or use `async with executor:`"


class Hold(NamedTuple):
    """One reason that keeps an event from starting.

    Attributes:
        kind: The kind of reason: "parents", "due", "denied", "retry", "queue paused", "limit",
            "key", "window", "slots", "paused", "no worker", "class", "unreadable", "never",
            "behind", "claimed", "running" or "ended".
        text: The reason as a sentence.
        until: The time at which it ends, a Unix timestamp in seconds; None if unknown.
    """

    kind: str
    text: str
    until: float | None = None


class Near(NamedTuple):
    """Facts that only the process that runs a queue knows.

    Attributes:
        window_at: The time at which its rate limit allows the event, after those before it; None
            if the rate limit does not delay it.
        is_starting: True if the process has claimed the event, and not started it.
        foreign: The reason why it does not run the class of the event, and the remedy; None if
            it runs the class.
        unreadable: The reason why it could not read the event, or others of its class; None if
            there is none.
        works: True if it runs the queue, and was not stopped.
        is_paused: True if it is paused, also if it does not run the queue now.
    """

    window_at: float | None = None
    is_starting: bool = False
    foreign: str | None = None
    unreadable: str | None = None
    works: bool = True
    is_paused: bool = False


class Why(NamedTuple):
    """Explanation why an event waits; its text has one reason per line.

    Attributes:
        id: The id of the event.
        queue: The name of its queue.
        kind: The registry key of its class.
        status: Its status.
        now: The time of the explanation, a Unix timestamp in seconds.
        position: Its place among the due events: 1 is next; None if it is not due, or not
            pending.
        holds: The reasons that keep it from starting; empty if there are none.
        expected: The expected start, a Unix timestamp in seconds, if no other event is appended
            before it; None if it cannot be known.
    """

    id: UUID
    queue: str
    kind: str
    status: EventStatus
    now: float
    position: int | None
    holds: tuple[Hold, ...]
    expected: float | None

    def __str__(self) -> str:
        place = "" if self.position is None else f", position {self.position} among the due events"
        lines = [f"{self.kind} {self.id} is {self.status.value} in queue {self.queue}{place}"]
        lines += [f"- {each.text}" for each in self.holds]
        if self.status is _S.PENDING:
            lines += ["- nothing blocks it"] if not self.holds else []
            known = self.expected is not None
            starts = f"expected to start {_when(self.expected, self.now)}"
            lines += [starts if known else "its start cannot be predicted"]
        return "\n".join(lines)


def explain(standing: Standing, near: Near | None = None) -> Why:
    """Return the explanation why an event waits.

    Args:
        standing: The facts that the store knows.
        near: The facts that this process knows, if it runs the queue, or is to run it.
    """
    near = near or Near(works=False)
    holds = tuple(_holds(standing, near))
    is_due = standing.due is None or standing.due <= standing.now
    waits = standing.status is _S.PENDING
    return Why(
        standing.id,
        standing.queue,
        standing.kind,
        standing.status,
        standing.now,
        standing.ahead + 1 if waits and is_due else None,
        holds,
        _expected(standing, holds) if waits else None,
    )


def _holds(at: Standing, near: Near) -> Iterator[Hold]:
    if at.status in TERMINAL:
        yield Hold("ended", f"it has finished: {at.status.value}{_cancelled_by(at)}")
    elif at.status is _S.PROCESSING and near.is_starting and near.is_paused:
        yield Hold(
            "paused",
            "this process has claimed it and is paused, so it returns the claim: resume() "
            "lets events start again",
        )
    elif at.status is _S.PROCESSING and near.is_starting and not near.works:
        yield Hold(
            "no worker",
            f"this process has claimed it and was stopped, so it returns the claim: {_START}",
        )
    elif at.status is _S.PROCESSING and near.is_starting:
        yield Hold(
            "claimed",
            "this process has claimed it, and checks its permission or waits for the rate limit",
        )
    elif at.status is _S.PROCESSING:
        worker = f"worker {at.holder} has it" if at.holder else "a worker has it"
        yield Hold("running", f"{worker}, attempt {at.attempt}{_cancelled_by(at)}")
    else:
        yield from _of_its_own(at)
        yield from _of_workers(at, near)
        for room in at.rooms:
            yield from _of_limit(room, at.now)
        if near.window_at is not None and near.window_at > at.now:
            yield Hold(
                "window",
                "the rate limit is reached (queue_capacity in capacity_refresh_time): the "
                f"next start is {_when(near.window_at, at.now)}",
                near.window_at,
            )
        if at.ahead:
            yield Hold("behind", _behind(at))


def _cancelled_by(at: Standing) -> str:
    """Return who has cancelled the event, if that is on record."""
    last = at.actions[-1] if at.actions else None
    is_cancel = last is not None and last.what == "cancel"
    return f"; {last}" if is_cancel and at.status in (_S.CANCELLED, _S.PROCESSING) else ""


def _of_its_own(at: Standing) -> Iterator[Hold]:
    """Yield the reasons that the event and its queue have on record."""
    if at.blockers is not None:
        yield Hold("parents", _blocked(at.blockers, at.queue))
    elif at.due is not None and at.now < at.due < inf:
        when = _when(at.due, at.now)
        if at.denials:
            text = f"permission was denied {at.denials} of {MAX_DENIALS} times: asked again {when}"
            yield Hold("denied", text, at.due)
        elif at.tries:
            text = f"it failed {at.tries} {_times(at.tries)}: tried again {when}"
            yield Hold("retry", text, at.due)
        else:
            yield Hold("due", f"it is scheduled: due {when}", at.due)
    if at.paused is not None and at.paused > at.now:
        if at.paused >= FOR_EVER:
            named = at.pause is not None and at.pause.by is not None
            text = (
                f"the whole queue is paused by hand{f' ({at.pause})' if named else ''}: resume it "
                'with executor.resume(scope="queue"), on its page, with `lionpride resume` or in '
                "`lionpride top`"
            )
            yield Hold("queue paused", text)
        else:
            text = (
                "the whole queue waits, for a service's retry_after or by hand: it "
                f"continues {_when(at.paused, at.now)}"
            )
            yield Hold("queue paused", text, at.paused)


def _blocked(by: Blockers, queue: str) -> str:
    """Return the parents that an event waits for, and how they have to finish."""
    where = "" if by.queue == queue else f" in queue {by.queue}"
    parent = f"{by.kind} {by.id} ({by.status.value}{where})"
    which = f"its parent {parent}" if by.total == 1 else f"{by.total:,} parents"
    first = "" if by.total == 1 else f", first {parent}"
    return f"it waits for {which} to {_TO[by.when]}{first}"


def _of_workers(at: Standing, near: Near) -> Iterator[Hold]:
    """Yield the reasons why no worker can start it."""
    ending = [worker for worker in at.workers if worker.is_live and _is_ending(worker)]
    live = [worker for worker in at.workers if worker.is_live and not _is_ending(worker)]
    if not live and not near.works:
        stopped = f"{_named(ending)} stopped, and starts nothing more" if ending else ""
        problem = stopped or f"nothing is running queue {at.queue}"
        yield Hold("no worker", f"{problem}: {_START}")
    if not live and near.is_paused:
        yield Hold("paused", "this process is paused: resume() lets events start again")
    known = [worker for worker in live if worker.about is not None]
    going = [worker for worker in known if worker.about and not worker.about.paused]
    if near.foreign is not None:
        yield Hold("class", near.foreign)
    yield from _of_what_cannot_be_read(at, near, going)
    if len(known) < len(live) or not live:
        return
    if not going:
        yield Hold("paused", f"{_named(live)} paused: resume() lets events start again")
    elif all(worker.about and worker.running >= worker.about.slots for worker in going):
        slots = sum(worker.about.slots for worker in going if worker.about)
        yield Hold(
            "slots",
            f"all {slots:,} slots are in use (concurrency_limit): a running event has to finish",
        )


def _is_ending(worker: QueueWorker) -> bool:
    return worker.about is not None and worker.about.stopped


def _of_what_cannot_be_read(at: Standing, near: Near, going: list[QueueWorker]) -> Iterator[Hold]:
    """Yield the workers that could not read events of its class."""
    if near.unreadable is not None:
        yield Hold(
            "unreadable",
            f"this process cannot read it, or others of its class ({near.unreadable}): it waits "
            "for a worker of the release that appended it",
        )
        return
    for worker in going:
        assert worker.about is not None, "it has said something of itself"
        for one in worker.about.unreadable:
            if one.kind == at.kind:
                which = "it" if one.example == str(at.id) else f"others of its class, {one.example}"
                yield Hold(
                    "unreadable",
                    f"worker {worker.name} could not read {which} ({one.reason}): what it cannot "
                    "read waits for a worker of the release that appended it",
                )
        if at.kind in worker.about.missing:
            yield Hold("class", f"worker {worker.name} does not run {at.kind}")


def _of_limit(room: Room, now: float) -> Iterator[Hold]:
    until = None if room.at == inf else room.at
    waits = [span for span in (room.per, until and until - now) if span and span > 0]
    unit = unit_of(*waits) if waits else "s"
    much = number(room.amount)
    if room.per is not None:
        much += f" in {in_unit(room.per, unit)}"
    if room.cost > room.amount:
        yield Hold("never", f"it costs {_cost(room)}, which is {much}: it can never start")
    elif room.at > now:
        there = "when a running event finishes" if until is None else _when(until, now, unit)
        text = (
            f"{_name(room)} has {number(room.used)} of {much} taken, and it needs "
            f"{number(room.cost)}: available {there}"
        )
        yield Hold("limit" if room.key is None else "key", text, until)


def _cost(room: Room) -> str:
    return f"{number(room.cost)} of limit {room.limit}"


def _name(room: Room) -> str:
    if room.limit in (CAPACITY, CONCURRENCY):
        return f"{room.limit} of all workers together"
    return f"limit {room.limit}" + ("" if room.key is None else f" of key {room.key}")


def _behind(at: Standing) -> str:
    """Return how many events are before it, and the limit that the first of them waits for."""
    room = _full(at.first, at.now)
    if at.first is None or room is None:
        return f"{at.ahead:,} {_are(at.ahead)} before it"
    which = "the one before it" if at.ahead == 1 else f"the first of the {at.ahead:,} before it"
    that = f"it is {at.first.kind} {at.first.id}"
    if room.cost > room.amount:
        much = number(room.amount)
        return f"{which} can never start: it costs {_cost(room)}, which is {much}; {that}"
    there = "when a running event finishes" if room.at == inf else _when(room.at, at.now)
    return f"{which} waits for {_name(room)}: available {there}; {that}"


def _full(first: First | None, now: float) -> Room | None:
    """Return the limit that an event waits for; of several, the one with the latest time."""
    rooms = () if first is None else first.rooms
    full = [room for room in rooms if room.at > now or room.cost > room.amount]
    return max(full, key=lambda room: (room.cost > room.amount, room.at), default=None)


def _expected(at: Standing, holds: tuple[Hold, ...]) -> float | None:
    """Return the expected start; None if it is unknown, or an earlier event may delay it."""
    timed = [hold for hold in holds if hold.kind != "behind"]
    if any(hold.until is None for hold in timed):
        return None
    is_shared = any(hold.kind in ("limit", "key") for hold in timed)
    is_shared = is_shared or _full(at.first, at.now) is not None
    if at.ahead and (is_shared or _free_slots(at) <= at.ahead):
        return None
    return max((hold.until for hold in timed if hold.until is not None), default=at.now)


def _free_slots(at: Standing) -> float:
    """Return the number of free slots of all workers that report it."""
    return sum(
        worker.about.slots - worker.running
        for worker in at.workers
        if worker.is_live
        and worker.about is not None
        and not (worker.about.paused or worker.about.stopped)
    )


def _named(workers: list[QueueWorker]) -> str:
    one = len(workers) == 1
    return f"worker {workers[0].name} is" if one else f"all {len(workers)} workers are"


def _are(n: int) -> str:
    return "event is" if n == 1 else "events are"


def _times(n: int) -> str:
    return "time" if n == 1 else "times"


def _when(at: float | None, now: float, unit: str | None = None) -> str:
    if at is None:
        return "at an unknown time"
    if at <= now:
        return "at once"
    clock = datetime.fromtimestamp(at, UTC)
    return f"in {in_unit(at - now, unit or unit_of(at - now))} (at {clock:%Y-%m-%d %H:%M:%S} UTC)"
