"""What was not started in time: ended in the transaction that finds it so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from ..sql.columns import packed_expiry
from ..sql.forms import STATE
from ..sql.local import EXPIRE
from .link import Db
from .placing import count, finish

__all__ = ("Expire", "Expired")

_LATE: Final = f"""
DELETE FROM {{ready}} WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM {{ready}} WHERE queue = $2 AND expires IS NOT NULL AND expires <= {{now}}
    ORDER BY expires, number LIMIT $3 FOR UPDATE SKIP LOCKED
)) RETURNING expires, number, {STATE}
"""
_NEXT: Final = "SELECT min(expires) FROM {ready} WHERE queue = $1 AND expires IS NOT NULL"


class Expired(NamedTuple):
    """What was ended, by number, and when the next one may have to be; None: none does."""

    numbers: list[int]
    next: float | None


@dataclass(slots=True)
class Expire:
    """End what waits and was not started in time: ``EXPIRE`` events at most, the first ones."""

    async def __call__(self, db: Db) -> Expired:
        async with db.transaction():
            queue = db.queue
            late = sorted(await db.rows(_LATE, db.now, queue, EXPIRE))
            ended = []
            for _, number, *state in late:
                status, after = packed_expiry(tuple(state))
                ended.append((number, status, 0.0, after))
            await finish(db, queue, ended)
            await count(db, queue, {"pending": -len(ended)})
            following = await db.value(_NEXT, queue)
        return Expired([one[0] for one in ended], following)
