"""``lionpride why``: why an event of a store waits."""

from __future__ import annotations

import argparse
from typing import Any

from ..rules.explain import Why, explain
from .durable import Commands, Shelf, add_command
from .find import ID_HELP, find_all
from .place import place_of
from .streams import tell
from .table import json_line

__all__ = ["add"]


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = add_command(
        commands,
        "why",
        why,
        summary="explain why an event of a store waits",
        description=(
            "Explain why events of a store wait: their position, what blocks them and until "
            "when, and when they may start."
        ),
    )
    parser.add_argument(
        "ids",
        metavar="ID",
        nargs="+",
        help=ID_HELP,
    )
    parser.add_argument("--json", action="store_true", help="write a JSON object for each event")


async def why(options: argparse.Namespace) -> int:
    """Say it."""
    said = []
    async with Shelf(place_of(options.store), options.queue) as shelf:
        for record in await find_all(shelf, options.ids):
            standing = await shelf.of(record.queue).explain(record.id)
            if standing is not None:  # it may have been removed
                said.append(explain(standing))
    for i, each in enumerate(said):
        tell(json_line(_plain(each)) if options.json else ("\n" if i else "") + str(each))
    return 0


def _plain(why: Why) -> dict[str, Any]:
    holds = [hold._asdict() for hold in why.holds]
    return why._asdict() | {"id": str(why.id), "status": why.status.value, "holds": holds}
