"""``lionpride doctor``: what is wrong or slow with a store, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict

from ...drawing.text import one_line, plural
from ...errors import LionprideError
from ...stores.maintenance import DAMAGE, Finding
from ..grammar import json_option, store_command
from ..output.streams import tell
from ..output.table import json_line
from ..store.checks import check_queue
from ..store.location import DurableStore, StoreLocation, locate_store
from ..store.queues import StoreQueues
from ..targets.target import load_targets, target_option
from ..usage import UsageError

__all__ = ["doctor"]


@store_command(
    "doctor",
    help="Check a store, and print each problem with its remedy. Nothing is changed.",
    epilog=(
        "exit status: 0 if nothing is wrong or slow, 1 if something is, 2 if the store cannot be "
        "read"
    ),
)
@target_option("the target of the workers; events that it cannot read are reported")
@json_option("finding")
async def doctor(store: str, queue: str | None, targets: tuple[str, ...], as_json: bool) -> int:
    """Examine it, and say what was found."""
    location = locate_store(store)
    for text in targets:
        load_targets(text)
    await location.check_made()
    found, goes_on = await _examine(location)
    if goes_on:
        async with StoreQueues(location, queue) as queues:
            try:
                for name in queues.names:
                    found += await check_queue(
                        queues.of(name), location.name, knows_classes=bool(targets)
                    )
            except LionprideError as error:
                raise UsageError(one_line(str(error))) from error
    _tell(found, as_json)
    return 1 if any(each.level != "note" for each in found) else 0


async def _examine(location: StoreLocation) -> tuple[list[Finding], bool]:
    """Return what is wrong with the store, and whether its queues can be looked at."""
    store = location.open("")
    try:
        found = await _schema(store, location)
        if not found:
            found = await store.examine()
            return found, not any(each.check == DAMAGE for each in found)
    except LionprideError as error:
        found = await _damage(store)
        if not found:
            raise UsageError(one_line(str(error))) from error
    finally:
        await store.close()
    return found, False


async def _damage(store: DurableStore) -> list[Finding]:
    """Return the damage of a store that cannot be asked for anything else."""
    with suppress(LionprideError):
        return [each for each in await store.examine() if each.check == DAMAGE]
    return []


async def _schema(store: DurableStore, location: StoreLocation) -> list[Finding]:
    """Return a finding if the tables are not those of this version."""
    schema = await store.schema()
    if schema.is_current:
        return []
    what = f"the tables have schema {schema.found}; this version needs schema {schema.newest}"
    remedy = f"lionpride migrate {location.name}; nothing else was checked"
    return [Finding("schema", "wrong", what, remedy)]


def _tell(found: Sequence[Finding], as_json: bool) -> None:
    if as_json:
        for each in found:
            tell(json_line(asdict(each)))
        return
    for each in found:
        tell(f"{each.level}  {each.check}: {one_line(each.what)}\n  do: {one_line(each.remedy)}")
    if not found:
        tell("no problems found")
    elif all(each.level == "note" for each in found):
        tell(f"no problems found; {plural(len(found), 'note')}")
