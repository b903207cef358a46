"""The command line: ``lionpride COMMAND``.

A command is a module of ``commands``; ``COMMANDS`` lists them. ``grammar`` defines how they are
called. All output goes through ``output.streams``, and all signals through ``interrupts``: no other
part of the library prints or handles signals.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Final

import click
from click.shell_completion import shell_complete

from .. import __version__
from ..errors import LionprideError
from ..stores.url import redact
from .grammar import COMPLETION, Command, Program, error_text
from .output.streams import prepare, tell, warn
from .usage import UsageError

__all__ = ["COMMANDS", "load_commands", "main"]

NAME: Final = "lionpride"

COMMANDS: Final = {
    "run": "run one event for each line of a file",
    "work": "run the events of a store, and wait for more",
    "append": "append one event to a store",
    "ls": "list the events of a store",
    "show": "show an event of a store",
    "tail": "follow the events of a store, or one of them",
    "why": "explain why an event of a store waits",
    "counts": "count the events of a store by status",
    "retry": "retry finished events of a store",
    "cancel": "cancel events of a store",
    "pause": "start no more events of a store",
    "resume": "start the events of a store again",
    "prune": "remove finished events of a store",
    "schedules": "list and change the schedules of a store",
    "export": "write the events and schedules of a store as JSON lines",
    "import": "import events and schedules from a file into a store",
    "workers": "list the workers of a store",
    "top": "watch a store in the terminal",
    "ui": "show a store in a browser",
    "migrate": "create or upgrade the tables of a store",
    "doctor": "check a store for problems",
    "completion": "print the completion script of a shell",
}
"""What each command does, by its name. ``import`` is the module ``commands.import_``."""

_PROGRAM: Final = Program(
    NAME,
    help="Run jobs as events from a file or a store, and inspect and manage stores.",
    version=__version__,
    package=f"{__name__}.commands",
    summaries=COMMANDS,
)


def load_commands() -> Mapping[str, Command]:
    """Import all commands, and return them by their names."""
    context = click.Context(_PROGRAM, info_name=NAME)
    found = {name: _PROGRAM.get_command(context, name) for name in COMMANDS}
    return {name: each for name, each in found.items() if each is not None}


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out a command line and return its exit status; ``docs/reference/cli.md`` lists them."""
    prepare()
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        try:
            return _run(words)
        finally:
            tell()  # what has been printed, and is not written yet
    except click.UsageError as error:
        warn(redact(error_text(error)))
        return 2
    except LionprideError as error:
        warn(redact(f"{NAME}: {error}"))
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        warn(f"{NAME}: interrupted before anything ran")
        return 130


def _run(words: list[str]) -> int:
    if asked := os.environ.get(COMPLETION):
        return shell_complete(_PROGRAM, {}, NAME, COMPLETION, asked)
    try:
        with _PROGRAM.make_context(NAME, [*words], obj=(*words,)) as context:
            if not words:  # no command: say which there are
                warn(context.get_help())
                return 2
            status: int = _PROGRAM.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    return status
