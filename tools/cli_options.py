"""The usage and the options of each command, from its parser: for docs/reference/cli.md.

    python tools/cli_options.py    print them for all commands

`make docs` writes them in place of the comments `<!-- options: NAME -->` of a page.
"""

from __future__ import annotations

import argparse
import re
import textwrap

from lionpride.cli import make_parser

MARKER = re.compile(r"<!-- options: (?P<command>[a-z]+) -->")


def with_options(markdown: str) -> str:
    """Return the text of a page with the usage and the options of the commands that it marks.

    Raises:
        KeyError: if there is no such command.
    """
    return MARKER.sub(lambda found: options_of(found["command"]), markdown)


def options_of(command: str) -> str:
    """Return the usage of a command and a table of its arguments, in Markdown."""
    _, commands = make_parser()
    parser = commands[command]
    words = parser.format_usage().removeprefix("usage: ").replace(" [-h]", "").split()
    usage = textwrap.fill(" ".join(words), 90, subsequent_indent=" " * 4, break_on_hyphens=False)
    arguments = parser._actions  # noqa: SLF001  # argparse has no public list of them
    hidden = ("help", argparse.SUPPRESS)
    rows = [row(each) for each in arguments if not {each.dest, each.help} & {*hidden}]
    table = "\n".join(["| argument | meaning |", "|---|---|", *rows])
    return f"```text\n{usage}\n```\n\n{table}\n"


def row(argument: argparse.Action) -> str:
    """Return the row of an argument."""
    value = "" if argument.nargs == 0 else str(argument.metavar or argument.dest.upper())
    names = [f"`{f'{name} {value}'.rstrip()}`" for name in argument.option_strings]
    shown = ", ".join(names) or f"`{value}`"
    meaning = (str(argument.help or "") % vars(argument)).replace("|", "\\|")
    if argument.required and argument.option_strings:
        meaning += " (required)"
    return f"| {shown} | {meaning} |"


if __name__ == "__main__":
    for name in make_parser()[1]:
        print(f"## {name}\n\n{options_of(name)}")
