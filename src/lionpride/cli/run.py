"""``lionpride run``: one event for each line of the input, run to its end."""

from __future__ import annotations

import argparse
import asyncio
from contextlib import ExitStack, closing

from .batch_run import BatchRun, Plan
from .building import Limits, add_grace, add_limits, build, limits_of, start
from .defaults import read_defaults
from .durable import Commands
from .interrupt import Interrupts
from .outputs import Output, check_other_file, open_output
from .place import STORE, Place, place_of
from .resume import Fresh
from .source import open_source
from .streams import claim_stdout, tell
from .target import Target, load_target
from .usage import UsageError, positive_seconds, queue_name

__all__ = ["add"]

EPILOG = """\
exit status:
  0    all events finished COMPLETED or SKIPPED
  1    an event failed, was cancelled or aborted, or a line was invalid
  2    the command could not be carried out; nothing was run
  130  stopped on request (143: by SIGTERM); the running events finished, or were interrupted,
       since the grace time was over or the request was repeated
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
        help=(
            "file.py:NAME or package.module:NAME: an event class, a function with @job, or an "
            "executor"
        ),
    )
    parser.add_argument(
        "--input",
        metavar="FILE",
        required=True,
        help="JSON lines, each with the fields of one event, and its priority; - reads stdin",
    )
    parser.add_argument(
        "--output", metavar="FILE", help="write a JSON object for each event when it settles"
    )
    parser.add_argument("--timeline", metavar="FILE", help="draw the run as an SVG picture")
    add_limits(parser)
    add_grace(parser)
    parser.add_argument(
        "--timeout", metavar="S", type=positive_seconds, help="cancel attempts that run longer"
    )
    parser.add_argument(
        "--set",
        metavar="FIELD=VALUE",
        dest="defaults",
        action="append",
        default=[],
        help="value of a field for lines without it; may be given several times",
    )
    _add_store(parser)
    parser.add_argument("--quiet", action="store_true", help="print only problems")
    parser.set_defaults(run=run)


def _add_store(parser: argparse.ArgumentParser) -> None:
    """The options of a run that outlives its process."""
    parser.add_argument(
        "--store",
        metavar="STORE",
        help=f"keep events in a store, and continue an earlier run: {STORE}",
    )
    parser.add_argument(
        "--queue",
        metavar="Q",
        type=queue_name,
        help="the queue in the store; by default that of the event class",
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
        help="like --fresh, but continue an earlier run that left events to run",
    )


def run(options: argparse.Namespace) -> int:
    """Check everything that can be checked beforehand, then run it.

    Returns:
        The exit status, as the help text says.

    Raises:
        UsageError: if the command cannot be carried out; nothing was run then.
    """
    limits = limits_of(options)
    with ExitStack() as stack:
        claimed = [f"--{name}" for name in ("output", "timeline") if vars(options)[name] == "-"]
        if len(claimed) > 1:
            raise UsageError("--output - and --timeline -: only one can have standard output")
        stdout = stack.enter_context(claim_stdout(claimed[0])) if claimed else None
        target = load_target(options.target)
        place = _place(options, target)
        defaults = read_defaults(target.event_type, options.defaults)
        taken = _files_of(place)
        check_other_file("--input", options.input, taken)
        source = stack.enter_context(closing(open_source(options.input)))
        taken.append(("--input", options.input))

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
        with Interrupts(options.grace) as interrupts:
            return asyncio.run(_run(plan, limits, options.queue, interrupts))


def _files_of(place: Place | None) -> list[tuple[str, str]]:
    """The files of a store, each after its option; no other code may open them."""
    if place is None or place.path is None:
        return []
    return [("--store", f"{place.path}{tail}") for tail in ("", "-wal", "-shm", "-turn")]


def _place(options: argparse.Namespace, target: Target) -> Place | None:
    """Where events are kept: ``--store``, or the store of the executor; None for memory.

    Raises:
        UsageError: if an option makes no sense without a store, or STORE is none.
    """
    store = target.store if options.store is None else options.store
    if store is not None:
        return place_of(store)
    if options.fresh is not Fresh.NEVER or options.queue is not None:
        name = "--queue" if options.queue is not None else "--fresh"
        raise UsageError(f"{name} does nothing without --store: name a file, such as run.db")
    return None


async def _run(plan: Plan, limits: Limits, queue: str | None, interrupts: Interrupts) -> int:
    executor = build(plan.target, limits, plan.place, queue, interrupts.grace)
    try:
        await start(plan.target, executor, plan.place)
        status = await BatchRun(plan, executor).run(interrupts)
    finally:
        await executor.store.close()
    tell()  # flushes the output, which a forced end of the process would lose
    interrupts.last_call(status)
    return status
