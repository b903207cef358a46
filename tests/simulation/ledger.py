"""What must hold of an executor, checked against what its events' own code saw."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from uuid import UUID

from simulation.tasks import SLIPS, Crew, Task

from lionpride.core import EventStatus, Executor, Transition
from lionpride.rules.state_machine import MAX_DENIALS, TRANSITIONS

S = EventStatus


@dataclass(frozen=True)
class Start:
    """A true start: when user code was entered, and by whose call."""

    at: float
    id: UUID
    crew: Crew


class Book:
    """The ledger of one executor. What it finds wrong is in ``faults``, since code that raises
    inside an event would only fail that event.

    Args:
        executor: Whose events they are.
        limit: Its concurrency limit.
        capacity, span: Its window; None for no limit.
        slow: Whether permission may take time, so that an event is claimed before it starts.
        noted: Whether its claims are judged when they are made, since its store suspends.
    """

    def __init__(
        self,
        executor: Executor,
        limit: int,
        capacity: int | None,
        span: float,
        *,
        slow: bool,
        noted: bool,
    ) -> None:
        self.executor = executor
        self.limit = limit
        self.capacity = capacity
        self.span = span
        self.slow = slow
        self.noted = noted
        self.now = asyncio.get_running_loop().time
        self.accepted: dict[UUID, Task] = {}
        self.moving: set[UUID] = set()  # being taken in, or let go of
        self.claimed: dict[UUID, float] = {}  # when; not yet settled
        self.priorities: dict[UUID, float] = {}
        self.refused: dict[UUID, int] = {}
        self.in_a_row: dict[UUID, int] = {}
        self.active: dict[UUID, Crew] = {}
        self.starts: list[Start] = []
        self.asking: Task | None = None
        self.crews: set[Crew] = set()
        self.shown: dict[UUID, EventStatus] = {}
        self.faults: list[str] = []

    def demand(self, holds: bool, text: str) -> None:
        if not holds:
            self.faults.append(f"at {self.now():g}: {text}")

    # -- told by the events ------------------------------------------------------------------

    def begins(self, task: Task, crew: Crew) -> None:
        uid, demand = task.id, self.demand
        known = uid in self.accepted or uid in self.moving
        demand(known, f"{task.label} was never accepted")
        demand(uid not in self.active, f"{task.label} runs twice at once")
        demand(not crew.closed, f"{task.label} was started by a {crew.kind} that has ended")
        demand(task.status is S.PROCESSING, f"{task.label} runs and is {task.status}")
        self.starts.append(Start(self.now(), uid, crew))
        self.active[uid] = crew
        self.in_a_row[uid] = 0
        demand(len(self.active) <= self.limit, f"{len(self.active)} run, more than {self.limit}")
        if crew.kind == "forward":
            self._check_round(task, crew)
        else:
            self._check_window()
        self._check_order(task, crew)
        crew.began.append(uid)
        crew.seen.add(uid)
        self.agree()

    def ends(self, task: Task) -> None:
        self.demand(task.status is S.PROCESSING, f"{task.label} ends and is {task.status}")
        self.agree()
        self.active.pop(task.id, None)

    async def permits(self, task: Task, crew: Crew) -> bool:
        self.demand(self.asking is None, "two are asked at once")
        self.demand(task.status is S.PENDING, f"{task.label} is asked and is {task.status}")
        self._check_order(task, crew)
        crew.seen.add(task.id)
        if task.asking:
            with self._is_asked(task):
                await asyncio.sleep(task.asking)
        if self.refused.get(task.id, 0) < task.refusals:
            self.refused[task.id] = self.refused.get(task.id, 0) + 1
            self.in_a_row[task.id] = self.in_a_row.get(task.id, 0) + 1
            return False
        return True

    @contextmanager
    def _is_asked(self, task: Task) -> Iterator[None]:
        self.asking = task
        try:
            yield
        finally:
            self.asking = None

    # -- what must hold at a start -----------------------------------------------------------

    def runs(self, task: Task) -> int:
        """How often it has been started."""
        return sum(1 for start in self.starts if start.id == task.id)

    def recent(self) -> int:
        """Starts in (now - span, now], in exact arithmetic."""
        edge = Fraction(self.now()) - Fraction(self.span)
        return sum(1 for start in self.starts if Fraction(start.at) > edge)

    def _check_window(self) -> None:
        """C2: at most so many starts in any window that ends with a start by execute()."""
        if self.capacity is not None:
            count = self.recent()
            self.demand(
                count <= self.capacity, f"C2: {count} starts in {self.span} s, not {self.capacity}"
            )

    def _check_round(self, task: Task, crew: Crew) -> None:
        """forward() is one round of what was there, each once, and so many at most."""
        arrival = task.execution.arrival or 0
        self.demand(arrival <= crew.until, f"{task.label} came after forward() was called")
        self.demand(task.id not in crew.began, f"{task.label} is run twice by one forward()")
        most = len(crew.began) + 1
        self.demand(
            self.capacity is None or most <= self.capacity, f"forward() runs {most} at least"
        )

    def key(self, task: Task) -> tuple[float, int]:
        return self.priorities[task.id], task.execution.arrival or 0

    def may_start(self, task: Task, crew: Crew | None = None) -> bool:
        """Whether a pending event is due; a round overrides a denial, and has its bounds."""
        state = task.execution
        is_due = state.due is None or state.due <= self.now()
        if crew is None or crew.kind == "execute":
            return is_due
        is_its = (state.arrival or 0) <= crew.until and task.id not in crew.seen
        return is_its and (is_due or state.denials > 0)

    def _check_order(self, task: Task, crew: Crew) -> None:
        """P1: no event that waits, and may start, has a smaller key."""
        if self.slow:
            return
        if self.noted:  # then it was judged at the claim, and none is hoarded
            at_once = self.claimed.get(task.id) == self.now()
            asked = task.id in crew.seen and task.status is S.PROCESSING
            self.demand(at_once or asked, f"P1: {task.label} waited under its claim")
            return
        mine = self.key(task)
        for other in self.executor.pending_events:
            if other is not task and self.key(other) < mine and self.may_start(other, crew):
                self.demand(False, f"P1: {task.label} goes before {other.label}")

    # -- what must hold always ---------------------------------------------------------------

    def agree(self) -> None:
        """S1, S2: status, progression, list and count agree, and none is lost."""
        counts, held = self.executor.status_counts(), dict[UUID, EventStatus]()
        for status in EventStatus:
            events = list(self.executor.get_events_by_status(status))
            ids = [event.id for event in events]
            order = self.executor.states.get_progression(status.value).order
            self.demand(ids == order, f"S1: {status} lists other events than its progression")
            self.demand(len(ids) == counts[status], f"S2: {status} counts {counts[status]}")
            for event in events:
                self.demand(event.status is status, f"S1: {event.label} is listed as {status}")
                self.demand(event.id not in held, f"S1: {event.label} is listed twice")
                held[event.id] = status
        others = held.keys() ^ self.accepted.keys()
        self.demand(others <= self.moving, "S1: held is not what was accepted")
        running = {uid for uid, status in held.items() if status is S.PROCESSING}
        self.demand(self.active.keys() <= running, "an event runs that is not PROCESSING")

    def at_rest(self) -> None:
        """What must hold when nothing is left to do at this instant: nobody waits for nothing."""
        self.agree()
        running = {event.id for event in self.executor.processing_events}
        self.demand(running == self.active.keys(), "an event is PROCESSING that does not run")
        open_window = self.capacity is None or self.recent() < self.capacity
        works = any(crew.kind == "execute" and crew.works() for crew in self.crews)
        if works and open_window and len(self.active) < self.limit and self.asking is None:
            idle = [each.label for each in self.executor.pending_events if self.may_start(each)]
            self.demand(not idle, f"L1: {idle} could start, and do not")

    def told(self, transition: Transition) -> None:
        """S3: observers hear of every step, along the arrows, and all agrees meanwhile."""
        self.agree()
        uid, before, after = transition.event.id, transition.before, transition.after
        known = self.shown.pop(uid, before)
        self.demand(known is before, f"S3: {known} was left as {before}")
        if before is not None and after is not None:
            self.demand(after in TRANSITIONS[before], f"S3: {before} became {after}")
        if after is not None:
            self.shown[uid] = after
            stands = transition.event.status
            # Where the store suspends, more than one step may be safe before the first is told.
            is_right = stands is after or self.noted
            self.demand(is_right, f"S3: told of {before} to {after}, and it is {stands}")

    def ended_as_planned(self, task: Task, cancelled: bool) -> None:
        """The status that an event must have when nothing is left to do."""
        status, state = task.status, task.execution
        wanted = {"return": S.COMPLETED, "raise": S.FAILED, "skip": S.SKIPPED, "late": S.CANCELLED}
        expected = wanted.get(task.how, S.COMPLETED)
        if self.in_a_row.get(task.id, 0) >= MAX_DENIALS:
            expected = S.ABORTED
        if cancelled:
            expected = S.CANCELLED
        self.demand(status is expected, f"{task.label} ended {status}, not {expected}")
        if status is S.COMPLETED:
            wanted_response = [task.label] if task.streaming else task.label
            self.demand(state.response == wanted_response, f"{task.label} gave {state.response}")
        if task.retry is not None and not cancelled and status is not S.ABORTED:
            tries = SLIPS if task.how == "slip" else task.retry.attempts
            self.demand(
                state.tries == tries, f"{task.label} failed {state.tries} times, not {tries}"
            )
            kept = len(state.attempts)
            self.demand(kept >= min(tries, 20), f"{task.label} has {kept} attempts on record")


def standing(task: Task) -> dict[str, object]:
    """What a dump has to say of an event."""
    names = ("status", "priority", "attempt", "tries", "denials", "interruptions", "due")
    return {name: getattr(task.execution, name) for name in names}
