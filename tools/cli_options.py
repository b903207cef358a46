"""The usage and the options of each command, from its parameters: for docs/reference/cli.md.

    python tools/cli_options.py    print them for all commands

`make docs` writes them in place of the comments `<!-- options: NAME -->` of a page.
"""

from __future__ import annotations

import re
import textwrap

import click

from lionpride.cli import load_commands

MARKER = re.compile(r"<!-- options: (?P<command>[a-z]+) -->")


def with_options(markdown: str) -> str:
    """Return the text of a page with the usage and the options of the commands that it marks.

    Raises:
        KeyError: if there is no such command.
    """
    return MARKER.sub(lambda found: options_of(found["command"]), markdown)


def options_of(name: str) -> str:
    """Return the usage of a command and a table of its arguments, in Markdown."""
    command = load_commands()[name]
    ctx = click.Context(command, info_name=f"lionpride {name}")
    words = command.get_usage(ctx).removeprefix("usage: ").split()
    usage = textwrap.fill(" ".join(words), 90, subsequent_indent=" " * 4, break_on_hyphens=False)
    rows = [row(each) for each in command.params if is_shown(each)]
    table = "\n".join(["| argument | meaning |", "|---|---|", *rows])
    return f"```text\n{usage}\n```\n\n{table}\n"


def is_shown(param: click.Parameter) -> bool:
    """Return True for what the table has: everything but ``--help`` and hidden options."""
    return not (isinstance(param, click.Option) and (param.hidden or "--help" in param.opts))


def row(param: click.Parameter) -> str:
    """Return the row of an argument or an option."""
    value = param.metavar or ""
    shown = f"`{value}`"
    meaning = (getattr(param, "help", None) or "").replace("|", "\\|")
    if isinstance(param, click.Option):
        value = "" if param.is_flag else f" {value}"
        shown = ", ".join(f"`{name}{value}`" for name in [*param.opts, *param.secondary_opts])
        meaning += " (required)" if param.required else ""
    return f"| {shown} | {meaning} |"


if __name__ == "__main__":
    for each in load_commands():
        print(f"## {each}\n\n{options_of(each)}")
