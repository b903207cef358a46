"""``lionpride run``: one event for each line of the input, run to its end."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, closing
from io import FileIO

from ..batch.batch_run import BatchRun, Plan
from ..batch.defaults import read_defaults
from ..batch.outputs import Output, check_other_file, open_output
from ..batch.resume import Fresh
from ..batch.source import open_source
from ..grammar import STORE, argument, command, flag_setting, option, queue_option, setting
from ..interrupts import Interrupts
from ..output.streams import claim_stdout, tell
from ..store.location import StoreLocation, locate_store
from ..targets.executor import Limits, build, grace_option, limit_options, limits_of, start
from ..targets.target import Target, load_target
from ..usage import UsageError, positive_seconds

__all__ = ["run"]

EPILOG = """\
\b
exit status:
  0    all events finished COMPLETED or SKIPPED
  1    an event failed, was cancelled or aborted, or a line was invalid
  2    the command could not be carried out; nothing was run
  130  stopped on request (143: by SIGTERM); the running events finished, or were interrupted,
       since the grace time was over or the request was repeated
"""


@command(
    "run",
    help="Run one event for each line of the input, by priority, within the limits.",
    epilog=EPILOG,
)
@argument(
    "target",
    metavar="TARGET",
    help=(
        "file.py:NAME or package.module:NAME: an event class, a function with @job, or an executor"
    ),
)
@option(
    "--input",
    "lines",
    metavar="FILE",
    required=True,
    help="JSON lines, each with the fields of one event, and its priority; - reads stdin",
)
@option("--output", metavar="FILE", help="write a JSON object for each event when it settles")
@option("--timeline", metavar="FILE", help="draw the run as an SVG picture")
@limit_options
@grace_option
@setting("--timeout", metavar="S", type=positive_seconds, help="cancel attempts that run longer")
@option(
    "--set",
    "defaults",
    metavar="FIELD=VALUE",
    multiple=True,
    help="value of a field for lines without it; may be given several times",
)
@setting(
    "--store",
    metavar="STORE",
    help=f"keep events in a store, and continue an earlier run: {STORE}",
)
@queue_option("the queue in the store; by default that of the event class")
@option("--fresh", is_flag=True, help="remove all events of the queue from the store first")
@option(
    "--fresh-if-done",
    is_flag=True,
    help="like --fresh, but continue an earlier run that left events to run",
)
@flag_setting("quiet", help="print only problems")
def run(
    target: str,
    lines: str,
    output: str | None,
    timeline: str | None,
    concurrency: int | None,
    capacity: int | None,
    refresh: float | None,
    grace: float,
    timeout: float | None,
    defaults: tuple[str, ...],
    store: str | None,
    queue: str | None,
    fresh: bool,
    fresh_if_done: bool,
    quiet: bool,
) -> int:
    """Check everything that can be checked beforehand, then run it.

    Returns:
        The exit status, as the help text says.

    Raises:
        UsageError: if the command cannot be carried out; nothing was run then.
    """
    limits = limits_of(concurrency, capacity, refresh)
    anew = _fresh(fresh, fresh_if_done)
    with ExitStack() as stack:
        written = {"--output": output, "--timeline": timeline}
        claimed = [name for name, path in written.items() if path == "-"]
        if len(claimed) > 1:
            raise UsageError("--output - and --timeline -: only one can have standard output")
        stdout = stack.enter_context(claim_stdout(claimed[0])) if claimed else None
        loaded = load_target(target)
        location = _location(store, queue, anew, loaded)
        values = read_defaults(loaded.event_type, defaults)
        taken = _files_of(location)
        check_other_file("--input", lines, taken)
        source = stack.enter_context(closing(open_source(lines)))
        taken.append(("--input", lines))

        files = [_output(stack, stdout, name, path, taken) for name, path in written.items()]
        plan = Plan(
            target=loaded,
            source=source,
            output=files[0],
            picture=files[1],
            timeout=timeout,
            quiet=quiet,
            location=location,
            fresh=anew,
            defaults=values,
        )
        with Interrupts(grace) as interrupts:
            return asyncio.run(_run(plan, limits, queue, interrupts))


def _output(
    stack: ExitStack,
    stdout: FileIO | None,
    option: str,
    path: str | None,
    taken: list[tuple[str, str]],
) -> Output | None:
    """Open what an option names, until the stack is closed; it must be none of the files `taken`.

    Raises:
        UsageError: if it cannot be written.
    """
    if path is None:
        return None
    if path == "-" and stdout is not None:
        return Output(stdout, option, path)
    output = stack.enter_context(closing(open_output(option, path, taken)))
    taken.append((option, path))
    return output


def _fresh(always: bool, if_done: bool) -> Fresh:
    """Return when the events of an earlier run are removed.

    Raises:
        UsageError: if both options are given.
    """
    if always and if_done:
        raise UsageError("--fresh and --fresh-if-done: give one of them")
    return Fresh.ALWAYS if always else Fresh.IF_DONE if if_done else Fresh.NEVER


def _files_of(location: StoreLocation | None) -> list[tuple[str, str]]:
    """The files of a store, each after its option; no other code may open them."""
    if location is None or location.path is None:
        return []
    return [("--store", f"{location.path}{tail}") for tail in ("", "-wal", "-shm", "-turn")]


def _location(
    store: str | None, queue: str | None, fresh: Fresh, target: Target
) -> StoreLocation | None:
    """Where events are kept: ``--store``, or the store of the executor; None for memory.

    Raises:
        UsageError: if an option makes no sense without a store, or STORE is none.
    """
    store = target.store if store is None else store
    if store is not None:
        return locate_store(store)
    if fresh is not Fresh.NEVER or queue is not None:
        name = "--queue" if queue is not None else "--fresh"
        raise UsageError(f"{name} does nothing without --store: name a file, such as run.db")
    return None


async def _run(plan: Plan, limits: Limits, queue: str | None, interrupts: Interrupts) -> int:
    executor = build(plan.target, limits, plan.location, queue, interrupts.grace)
    try:
        await start(plan.target, executor, plan.location)
        status = await BatchRun(plan, executor).run(interrupts)
    finally:
        await executor.store.close()
    tell()  # flushes the output, which a forced end of the process would lose
    interrupts.last_call(status)
    return status
