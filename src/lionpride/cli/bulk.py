"""Changes of all events that match a filter: counted, confirmed, and made in pieces."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Unpack
from uuid import UUID

from ..core import EventStatus
from ..drawing.text import plural
from ..stores.bulk import matching_pages
from ..stores.contract import Store
from ..stores.inspector import EventFilter
from ..stores.record import Record
from .grammar import F, option
from .output.streams import tell, warn
from .output.table import json_line
from .selection import Chosen, filter_of
from .store.queues import StoreQueues
from .usage import UsageError

__all__ = ["Change", "Consent", "ask", "change_matching", "check_choice", "confirm_options"]


class Change(NamedTuple):
    """A change of events.

    Attributes:
        word: The name of the command.
        past: What the events are afterwards, in words.
        passes: The statuses of the events that it can change, in the order in which they are
            looked for. An event that moves meanwhile is met in a later pass.
        apply: Changes events of a store, and returns the answer for each that it has changed.
    """

    word: str
    past: str
    passes: Sequence[EventStatus]
    apply: Callable[[Store, Sequence[UUID]], Awaitable[Mapping[UUID, str]]]


class Consent(NamedTuple):
    """Whether the change is to be made.

    Attributes:
        yes: True if it is not asked about.
        dry_run: True to count the events only.
    """

    yes: bool
    dry_run: bool


def confirm_options(function: F) -> F:
    """Add ``--yes`` and ``--dry-run``, as the parameters `yes` and `dry_run`."""
    yes = option("--yes", is_flag=True, help="do not ask")
    dry_run = option("--dry-run", is_flag=True, help="count the events, and change nothing")
    return yes(dry_run(function))


def check_choice(word: str, ids: Sequence[str], queue: str | None, chosen: Chosen) -> None:
    """Check that either ids or a filter is given; a queue without ids is a filter.

    Args:
        word: The name of the command.
        ids: The events that are named.
        queue: The value of --queue.
        chosen: The values of the other filters.

    Raises:
        UsageError: if both are given, or none.
    """
    is_chosen = any(value not in (None, False, "") for value in chosen.values())
    if ids and is_chosen:
        raise UsageError(f"{word}: give the ids of events, or a filter, but not both")
    if not (ids or is_chosen or queue is not None):
        raise UsageError(
            f"{word}: give the ids of events, or a filter such as --status, --kind or --queue"
        )


def ask(question: str, consent: Consent) -> bool:
    """Return True if the change is to be made; ask on a terminal.

    Raises:
        UsageError: if there is no terminal to ask on.
    """
    if consent.yes:
        return True
    if not (sys.stdin is not None and sys.stdin.isatty()):
        raise UsageError(f"{question} There is no terminal to ask on: add --yes")
    tell()
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    warn("nothing was changed")
    return False


async def change_matching(
    queues: StoreQueues, change: Change, consent: Consent, as_json: bool, **chosen: Unpack[Chosen]
) -> int:
    """Change the events that match, and return the exit status.

    Events that are appended after the count are not changed. An event that cannot be changed any
    more, since another process was faster, is counted as skipped.

    Raises:
        UsageError: if no event with the given status can be changed.
    """
    what = await filter_of(chosen, queues)
    able = list(dict.fromkeys(change.passes))
    if what.status not in (None, *able) or (what.blocked and EventStatus.PENDING not in able):
        given = "--blocked" if what.blocked else f"--status {what.status}"
        raise UsageError(f"{change.word} {given}: give one of {', '.join(able)}")
    filters = await _bounded(queues, what, chosen)
    if what.status is not None or what.blocked:
        able = [what.status or EventStatus.PENDING]
    count = 0
    for queue, one in filters.items():
        found = {s: await _count(queues, queue, replace(one, status=s)) for s in able}
        count += sum(found.values())
        if consent.dry_run and as_json:
            counts = {status.value: n for status, n in found.items()}
            tell(json_line({"queue": queue, "matching": sum(counts.values()), **counts}))
    if consent.dry_run:
        if not as_json:
            tell(f"{plural(count, 'event')} would be {change.past}")
        return 0
    if count and not ask(f"{change.word}: {plural(count, 'event')}?", consent):
        return 1
    done = skipped = 0
    passes = [each for each in change.passes if each in able]
    for queue, one in filters.items() if count else ():
        changed, left = await _change(queues.of(queue), change, one, passes, as_json)
        done, skipped = done + changed, skipped + left
    words = f"{plural(done, 'event')} {'is' if done == 1 else 'are'} {change.past}"
    if skipped:
        words += f"; {skipped:,} skipped, since another process was faster"
    if not as_json:  # there, each event is a line
        tell(words)
    return 0


async def _change(
    store: Store,
    change: Change,
    what: EventFilter,
    passes: Sequence[EventStatus],
    as_json: bool,
) -> tuple[int, int]:
    """Change the events of a queue; return the numbers of changed and of skipped ones."""
    done = skipped = 0
    for status in passes:
        async for page in matching_pages(store.inspector, replace(what, status=status)):
            answers = await change.apply(store, [record.id for record in page])
            done += len(answers)
            skipped += len(page) - len(answers)
            if as_json:
                tell("\n".join(json_line(_told(record, answers)) for record in page))
    return done, skipped


def _told(record: Record, answers: Mapping[UUID, str]) -> dict[str, str]:
    head = {"id": str(record.id), "queue": record.queue, "was": record.status.value}
    return head | {"answer": answers.get(record.id, "skipped")}


async def _bounded(
    queues: StoreQueues, what: EventFilter, chosen: Chosen
) -> dict[str, EventFilter]:
    """Return the filter for each queue: only events that have arrived by now."""
    filters = {}
    for queue in queues.names:
        last = await queues.of(queue).last_arrival()
        upto = last if chosen["before"] is None else min(last, chosen["before"] - 1)
        if upto > (chosen["after"] or 0):
            filters[queue] = replace(what, upto=upto, above=chosen["after"])
    return filters


async def _count(queues: StoreQueues, queue: str, what: EventFilter) -> int:
    return await queues.of(queue).inspector.count_events(what)
