"""What claims under limits have taken is changed, before they are settled."""

from __future__ import annotations

from ..sql.metering import Begin, Deed, Halt, Spend
from ..sql.takings import Held
from .link import Db
from .takings import count_spend, held_by, hold, pause, spend_held, stamp, take_back

__all__ = ("do",)


async def do(db: Db, deed: Deed) -> None:
    """Do what a meter asks for; nothing if the claim was lost, or if it was done before."""
    async with db.transaction():
        if isinstance(deed, Spend):  # the others may be done twice
            held = await count_spend(db, deed.number, deed.attempt, deed.nth)
        else:
            held = await held_by(db, deed.number, deed.attempt)
        if held is None:
            return
        match deed:
            case Begin():
                await spend_held(db, held, deed.at)
                kept = {pool: one for pool, one in held.items() if one.per is None}
                await hold(db, deed.number, kept)
            case Spend():
                await _spend(db, deed, held)
            case Halt(pool=None):
                query = (
                    "UPDATE {queue} SET paused_until = greatest(paused_until, $2) WHERE number = $1"
                )
                await db.run(query, db.queue, deed.until)
            case Halt(pool=str(name)):
                await pause(db, name, deed.until)


async def _spend(db: Db, deed: Spend, held: dict[str, Held]) -> None:
    for one in deed.back:
        await take_back(db, *one)
    await stamp(db, deed.more)
    if deed.held:
        held.update({pool: Held(amount, None) for pool, amount in deed.held.items()})
        await hold(db, deed.number, {pool: one for pool, one in held.items() if one.amount})
