"""``lionpride schedules``: the schedules of a store, and changes of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, tzinfo
from typing import Any, Final, TypeAlias

import click

from ...core import Executor
from ...drawing.text import one_line, plural, shorten
from ...engine.schedules import Schedules
from ...errors import NotFoundError
from ...model.recurrence import Cron, Rule
from ...view.plain_json import plain_json
from ...view.redact import hide_secrets
from ...view.schedules import (
    ShownSchedule,
    next_instants,
    options_text,
    rule_text,
    schedules_of,
)
from ..grammar import argument, json_option, option, store_command
from ..output.streams import tell
from ..output.table import json_line, show_table
from ..store.location import StoreLocation, locate_store
from ..store.queues import StoreQueues
from ..targets.executor import build
from ..targets.target import load_targets, target_option
from ..usage import UsageError, past_time, whole_number

__all__ = ["schedules"]

COUNT: Final = 10
"""Number of instants that `next` prints without --count."""

DESCRIPTION = """\
List the schedules of a store, or carry out an ACTION. `next` prints the coming instants of all
schedules, or of those that are named. `pause`, `resume` and `remove` change schedules. `run`
appends an event now. `backfill` appends the events of past instants from --start to --end; events
that the store has are left out.
"""

WORDS: Final = ("list", "next", "pause", "resume", "run", "backfill", "remove")

Action: TypeAlias = Callable[
    [Schedules, ShownSchedule, "Period"], Awaitable[tuple[str, dict[str, Any]]]
]
"""Changes a schedule; returns what it has done, in words and as data."""


@dataclass(frozen=True, slots=True)
class Period:
    """The options of an action.

    Attributes:
        count: Maximum number of instants that `next` prints.
        start: The first instant of `backfill`, a Unix timestamp.
        end: The last one; None for now.
    """

    count: int | None
    start: float | None
    end: float | None


@store_command("schedules", help=DESCRIPTION)
@argument(
    "action",
    metavar="[ACTION]",
    type=click.Choice(WORDS),
    default="list",
    help=f"list (the default), {', '.join(WORDS[1:])}",
)
@argument("names", metavar="[NAME...]", nargs=-1, help="names of schedules")
@option("--count", metavar="N", type=whole_number, help=f"next: at most N instants ({COUNT})")
@option(
    "--start",
    metavar="T",
    type=past_time,
    help="backfill: from then on: 12h or 7d ago, or a time as 2026-01-31T12:00 (UTC)",
)
@option("--end", metavar="T", type=past_time, help="backfill: until then; by default until now")
@target_option(
    "run and backfill: the target of the workers; the max_queue_size of its executor holds"
)
@json_option("schedule or instant")
async def schedules(
    store: str,
    queue: str | None,
    action: str,
    names: tuple[str, ...],
    count: int | None,
    start: float | None,
    end: float | None,
    targets: tuple[str, ...],
    as_json: bool,
) -> int:
    """List them, or carry out the action on each in turn, once all names are checked."""
    period = Period(count, start, end)
    _check(action, names, period, targets)
    location = locate_store(store)
    async with StoreQueues(location, queue) as queues, _executors(location, targets) as executors:
        known = [each for name in queues.names for each in await schedules_of(queues.of(name))]
        found = _named(known, names, queues.location.name) if names else known
        if action == "list":
            _list(found, as_json)
        elif action == "next":
            _next(found, count or COUNT, as_json)
        else:
            for each in found:
                executor = executors.get(each.queue)
                own = Schedules(queues.of(each.queue)) if executor is None else executor.schedules
                until = queues.of(each.queue).time() if end is None else end
                text, data = await ACTIONS[action](own, each, replace(period, end=until))
                name = each.record.name
                head = {"queue": each.queue, "name": name}
                tell(json_line(head | data) if as_json else f"{one_line(name)}: {text}")
    return 0


@asynccontextmanager
async def _executors(
    location: StoreLocation, targets: Sequence[str]
) -> AsyncIterator[Mapping[str, Executor]]:
    """Make the executors of targets, by queue; close them at the end."""
    async with AsyncExitStack() as stack:
        found = {}
        for target in [each for text in targets for each in load_targets(text)]:
            executor = build(target, {}, location, None)
            stack.push_async_callback(executor.store.close)
            found[executor.store.queue] = executor
        yield found


def _check(action: str, names: Sequence[str], period: Period, targets: Sequence[str]) -> None:
    """Check that the options belong to the action.

    Raises:
        UsageError: if one does not, or one is missing.
    """
    owners = {"count": "next", "start": "backfill", "end": "backfill"}
    for name, value in asdict(period).items():
        if value is not None and action != owners[name]:
            raise UsageError(f"--{name} is an option of {owners[name]}: leave it out for {action}")
    if targets and action not in ("run", "backfill"):
        raise UsageError(f"--target is an option of run and backfill: leave it out for {action}")
    if action in ACTIONS and not names:
        raise UsageError(f"{action}: give the name of a schedule; without ACTION they are listed")
    if action == "backfill" and period.start is None:
        raise UsageError("backfill: give the first instant, as --start 7d")


def _named(known: Sequence[ShownSchedule], names: Sequence[str], store: str) -> list[ShownSchedule]:
    """Return the schedules of these names, each once.

    Raises:
        NotFoundError: if there is none of a name.
        UsageError: if several queues have one of a name.
    """
    found = []
    for name in dict.fromkeys(names):
        fits = [each for each in known if each.record.name == name]
        if not fits:
            there = ", ".join(dict.fromkeys(one_line(each.record.name) for each in known)) or "none"
            raise NotFoundError(
                f"{shorten(name, 40)!r}: {store} has no schedule of this name; it has {there}"
            )
        if len(fits) > 1:
            queues = ", ".join(each.queue for each in fits)
            raise UsageError(f"{name!r} is in the queues {queues}: name one with --queue")
        found += fits
    return found


# -- output ------------------------------------------------------------------------------------


def _list(found: Sequence[ShownSchedule], as_json: bool) -> None:
    if as_json:
        for each in found:
            data = each._replace(record=hide_secrets(each.record)).to_dict()
            tell(json_line(data | {"payload": plain_json(data["payload"])}))
        return
    if not found:
        tell("there are no schedules; executor.schedule(name, event, rule) makes one")
        return
    headings = ["name", "queue", "kind", "rule", "options", "state", "next", "last"]
    rows = []
    for each in found:
        record = each.record
        last = None if record.last is None else record.last.at
        texts = rule_text(record), options_text(record.schedule), each.state
        rows.append([record.name, each.queue, record.kind, *texts, _utc(record.next), _utc(last)])
    show_table(headings, rows)
    skipped = [each for each in found if each.record.skipped is not None]
    if skipped:
        tell("\n")
        show_table(
            ["name", "skipped", "reason"],
            [
                [each.record.name, _utc(each.record.skipped.at), each.record.skipped.reason]
                for each in skipped
                if each.record.skipped is not None
            ],
        )


def _next(found: Sequence[ShownSchedule], count: int, as_json: bool) -> None:
    instants = [(at, each) for each in found for at in next_instants(each.record, count)]
    instants.sort(key=lambda each: each[0])
    rows = []
    for at, each in instants[:count]:
        local = datetime.fromtimestamp(at, _zone_of(each.record.schedule.rule))
        if as_json:
            head = {"queue": each.queue, "name": each.record.name}
            tell(json_line(head | {"at": at, "local": local.isoformat()}))
        rows.append([_utc(at), f"{local:%Y-%m-%d %H:%M:%S %z}", each.record.name, each.queue])
    if not as_json:
        if rows:
            show_table(["time (UTC)", "local time", "name", "queue"], rows)
        else:
            tell("there are no instants: no schedule is active")


def _zone_of(rule: Rule) -> tzinfo:
    """Return the time zone of a rule."""
    if not isinstance(rule, Cron) or rule.tz == "UTC":
        return UTC
    from zoneinfo import ZoneInfo  # late: most commands need none

    return ZoneInfo(rule.tz)


def _utc(at: float | None) -> str:
    return "" if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}"


# -- actions -----------------------------------------------------------------------------------


async def _pause(own: Schedules, one: ShownSchedule, _: Period) -> tuple[str, dict[str, Any]]:
    await own.pause(one.record.name)
    return "paused", {"state": "paused", "next": None}


async def _resume(own: Schedules, one: ShownSchedule, _: Period) -> tuple[str, dict[str, Any]]:
    record = await own.resume(one.record.name)
    state = one._replace(record=record).state
    text = f"next at {_utc(record.next)} UTC" if record.next is not None else "no instants are left"
    return text, {"state": state, "next": record.next}


async def _run(own: Schedules, one: ShownSchedule, _: Period) -> tuple[str, dict[str, Any]]:
    uid = str(await own.run(one.record.name))
    return f"appended {uid}", {"ids": [uid]}


async def _backfill(
    own: Schedules, one: ShownSchedule, period: Period
) -> tuple[str, dict[str, Any]]:
    assert period.start is not None
    assert period.end is not None
    ids = await own.backfill(one.record.name, period.start, period.end)
    return f"appended {plural(len(ids), 'event')}", {"ids": list(map(str, ids))}


async def _remove(own: Schedules, one: ShownSchedule, _: Period) -> tuple[str, dict[str, Any]]:
    await own.remove(one.record.name)
    again = "; a worker that declares it makes it again at its start" if one.is_declared else ""
    return f"removed{again}", {"state": "removed"}


ACTIONS: Final[dict[str, Action]] = {
    "pause": _pause,
    "resume": _resume,
    "run": _run,
    "backfill": _backfill,
    "remove": _remove,
}
