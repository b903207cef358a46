"""``lionpride migrate``: the tables of a store are made, or brought up to date."""

from __future__ import annotations

import argparse

from ..drawing.text import one_line
from ..errors import LionprideError
from ..stores.maintenance import SchemaVersion
from .durable import Commands, finish
from .grammar import add_store
from .place import Place, place_of
from .streams import tell

__all__ = ["add"]

EPILOG = (
    "exit status: 0 if the store is up to date (now), 1 if --check found it outdated, or "
    "the migration failed"
)


def add(commands: Commands) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "migrate",
        help="create or upgrade the tables of a store",
        description="Create the tables of a store, or upgrade them to the schema of this version.",
        epilog=EPILOG,
    )
    add_store(parser)
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--check", action="store_true", help="only check whether the store is up to date"
    )
    how.add_argument("--sql", action="store_true", help="only print the SQL statements")
    parser.set_defaults(run=lambda options: finish(migrate(options)))


async def migrate(options: argparse.Namespace) -> int:
    """Do it, or say what is to be done."""
    place = place_of(options.store)
    store = place.open("")
    try:
        if options.check or options.sql:
            schema = await store.schema()
        else:
            schema = await store.upgrade()
    except LionprideError as error:
        raise LionprideError(one_line(str(error))) from error
    finally:
        await store.close()
    if options.sql:
        return _print(place, schema)
    if options.check:
        tell(_state(place, schema))
        return 0 if schema.is_current else 1
    if schema.is_current:
        tell(_state(place, schema))
    elif schema.found:
        tell(f"{place.name}: upgraded from schema {schema.found} to {schema.newest}")
    else:
        tell(f"{place.name}: created, with schema {schema.newest}")
    return 0


def _state(place: Place, schema: SchemaVersion) -> str:
    if schema.is_current:
        return f"{place.name}: up to date, with schema {schema.found}"
    to = f"lionpride migrate upgrades it to schema {schema.newest}"
    if schema.found:
        return f"{place.name}: has schema {schema.found}; {to}"
    return f"{place.name}: has no tables yet; {to.replace('upgrades it to', 'creates those of')}"


def _print(place: Place, schema: SchemaVersion) -> int:
    """Print the statements; as a comment, if there are none."""
    if schema.is_current:
        tell(f"-- {_state(place, schema)}")
    for version, script in schema.scripts:
        tell(f"-- to schema {version}\n{script}")
    return 0
