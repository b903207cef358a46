"""The command line: ``lionpride COMMAND``, one module of this package for each command.

A command is a module with ``add(commands)``: it adds its parser and sets the parser's default
``run`` to a function that takes the parsed arguments and returns the exit status. ``COMMANDS``
lists them. A command about a store takes STORE by ``grammar.add_store``, as an argument or as
``--store STORE``. ``grammar`` also takes ``help COMMAND``, and proposes a correction of a typing
error. All output goes through ``streams``, and all signals through ``interrupt``: no other part of
the library prints or handles signals.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from .. import __version__
from ..errors import LionprideError
from ..stores.url import redact
from . import (
    cancel,
    counts,
    doctor,
    export,
    import_,
    ls,
    migrate,
    retry,
    run,
    schedules,
    show,
    top,
    ui,
    why,
    work,
    workers,
)
from .grammar import Parser, as_meant, refuse
from .streams import prepare, tell, warn
from .usage import UsageError

__all__ = ["main", "make_parser"]

COMMANDS = (
    run,
    work,
    ls,
    show,
    why,
    counts,
    retry,
    cancel,
    schedules,
    export,
    import_,
    workers,
    top,
    ui,
    migrate,
    doctor,
)


def make_parser() -> tuple[Parser, Mapping[str, Parser]]:
    """Return the parser of the command line, and those of the commands by their names."""
    parser = Parser(
        prog="lionpride",
        description="Run jobs as events from a file or a store, and inspect and manage stores.",
    )
    parser.add_argument("--version", action="version", version=f"{parser.prog} {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for module in COMMANDS:
        module.add(commands)
    return parser, commands.choices


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out a command line and return its exit status; ``docs/reference/cli.md`` lists them."""
    prepare()
    parser, commands = make_parser()
    try:
        try:
            words = as_meant(sys.argv[1:] if arguments is None else arguments, commands)
            options, unknown = parser.parse_known_args(words)
            if unknown:
                refuse(unknown, commands.get(words[0], parser))
            if "run" not in options:  # no command: say which there are
                warn(parser.format_help().rstrip())
                return 2
            status: int = options.run(options)
        finally:
            tell()  # what has been printed, and is not written yet
    except LionprideError as error:
        warn(redact(f"{parser.prog}: {error}"))
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        warn(f"{parser.prog}: interrupted before anything ran")
        return 130
    return status
