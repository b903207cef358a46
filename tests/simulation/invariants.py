"""The invariants of the store contract, each a function that is named for it.

Each looks at one step: what a store showed before it, what was asked and answered, what the
store showed after it, and what is known of the history. It raises ``Broken`` or says nothing.
"""

from collections.abc import Callable
from math import inf
from typing import Any, TypeAlias
from uuid import UUID

from simulation.shown import Shown
from simulation.story import Broken, History, Step, short

from lionpride.errors import (
    DependencyError,
    ExistsError,
    NotFoundError,
    OperationError,
    QueueFullError,
)
from lionpride.model.execution import TERMINAL, EventStatus
from lionpride.rules.state_machine import MAX_INTERRUPTIONS, TRANSITIONS
from lionpride.stores.record import Record

S = EventStatus


Check: TypeAlias = Callable[[Shown, Step, Shown, History], None]


def demand(holds: bool, text: str) -> None:
    if not holds:
        raise Broken(text)


# -- S: one status ---------------------------------------------------------------------------------


def s1(_before: Shown, step: Step, after: Shown, history: History) -> None:
    """One status for each id; the listings together are what was accepted less what was pruned."""
    everywhere = [uid for ids in after.listed.values() for uid in ids]
    held = [uid for ids in after.progressions.values() for uid in ids]
    shown = history.here
    if history.partial:
        known = history.here | step.unsure
        strange = set(held) - known
        demand(not strange, f"S1: the progressions show {short(strange)}, which was never here")
        shown = set(held)
    for name, ids in (("pages", after.pages), ("listings", everywhere), ("progressions", held)):
        demand(len(ids) == len(set(ids)), f"S1: an id is twice in the {name}")
        wanted = shown if name == "progressions" else history.here
        demand(set(ids) == wanted, f"S1: the {name} are not what was accepted less pruned")
    demand(set(after.statuses) == shown, "S1: the items are not what was accepted")
    for status, ids in after.listed.items():
        for uid in ids:
            demand(after.records[uid].status is status, f"S1: {status} lists another status")
    for status, ids in after.progressions.items():
        for uid in ids:
            demand(after.statuses[uid] is status, f"S1: an event in {status} shows another")


def s2(_before: Shown, _step: Step, after: Shown, _history: History) -> None:
    """Counts equal listings."""
    sizes = {status: len(after.listed[status]) for status in EventStatus}
    demand(after.counts == sizes, f"S2: counts {after.counts} are not the listings' {sizes}")


def s3(before: Shown, step: Step, after: Shown, _history: History) -> None:
    """Only legal arrows; what has ended changes by a retry by hand alone."""
    for uid, record in before.records.items():
        if record.status in TERMINAL and uid in after.records and step.verb != "retry":
            now = after.records[uid].status
            demand(now is record.status, f"S3: {record.status} became {now} by {step.verb}")
    for uid, was in before.statuses.items():
        if step.renewed or uid in step.stale:
            continue
        now = after.statuses.get(uid, was)
        demand(now is was or now in TRANSITIONS[was], f"S3: {was} became {now}")
        if was not in (S.PENDING, S.PROCESSING) and step.verb != "retry":
            demand(now is was, f"S3: an ended event became {now} by {step.verb}")


# -- A and D: taking in, dumping and loading -------------------------------------------------------


def a1(before: Shown, step: Step, after: Shown, _history: History) -> None:
    """An append is idempotent by id, and takes all or nothing."""
    if step.verb != "append":
        return
    ids = [uid for uid, _ in step.given["entries"]]
    for uid, record in before.records.items():
        demand(after.records.get(uid) == record, "A1: an append changed an event that was there")
    fresh = [uid for uid in dict.fromkeys(ids) if uid not in before.records]
    if isinstance(step.answer, Exception):
        demand(after.records.keys() == before.records.keys(), "A1: a refused append left orphans")
        return
    demand(after.records.keys() == {*before.records, *fresh}, "A1: an append took not all")
    given = dict(reversed(step.given["entries"]))
    highest = max((record.number for record in before.records.values()), default=0)
    numbers = [after.records[uid].number for uid in fresh]
    demand(numbers == sorted(set(numbers)), "A1: the order of the batch is not that of arrival")
    demand(all(number > highest for number in numbers), "A1: a newcomer stands before others")
    for uid in fresh:
        demand(after.records[uid].priority == given[uid], "A1: the priority is another")
        waits = after.records[uid].status is S.PENDING or uid in step.resolved
        demand(waits, "A1: what is new does not wait")


STATE = ("priority", "attempt", "tries", "denials", "kind", "key", "costs")


def d1(before: Shown, step: Step, after: Shown, _history: History) -> None:
    """An acknowledged append survives the process, and one under way is all or nothing."""
    if step.renewed:
        lost = before.records.keys() - after.records.keys()
        demand(not lost, "D1: what was accepted is gone")
        new = after.records.keys() - before.records.keys()
        demand(new <= step.moved, "D1: what never was on disk is here")


def d2(before: Shown, step: Step, after: Shown, _history: History) -> None:
    """An acknowledged settlement survives the process, and one under way is all or nothing."""
    if not step.renewed or step.verb == "restart":
        return
    changed = step.moved | step.resolved | {uid for uid, _ in step.swept}
    for uid in (before.records.keys() & after.records.keys()) - changed:
        was, now = before.records[uid], after.records[uid]
        for name in ("status", "attempt", "tries", "interruptions", "priority"):
            demand(getattr(was, name) == getattr(now, name), f"D2: {name} is another")
        if was.status is not S.PROCESSING:
            demand(was.payload == now.payload, "D2: what is on record is another")


def d3(before: Shown, step: Step, after: Shown, _history: History) -> None:
    """A dump before a restart is the dump after it, but that what ran has been interrupted.

    Where the claims outlive the process, that comes with the end of their leases.
    """
    for was, now in step.dumps:
        if step.verb == "reopen":
            demand(was == now, f"D3: opened again, {was} is {now}")
        else:
            _check_copy(was, now)
    if step.verb != "restart":
        return
    demand(after.pages == before.pages, "D3: the order of arrival is another")
    for uid, was in before.records.items():
        now, shown = after.records[uid], before.statuses[uid]
        for name in STATE:
            demand(getattr(now, name) == getattr(was, name), f"D3: {name} is another")
        if shown is S.PROCESSING:
            demand(now.status in (S.PENDING, S.FAILED), "D3: what ran does not wait")
            demand(now.interruptions == was.interruptions + 1, "D3: no interruption is on record")
            continue
        if uid in step.resolved:
            continue  # a parent was interrupted once too often
        demand(now.status is shown, f"D3: {shown} became {now.status}")
        demand(now.due == was.due, "D3: the due time is another")
        demand(now.payload == was.payload, f"D3: the dump is another: {was.payload} {now.payload}")


def _check_copy(was: Record, now: Record) -> None:
    """D3: what an export says, an import gives."""
    names = ["id", "priority", "attempt", "tries", "kind", "key", "costs"]
    wanted = was.status, was.interruptions
    if was.status is S.PROCESSING:
        over = was.interruptions >= MAX_INTERRUPTIONS
        wanted = S.FAILED if over else S.PENDING, was.interruptions + 1
    else:
        names += ["denials", "payload"] + ["due"] * (was.status is S.PENDING)
    demand((now.status, now.interruptions) == wanted, f"D3: a copy of {was} is {now}")
    for name in names:
        before, after = getattr(was, name), getattr(now, name)
        if name == "payload":
            for each in (before, after):
                each["execution"].pop("due", None)  # an ended event may have left it
                if not was.is_blocked and not _is_for_a_parent(was):
                    each["execution"].pop("after", None)  # it was released, and waits no more
            before, after = _differing(before, after), _differing(after, before)
        demand(before == after, f"D3: {name} of a copy is {after}, was {before}")


def _is_for_a_parent(record: Record) -> bool:
    """Whether it was cancelled for a parent."""
    error: dict[str, Any] = record.payload["execution"].get("error") or {}
    return error.get("error") == DependencyError.__name__


def _differing(one: Any, other: Any) -> Any:
    """What one nested dict says otherwise than the other."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return one
    return {k: _differing(v, other.get(k)) for k, v in one.items() if v != other.get(k)}


# -- F: fencing ------------------------------------------------------------------------------------


def f1(_before: Shown, step: Step, _after: Shown, history: History) -> None:
    """Attempts strictly increase; no token is handed out twice."""
    for uid, attempt in step.answer if step.verb == "claim" else ():
        demand(attempt > history.attempts.get(uid, 0), f"F1: attempt {attempt} is not new")


def f2(before: Shown, step: Step, after: Shown, history: History) -> None:
    """A settlement of a claim that was lost changes nothing anywhere."""
    if step.verb != "settle":
        return
    settled = {(uid, attempt) for uid, attempt, _ in step.given["settlements"]}
    held = {token[0] for token in settled if history.outstanding.get(token) == step.by}
    swept = {uid for uid, _ in step.swept}  # if an event was late, a claim has followed and reaped
    for uid, record in before.records.items():
        if uid not in held | swept | step.resolved:
            demand(after.records.get(uid) == record, "F2: a stale settlement changed an event")
    demand(after.records.keys() == before.records.keys(), "F2: a settlement brought one back")


def f3(_before: Shown, step: Step, _after: Shown, history: History) -> None:
    """At most one settlement of an attempt is accepted."""
    if step.verb != "settle":
        return
    seen = set(history.applied)
    for (uid, attempt, _), answer in zip(step.given["settlements"], step.answer, strict=True):
        if answer.is_recorded:
            demand((uid, attempt) not in seen, "F3: an attempt was settled twice")
            is_its = history.outstanding.get((uid, attempt)) == step.by
            demand(is_its, "F3: a lost claim was settled")
            seen.add((uid, attempt))


def f4(_before: Shown, step: Step, _after: Shown, history: History) -> None:
    """No claim under a live lease."""
    if step.verb == "claim":
        taken = [uid for uid, _ in step.answer]
        demand(len(taken) == len(set(taken)), "F4: one claim has an event twice")
        held = {token[0] for token in history.outstanding if token not in step.swept}
        demand(held.isdisjoint(taken), "F4: an event was claimed under a live lease")


def f5(before: Shown, step: Step, after: Shown, _history: History) -> None:
    """Only failed attempts use up tries; interruptions do not exceed their maximum."""
    tries: dict[UUID, int] = {}
    swept = {uid for uid, _ in step.swept}
    if step.verb == "settle":
        answers = zip(step.given["settlements"], step.answer, strict=True)
        for (uid, _, outcome), answer in answers:
            if answer.is_recorded:
                tries[uid] = getattr(outcome, "tries", 0)
    for uid, was in before.records.items():
        now = after.records.get(uid)
        if now is None or step.verb == "retry" or uid in step.moved:
            continue
        if uid in swept:
            demand(now.interruptions == was.interruptions + 1, "F5: no interruption is on record")
            demand(now.denials == 0, "F5: a row of denials outlives the attempt")
        demand(now.tries == was.tries + tries.get(uid, 0), "F5: a try was used up or given back")
        over = now.interruptions > MAX_INTERRUPTIONS
        demand(not over or now.status not in (S.PENDING, S.PROCESSING), "F5: poison is run again")


# -- P: order --------------------------------------------------------------------------------------


def p1(_before: Shown, step: Step, _after: Shown, _history: History) -> None:
    """A claim is sorted, and leaves out no eligible event with a smaller key."""
    if step.verb == "claim":
        taken = [uid for uid, _ in step.answer]
        first = step.eligible[: step.given["n"]]
        demand(taken == first, f"P1: claimed {short(taken)} where {short(first)} come first")


def p2(before: Shown, step: Step, after: Shown, _history: History) -> None:
    """An event keeps its priority, and its arrival number for life."""
    for uid, was in before.records.items():
        now = after.records.get(uid)
        if now is not None:
            demand(now.priority == was.priority, "P2: a priority changed")
            demand(now.number == was.number or step.verb == "restart", "P2: a number changed")
    left = [uid for uid in before.pages if uid in after.records]
    demand(left == after.pages[: len(left)], "P2: the order of arrival changed")


def l1(_before: Shown, step: Step, _after: Shown, _history: History) -> None:
    """A claim that leaves something says so, and none is told to wait past what becomes due."""
    if step.verb != "claim" or "lease" not in step.given or step.given["denied"]:
        return
    if step.given["until"] is None and not step.given["skip"]:
        if len(step.eligible) > len(step.answer):
            demand(
                step.wait is not None and step.wait <= 1e-9,
                f"L1: there is more, and wait is {step.wait}",
            )
        later = [row.due for row in step.rows.values() if row.status is S.PENDING and row.due]
        later = [due for due in later if due != inf]
        demand(not later or step.wait is not None, "L1: what is due later is waited for by nobody")


# -- C and X: what is held, and the whole ----------------------------------------------------------


def c4(_before: Shown, _step: Step, after: Shown, history: History) -> None:
    """What is held is what is leased; nothing leaks."""
    held = {uid for uid, _ in history.outstanding}
    demand(set(after.listed[S.PROCESSING]) == held, "C4: what is processing is not what is claimed")


def c5(_before: Shown, _step: Step, after: Shown, history: History) -> None:
    """An event whose cancel was answered while it was claimed does not return to PENDING."""
    for uid, attempt in history.asked - history.outstanding.keys():
        now = after.records.get(uid)
        waits = now is not None and now.status in (S.PENDING, S.PROCESSING)
        demand(not waits, f"C5: attempt {attempt} was cancelled, and the event waits or runs again")


REFUSED = (NotFoundError, OperationError)
FULL = (ExistsError, QueueFullError)
COMPARED = ("status", "priority", "attempt", "tries", "denials", "interruptions")


def x1(_before: Shown, step: Step, after: Shown, history: History) -> None:
    """Every answer, and every row, is the naive reference's."""
    answer, expected = step.answer, step.expected
    for both in (REFUSED, FULL):
        if isinstance(answer, both) and isinstance(expected, both):
            answer = expected  # where both are true, either may be said
    if isinstance(answer, Exception) or isinstance(expected, Exception):
        answer, expected = type(answer), type(expected)
    demand(answer == expected, f"X1: answered {short(answer)}, expected {short(expected)}")
    demand(after.pages == list(step.rows), "X1: the pages are not the rows")
    for shown, wanted in step.parents:
        demand(shown == wanted, f"X1: the parents are {short(shown)}, expected {short(wanted)}")
    for uid, row in step.rows.items():
        record = after.records[uid]
        for name in COMPARED:
            found, wanted = getattr(record, name), getattr(row, name)
            demand(found == wanted, f"X1: {name} is {found}, expected {wanted}")
        kept = record.payload["execution"].get("attempts", [])
        demand(kept == [each._asdict() for each in row.attempts], f"X1: kept attempts are {kept}")
        if record.status is S.PENDING:
            demand(record.due == row.due, f"X1: due is {record.due}, expected {row.due}")
        for name, wanted in (("expires", row.expires), ("unique", row.unique)):
            said = record.payload["execution"].get(name)
            said = tuple(said) if isinstance(said, list) else said
            demand(said == wanted, f"X1: {name} is {said}, expected {wanted}")
        if uid not in step.unsure and (uid in after.statuses or not history.partial):
            shows = after.statuses[uid]
            demand(shows is row.shown, f"X1: shows {shows}, expected {row.shown}")


ON_ANSWER = ("F1", "F2", "F3", "F4")
"""Those that ask for the history before the step; the others ask for the one after it."""

ALL: dict[str, Check] = {
    check.__name__.upper(): check
    for check in (s1, s2, s3, a1, d1, d2, d3, f1, f2, f3, f4, f5, p1, p2, l1, c4, c5, x1)
}
