"""Tables on a terminal. It needs rich, the extra `[cli]`."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .progress import STYLES

__all__ = ["draw_table"]


def draw_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], right: Collection[int]
) -> None:
    """Draw a table on standard output; statuses have their colours, ids are never cut."""
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
