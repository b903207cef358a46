"""The command line: ``lionpride COMMAND``, one module of this package for each command.

A command is a module with ``add(commands)``: it adds its parser and sets the parser's default
``run`` to a function that takes the parsed arguments and returns the exit status. Signals are
handled here and nowhere else in the library.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from ..errors import LionprideError
from . import run
from .usage import UsageError

__all__ = ["main"]

COMMANDS = (run,)


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out a command line and return its exit status; ``docs/cli.md`` lists them."""
    parser = argparse.ArgumentParser(
        prog="lionpride", description="Run asyncio work as events, and look after it."
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in COMMANDS:
        module.add(commands)
    options = parser.parse_args(arguments)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except LionprideError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except KeyboardInterrupt:
        print(f"{parser.prog}: interrupted before anything ran", file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever read our output has gone: nobody is left to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status
