"""The grammar of the command line, with hints for typing errors."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Mapping, Sequence
from typing import NoReturn

from ..stores.url import redact
from .place import STORE
from .usage import UsageError

__all__ = ["Parser", "add_store", "as_meant", "refuse"]

_OPTION = re.compile(r"--[a-z][a-z-]*")


class Parser(argparse.ArgumentParser):
    """A parser whose errors say what STORE may be.

    Attributes:
        store_at: The place of STORE among the words behind the command, 0 for the first, -1 for
            the last; None if it has none.
    """

    store_at: int | None = None

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and end with status 2."""
        if self.store_at is not None and "are required" in message:
            message += f"; STORE is {STORE}; --store STORE is accepted too"
        super().error(redact(message))


def add_store(parser: Parser, at: int = 0) -> None:
    """Add the place of the store to a command's arguments.

    Args:
        parser: The command's.
        at: See ``Parser.store_at``.
    """
    parser.add_argument("store", metavar="STORE", help=f"{STORE}; --store STORE is accepted too")
    parser.store_at = at


def as_meant(words: Sequence[str], commands: Mapping[str, Parser]) -> list[str]:
    """The words of a command line as the parsers know them.

    ``help COMMAND`` is ``COMMAND --help``; ``--store STORE`` stands where STORE does.

    Raises:
        UsageError: if the first word is no command; with the one that was probably meant.
    """
    if not words or words[0].startswith("-"):
        return list(words)
    if words[0] == "help":
        words = [*words[1:2], "--help"]
        if len(words) == 1:
            return words
    command, *rest = words
    if command not in commands:
        close = difflib.get_close_matches(command, [*commands, "help"], n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(commands)}"
        raise UsageError(f"{command!r} is no command: {hint}")
    at = commands[command].store_at
    return [command, *(rest if at is None else _store_placed(rest, at))]


def _store_placed(words: Sequence[str], at: int) -> list[str]:
    end = words.index("--") if "--" in words else len(words)
    for i, word in enumerate(words[:end]):
        option, equals, store = word.partition("=")
        if option == "--store" and (equals or i + 1 < end):
            rest = [*words[:i], *words[i + (1 if equals else 2) :]]
            store = store if equals else words[i + 1]
            return [store, *rest] if at == 0 else [*rest, store]
    return list(words)


def refuse(unknown: Sequence[str], parser: argparse.ArgumentParser) -> NoReturn:
    """End with status 2, saying what a command does not take, and what was probably meant."""
    name = unknown[0].partition("=")[0]
    options = sorted(set(_OPTION.findall(parser.format_help())))
    close = difflib.get_close_matches(name, options, n=1) if name.startswith("--") else []
    hint = f": did you mean {close[0]}?" if close else ""
    parser.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
