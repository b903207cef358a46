"""``lionpride work``: a worker; it runs what others have put into a store, and waits for more."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import click

from ...core import Event, EventStatus, Executor
from ...drawing.text import one_line
from ...errors import LionprideError, StoreError
from ...worker.logs import LogFormat
from ...worker.process import WorkerProcess
from ...worker.supervisor_link import SupervisorLink
from ..grammar import STORE, argument, command, flag_setting, setting
from ..interrupts import Interrupts
from ..output.streams import tell, warn
from ..production import Ports, Production, production_options
from ..store.location import StoreLocation, locate_store
from ..store.queues import StoreQueues
from ..targets.executor import Limits, build, grace_option, limit_options, limits_of, start
from ..targets.target import Target, executor_for, load_targets
from ..tasks import background, first_of
from ..usage import UsageError, queue_name
from ..worker_run import WorkerRun

__all__ = ["work"]

EPILOG = """\
\b
exit status:
  0    stopped on request, and the running events finished; or (--until-empty) all events that
       it ran were completed, skipped, or cancelled by hand
  1    (--until-empty) an event that it ran failed, was aborted or timed out, or the events that
       are left cannot be run here; or the store cannot be used any more
  2    the command could not be carried out; nothing was run
  75   --max-events or --max-memory was reached, and the running events finished: start it again
  130  stopped on request (143: by SIGTERM), and running events were interrupted, since the grace
       time was over or the request was repeated; they are pending again
"""

MOST = 3  # queues that are named
ASKED = 20  # queues that are looked at, those with a similar name first

Job = tuple[Target, str | None]
"""What runs a queue, and its name; None: the target's own."""


class Options(NamedTuple):
    """How long a worker works, and what it prints.

    Attributes:
        until_empty: True to end when no event is pending or running.
        quiet: True to report errors only.
        production: The options for production.
        ports: The ports that it answers on.
        link: The connection to the supervisor; None without one.
        log_format: The format of the log; None if there is none.
    """

    until_empty: bool
    quiet: bool
    production: Production
    ports: Ports
    link: SupervisorLink | None
    log_format: LogFormat | None


@command(
    "work",
    help=(
        "Run the events that are in a store, by priority, within the limits, and wait for more. "
        "Any number of workers may share one store."
    ),
    epilog=EPILOG,
)
@argument(
    "targets",
    metavar="TARGET...",
    envvar="LIONPRIDE_TARGET",
    nargs=-1,
    required=True,
    help="file.py or package.module, for all executors, events and jobs in it; or "
    "file.py:NAME for one",
)
@setting(
    "--store",
    metavar="STORE",
    help=f"{STORE}; by default the store that the executors were made with",
)
@setting(
    "--queue",
    "queues",
    metavar="Q",
    type=queue_name,
    multiple=True,
    help="the queue, in place of that of the targets; may be given several times",
)
@limit_options
@grace_option
@flag_setting("until-empty", help="exit when no event is pending or running")
@flag_setting(
    "fail-unreadable",
    help=(
        "mark events as failed if their class refuses their stored data; by default they stay "
        "pending for a worker of the release that appended them"
    ),
)
@flag_setting("quiet", help="print only problems")
@production_options
@click.pass_obj
def work(
    arguments: Sequence[str],
    /,
    targets: tuple[str, ...],
    store: str | None,
    queues: tuple[str, ...],
    concurrency: int | None,
    capacity: int | None,
    refresh: float | None,
    grace: float,
    until_empty: bool,
    fail_unreadable: bool,
    quiet: bool,
    **production: Any,
) -> int:
    """Check everything that can be checked beforehand, then work.

    Returns:
        The exit status, as the help text says.

    Raises:
        UsageError: if the command cannot be carried out; nothing was run then.
    """
    link = SupervisorLink.from_environment()
    how = Production(**production)
    how.check(until_empty=until_empty)
    log_format = how.start_log(quiet=quiet)
    if link is not None:
        link.end_with_supervisor()
    elif how.processes is not None:
        return how.supervise(arguments, grace, until_empty=until_empty)
    limits = dict(limits_of(concurrency, capacity, refresh))
    if fail_unreadable:
        limits["fail_unreadable"] = True
    loaded = _load(targets, queues)
    location = _location(store, loaded)
    jobs = _jobs(loaded, list(dict.fromkeys(queues)))
    ports = Ports() if link is not None else Ports.open(how.health_port, how.metrics_port)
    options = Options(until_empty, quiet, how, ports, link, log_format)
    supervised = link is not None
    with Interrupts(grace, is_supervised=supervised, log_format=log_format) as interrupts:
        return asyncio.run(_work(jobs, limits, location, options, interrupts))


def _load(texts: Sequence[str], queues: Sequence[str]) -> list[Target]:
    """Return the targets; an executor that several texts name is there once."""
    found = [target for text in texts for target in load_targets(text, queues)]
    return list(
        {each.name if each.is_plain else each.executor_type: each for each in found}.values()
    )


def _location(store: str | None, targets: Sequence[Target]) -> StoreLocation:
    """Where the events are: ``--store``, or the one store of all executors.

    Events without an executor are there too.

    Raises:
        UsageError: if no store was given, or the executors have several.
    """
    if store is not None:
        return locate_store(store)
    stores = {target.store for target in targets if not target.is_plain}
    found = stores.pop() if len(stores) == 1 else None
    if found is None:
        some = any(stores)
        problem = "the executors have several stores" if some else "no executor has a store"
        raise UsageError(f"--store is needed, since {problem}: name a file, such as run.db")
    return locate_store(found)


def _jobs(targets: Sequence[Target], queues: Sequence[str]) -> list[Job]:
    """Which target runs which queue.

    Raises:
        UsageError: if several executors would run one queue.
    """
    if not queues:
        return [(target, None) for target in targets]
    if len(targets) == 1:
        return [(targets[0], queue) for queue in queues]
    own = [target for target in targets if not target.is_plain]
    if own:
        names = " or ".join(target.name for target in own)
        raise UsageError(f"--queue: several executors could run it: name one of them: {names}")
    names = ", ".join(target.name for target in targets)
    kind = executor_for(*(target.event_type for target in targets))
    return [(Target(names, Event, kind, is_plain=True), queue) for queue in queues]


async def _work(
    jobs: Sequence[Job],
    limits: Limits,
    location: StoreLocation,
    options: Options,
    interrupts: Interrupts,
) -> int:
    executors: list[Executor] = []
    status = 0
    try:
        for target, queue in jobs:
            executors.append(build(target, limits, location, queue, interrupts.grace))
            _check_queue(executors, target)
        modules = options.production.process_modules(_modules(jobs))
        process = WorkerProcess(executors, location.url, modules)
        async with options.production.show(process, options.ports, options.link):
            with interrupts.listen():
                async with background(_start_all(jobs, executors, location)) as started:
                    await first_of(started, interrupts.stop)
            if not interrupts.status:
                status = await _run(executors, location, options, process, interrupts)
    finally:
        for executor in executors:
            with suppress(LionprideError):  # what it held lapses
                await executor.store.close()
    tell()  # flushes the output, which a forced end of the process would lose
    interrupts.last_call(status)
    return status


async def _run(
    executors: Sequence[Executor],
    location: StoreLocation,
    options: Options,
    process: WorkerProcess,
    interrupts: Interrupts,
) -> int:
    """Run the events of started executors, and return the exit status."""
    if not options.quiet:
        await _say_what_waits_elsewhere(executors, location)
    run = WorkerRun(
        executors,
        location.name,
        until_empty=options.until_empty,
        quiet=options.quiet,
        has_log=options.log_format is not None,
        recycling=options.production.recycling(),
        on_state=lambda state: setattr(process, "state", state),
    )
    return await run.run(interrupts)


def _modules(jobs: Sequence[Job]) -> set[str]:
    """Return the names of the modules in which the targets were defined."""
    found = set[str]()
    for target, _ in jobs:
        kinds = (target.event_type, target.executor_type, *target.executor_type.named_types)
        found.update(kind.__module__ for kind in kinds)
    return found


async def _start_all(
    jobs: Sequence[Job], executors: Sequence[Executor], location: StoreLocation
) -> None:
    """Start the executors; wait for a server that is away.

    Raises:
        UsageError: if one of them cannot be started, and waiting cannot help.
    """
    for (target, _), executor in zip(jobs, executors, strict=True):
        while True:
            await location.wait_for_server()
            try:
                await start(target, executor, location)
                break
            except UsageError as error:
                cause = error.__cause__
                if location.path is not None or not (
                    isinstance(cause, StoreError) and cause.retryable
                ):
                    raise


async def _say_what_waits_elsewhere(executors: Sequence[Executor], location: StoreLocation) -> None:
    """If all queues are empty, name those with events that no worker runs.

    If a worker loads a module by its file, and a producer by its package, they use two queues.
    """
    ours = {executor.store.queue for executor in executors}
    try:
        for executor in executors:
            if (await executor.store.counts())[EventStatus.PENDING]:
                return
        async with StoreQueues(location) as queues:
            others = [each for each in queues.names if each not in ours]
        others.sort(key=lambda each: not _is_like(each, ours))
        waiting = {each: await _waiting_for_a_worker(location, each) for each in others[:ASKED]}
    except LionprideError:  # the run waits for the store, or reports the error
        return
    found = [each for each in waiting if waiting[each]]
    if not found:
        return
    found.sort(key=lambda each: (not _is_like(each, ours), -waiting[each]))
    named = [f"{one_line(each)} ({waiting[each]:,} pending)" for each in found[:MOST]]
    if len(found) > MOST:
        named.append(f"and {len(found) - MOST:,} more")
    warn(
        f"lionpride: no event is pending in {' or '.join(sorted(ours))}, but in queues of "
        f"{location.name} that have no worker: {', '.join(named)}. Run them with --queue, or name "
        "the target as the producer imports it"
    )


async def _waiting_for_a_worker(location: StoreLocation, queue: str) -> int:
    """How many events are pending in a queue; 0 if it has a worker."""
    store = location.open(queue)
    try:
        if any(worker.alive for worker in await store.workers()):
            return 0
        return (await store.counts())[EventStatus.PENDING]
    finally:
        await store.close()


def _is_like(queue: str, ours: Collection[str]) -> bool:
    """Return True if a name has the same class name as one of this process."""
    return queue.rpartition(".")[2] in {each.rpartition(".")[2] for each in ours}


def _check_queue(executors: Sequence[Executor], target: Target) -> None:
    """Refuse two executors of one queue: each would have limits of its own."""
    *others, last = executors
    if any(each.store.queue == last.store.queue for each in others):
        raise UsageError(
            f"{target.name} and another target run the queue {last.store.queue!r}: name one of "
            "them, as file.py:NAME"
        )
