"""``lionpride migrate``: the tables of a store are made, or brought up to date."""

from __future__ import annotations

from ...drawing.text import one_line
from ...errors import LionprideError
from ...stores.maintenance import SchemaVersion
from ..grammar import command, finish, json_option, option, store_argument
from ..output.streams import tell
from ..output.table import json_line
from ..store.location import StoreLocation, locate_store
from ..usage import UsageError

__all__ = ["migrate"]

EPILOG = (
    "exit status: 0 if the store is up to date (now), 1 if --check found it outdated, or "
    "the migration failed"
)


@command(
    "migrate",
    help="Create the tables of a store, or upgrade them to the schema of this version.",
    epilog=EPILOG,
)
@store_argument
@option("--check", is_flag=True, help="only check whether the store is up to date")
@option("--sql", "as_sql", is_flag=True, help="only print the SQL statements")
@json_option("store")
@finish
async def migrate(store: str, check: bool, as_sql: bool, as_json: bool) -> int:
    """Do it, or say what is to be done.

    Raises:
        UsageError: if both options are given.
        LionprideError: if the store does not answer, or the migration fails.
    """
    if check and as_sql:
        raise UsageError("--check and --sql: give one of them")
    if as_json and as_sql:
        raise UsageError("--json and --sql: give one of them")
    location = locate_store(store)
    opened = location.open("")
    try:
        schema = await (opened.schema() if check or as_sql else opened.upgrade())
    except LionprideError as error:
        raise LionprideError(one_line(str(error))) from error
    finally:
        await opened.close()
    if as_sql:
        return _print(location, schema)
    status = 0 if schema.is_current or not check else 1
    if as_json:
        is_current = schema.is_current or not check  # the upgrade is done
        versions = {"found": schema.found, "newest": schema.newest, "is_current": is_current}
        tell(json_line({"store": location.name} | versions))
        return status
    if check or schema.is_current:
        tell(_state(location, schema))
    elif schema.found:
        tell(f"{location.name}: upgraded from schema {schema.found} to {schema.newest}")
    else:
        tell(f"{location.name}: created, with schema {schema.newest}")
    return status


def _state(location: StoreLocation, schema: SchemaVersion) -> str:
    if schema.is_current:
        return f"{location.name}: up to date, with schema {schema.found}"
    to = f"lionpride migrate upgrades it to schema {schema.newest}"
    if schema.found:
        return f"{location.name}: has schema {schema.found}; {to}"
    return f"{location.name}: has no tables yet; {to.replace('upgrades it to', 'creates those of')}"


def _print(location: StoreLocation, schema: SchemaVersion) -> int:
    """Print the statements; as a comment, if there are none."""
    if schema.is_current:
        tell(f"-- {_state(location, schema)}")
    for version, script in schema.scripts:
        tell(f"-- to schema {version}\n{script}")
    return 0
