"""How the commands that look at a store say what they found: tables, or a JSON object a line."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from ...drawing.text import columns, one_line
from .streams import tell

__all__ = ["STYLES", "json_line", "show_fields", "show_table"]


STYLES: Final = {
    "completed": "green",
    "failed": "bold red",
    "cancelled": "magenta",
    "aborted": "bold yellow",
    "skipped": "cyan",
    "processing": "blue",
    "pending": "dim",
}
"""Style of each status on a terminal, as rich names it."""


def json_line(data: Mapping[str, Any]) -> str:
    """An object as one line, which any terminal and file can take: in ASCII."""
    return json.dumps(data)


def show_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int] = ()
) -> None:
    """Print a table: drawn on a terminal if rich is there, else as aligned text.

    Control characters are removed from the cells, since their text comes from a store.
    """
    safe = [[one_line(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        try:
            import rich  # noqa: F401  # late: it is an extra, and slow to import
        except ImportError:
            pass
        else:
            tell()
            _draw(headings, safe, right)
            return
    tell("\n".join(columns([headings, *safe], right)))


def _draw(headings: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int]) -> None:
    """Draw a table on standard output; statuses have their colours, ids are never cut."""
    from rich import box  # late: rich is an extra, and slow to import
    from rich.console import Console  # late: as above
    from rich.table import Table  # late: as above
    from rich.text import Text  # late: as above

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim")
    for i, heading in enumerate(headings):
        whole = heading == "id" or i in right
        table.add_column(
            Text(heading, STYLES.get(heading, "")),
            justify="right" if i in right else "left",
            no_wrap=whole,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(Text(cell, STYLES.get(cell, "")) for cell in row))
    Console(highlight=False).print(table)


def show_fields(fields: Mapping[str, str]) -> None:
    """Print names and values, one a line; a value of several lines is indented below its name."""
    width = max(map(len, fields))
    lines = []
    for name, value in fields.items():
        first, *rest = [one_line_kept(line) for line in value.split("\n")]
        lines.append(f"{name.ljust(width)}  {first}".rstrip())
        lines += [f"{'':{width}}  {line}" for line in rest]
    tell("\n".join(lines))


def one_line_kept(text: str) -> str:
    """A line without what a terminal would obey, its indentation kept."""
    return "".join(c for c in text if c.isprintable())
