"""``lionpride run``: one event for each line of the input, run to its end."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Any

from ..core import Executor
from ..drawing.text import one_line, trouble
from ..errors import LionprideError
from .defaults import read_defaults
from .durable import Commands, Place, place_of
from .interrupt import last_call
from .job import Job, Plan
from .outputs import Output, open_output
from .resume import Fresh
from .source import open_source
from .streams import claim_stdout, tell
from .target import Target, load_target
from .usage import UsageError, positive_seconds, whole_number

__all__ = ["add"]

EPILOG = """\
exit status:
  0    everything ended COMPLETED or SKIPPED
  1    something failed, was cancelled or aborted, or a line was bad
  2    the command could not be carried out; nothing was run
  130  interrupted (143: by SIGTERM); what was running had finished, unless asked twice
"""


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "run",
        help="run one event for each line of a file",
        description="Run one event for each line of the input, by priority, within the limits.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "target",
        metavar="TARGET",
        help="file.py:Class or package.module:Class, an Event or an Executor",
    )
    parser.add_argument(
        "--input",
        metavar="FILE",
        required=True,
        help="a JSON object a line: the fields of one event, and its priority; - reads stdin",
    )
    parser.add_argument(
        "--output", metavar="FILE", help="write a JSON object for each event as it settles"
    )
    parser.add_argument("--timeline", metavar="FILE", help="draw the run as an SVG picture")
    parser.add_argument(
        "--concurrency", metavar="N", type=whole_number, help="run at most N at once"
    )
    parser.add_argument(
        "--capacity", metavar="N", type=whole_number, help="start at most N in any refresh time"
    )
    parser.add_argument(
        "--refresh", metavar="S", type=positive_seconds, help="the refresh time, in seconds"
    )
    parser.add_argument(
        "--timeout", metavar="S", type=positive_seconds, help="cancel what runs longer"
    )
    parser.add_argument(
        "--set",
        metavar="FIELD=VALUE",
        dest="defaults",
        action="append",
        default=[],
        help="a field's value where a line has none; may be given several times",
    )
    _add_store(parser)
    parser.add_argument("--quiet", action="store_true", help="say only what went wrong")
    parser.set_defaults(run=run)


def _add_store(parser: argparse.ArgumentParser) -> None:
    """The options of a run that outlives its process."""
    parser.add_argument(
        "--store",
        metavar="STORE",
        help="keep events in a file, run.db or sqlite:///run.db, and go on where a run ended",
    )
    parser.add_argument(
        "--queue", metavar="Q", help="the queue in the store; by default the event class's"
    )
    anew = parser.add_mutually_exclusive_group()
    anew.add_argument(
        "--fresh",
        dest="fresh",
        action="store_const",
        const=Fresh.ALWAYS,
        default=Fresh.NEVER,
        help="remove all events of the queue from the store first",
    )
    anew.add_argument(
        "--fresh-if-done",
        dest="fresh",
        action="store_const",
        const=Fresh.IF_DONE,
        help="the same, unless something is left to run: then go on with that",
    )


def run(options: argparse.Namespace) -> int:
    """Check everything that can be checked beforehand, then run it.

    Returns:
        The exit status, as the help text says.

    Raises:
        UsageError: if the command cannot be carried out; nothing was run then.
    """
    if options.refresh is not None and options.capacity is None:
        raise UsageError("--refresh does nothing without --capacity: say how many to start in it")
    place = _place(options)
    with ExitStack() as stack:
        claimed = [f"--{name}" for name in ("output", "timeline") if vars(options)[name] == "-"]
        if len(claimed) > 1:
            raise UsageError("--output - and --timeline -: only one can have standard output")
        stdout = stack.enter_context(claim_stdout(claimed[0])) if claimed else None
        target = load_target(options.target)
        defaults = read_defaults(target.event_type, options.defaults)
        source = stack.enter_context(closing(open_source(options.input)))
        taken = [("--input", options.input)]
        if place is not None:
            taken.append(("--store", str(place.path)))

        def opened(option: str, path: str | None) -> Output | None:
            if path is None:
                return None
            if path == "-" and stdout is not None:
                return Output(stdout, option, path)
            output = stack.enter_context(closing(open_output(option, path, taken)))
            taken.append((option, path))
            return output

        plan = Plan(
            target=target,
            source=source,
            output=opened("--output", options.output),
            picture=opened("--timeline", options.timeline),
            timeout=options.timeout,
            quiet=options.quiet,
            place=place,
            fresh=options.fresh,
            defaults=defaults,
        )
        with last_call() as call:
            return asyncio.run(_run(plan, options, call))


def _place(options: argparse.Namespace) -> Place | None:
    """Where events are kept; None for memory.

    Raises:
        UsageError: if an option makes no sense without a store, or STORE is none.
    """
    if options.store is not None:
        return place_of(options.store)
    if options.fresh is not Fresh.NEVER or options.queue is not None:
        name = "--queue" if options.queue is not None else "--fresh"
        raise UsageError(f"{name} does nothing without --store: name a file, such as run.db")
    return None


async def _run(plan: Plan, options: argparse.Namespace, call: Callable[[int], None]) -> int:
    executor = build(plan.target, options, plan.place)
    try:
        await _start(plan, executor)
        status = await Job(plan, executor).run()
    finally:
        await executor.store.close()
    tell()  # what has been printed; should the process be ended, nobody else does
    call(status)
    return status


async def _start(plan: Plan, executor: Executor) -> None:
    """Start the executor, and open its store.

    Raises:
        UsageError: if one of them cannot be.
    """
    try:
        await executor.start()
    except Exception as error:  # the user's own processor may raise anything
        raise UsageError(f"{plan.target.name} cannot be started: {trouble(error)}") from error
    try:
        await executor.store.counts()
    except (LionprideError, OSError) as error:
        raise UsageError(f"--store {plan.place and plan.place.name}: {error}") from error


def build(target: Target, options: argparse.Namespace, place: Place | None = None) -> Executor:
    """Make the executor, with those limits that were given.

    Raises:
        UsageError: if it cannot be made so.
    """
    limits = {
        "concurrency_limit": options.concurrency,
        "queue_capacity": options.capacity,
        "capacity_refresh_time": options.refresh,
    }
    given = {key: value for key, value in limits.items() if value is not None}
    how: dict[str, Any] = {"processor_config": given} if given else {}
    if place is not None:
        how["store"] = place.url
        if options.queue is not None:
            how["queue"] = options.queue
    try:
        return target.executor_type(**how)
    except Exception as error:  # the user's own class may raise anything
        what = " ".join(f"{key}={value}" for key, value in given.items()) or "no limits"
        why = one_line(str(error)) if isinstance(error, LionprideError) else trouble(error)
        name = target.executor_type.__name__
        for key in ("store", "queue"):
            if key in how and isinstance(error, TypeError) and f"argument '{key}'" in str(error):
                why = f"let __init__ of {name} take `{key}`, and hand it to super().__init__()"
        raise UsageError(f"{target.name} cannot be made with {what}: {why}") from error
