"""``lionpride run``: one event for each line of the input, run to its end."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

from ..core import Executor
from ..errors import LionprideError
from .job import Job, Plan
from .results import open_output
from .source import open_source
from .target import Target, load_target
from .text import one_line
from .usage import UsageError, positive_seconds, whole_number

__all__ = ["add"]

EPILOG = """\
exit status:
  0    everything ended COMPLETED or SKIPPED
  1    something failed, was cancelled or aborted, or a line was bad
  2    the command could not be carried out; nothing was run
  130  interrupted (143: by SIGTERM); what was running had finished, unless asked twice
"""

Commands = Any  # argparse names the type of add_subparsers() only in private


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
        "target", metavar="TARGET", help="file.py:Class or package.module:Class, an Event"
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
    parser.add_argument("--quiet", action="store_true", help="say only what went wrong")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Check everything that can be checked beforehand, then run it.

    Returns:
        The exit status, as the help text says.

    Raises:
        UsageError: if the command cannot be carried out; nothing was run then.
    """
    if options.refresh is not None and options.capacity is None:
        raise UsageError("--refresh does nothing without --capacity: say how many to start in it")
    target = load_target(options.target)
    source = open_source(options.input)
    output = picture = None
    try:
        taken = {} if options.input == "-" else {"--input": options.input}
        if options.output is not None:
            output = open_output("--output", options.output, taken)
            taken["--output"] = options.output
        if options.timeline is not None:
            picture = open_output("--timeline", options.timeline, taken)
        plan = Plan(
            target=target,
            source=source,
            output=output,
            picture=picture,
            names={
                k: v for k, v in (("results", options.output), ("timeline", options.timeline)) if v
            },
            timeout=options.timeout,
            quiet=options.quiet,
        )
        return asyncio.run(_run(plan, options))
    finally:
        for file in (source, output, picture):
            if file is not None:
                file.close()


async def _run(plan: Plan, options: argparse.Namespace) -> int:
    return await Job(plan, build(plan.target, options)).run()


def build(target: Target, options: argparse.Namespace) -> Executor:
    """Make the executor, with those limits that were given."""
    limits = {
        "concurrency_limit": options.concurrency,
        "queue_capacity": options.capacity,
        "capacity_refresh_time": options.refresh,
    }
    given = {key: value for key, value in limits.items() if value is not None}
    try:
        return target.executor_type(processor_config=given) if given else target.executor_type()
    except (LionprideError, TypeError, ValueError) as error:
        options_text = " ".join(f"{key}={value}" for key, value in given.items()) or "no limits"
        raise UsageError(
            f"{target.name} cannot be made with {options_text}: {one_line(str(error))}"
        ) from error
