"""What the file says of limits: how much of each pool was taken when, and what leases hold."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from math import fsum
from typing import Any

import apsw

from ..sql.takings import AHEAD, FINE, Held, Pool

__all__ = ("Takings",)


class Takings:
    """The tables for it, over a connection that is inside a transaction.

    Args:
        connection: Where they are.
    """

    fine = FINE

    def __init__(self, connection: apsw.Connection) -> None:
        self._db = connection

    # -- the pools ---------------------------------------------------------------------------

    def pool(self, name: str, per: float | None, now: float) -> Pool:
        """What counts of a pool now; what has left its window is forgotten."""
        query = "SELECT used, paused_until, last_at FROM lionpride_limit_account WHERE name = ?"
        row: Any = self._db.execute(query, (name,)).fetchone()
        if row is None:
            return Pool(0.0, 0.0, 0.0)
        used, paused, last = row
        if per is None:
            return Pool(0.0, paused, last)
        if last > now + AHEAD + per / FINE:
            self._set_back(name, now)
        query = (
            "SELECT at, amount FROM lionpride_limit_usage WHERE account = ? AND at <= ? ORDER BY at"
        )
        gone = [
            (at, amount)
            for at, amount in self._db.execute(query, (name, now - per + 1e-3))
            if fsum((at, per, -now)) <= 0.0
        ]
        if gone:
            delete = "DELETE FROM lionpride_limit_usage WHERE account = ? AND at <= ?"
            self._db.execute(delete, (name, gone[-1][0]))
            left = self._db.execute(
                "SELECT 1 FROM lionpride_limit_usage WHERE account = ? LIMIT 1", (name,)
            ).get
            used = fsum((used, *(-amount for _, amount in gone))) if left else 0.0
            self._db.execute(
                "UPDATE lionpride_limit_account SET used = ? WHERE name = ?", (used, name)
            )
        return Pool(used, paused, last)

    def _set_back(self, name: str, now: float) -> None:
        """The clock was set back: what was taken since then counts as if it was taken now."""
        bound = name, now
        query = "SELECT total(amount) FROM lionpride_limit_usage WHERE account = ? AND at >= ?"
        amount = self._db.execute(query, bound).get
        self._db.execute("DELETE FROM lionpride_limit_usage WHERE account = ? AND at >= ?", bound)
        self._db.execute(
            "INSERT INTO lionpride_limit_usage (account, at, amount) VALUES (?, ?, ?)",
            (*bound, amount),
        )
        self._db.execute(
            "UPDATE lionpride_limit_account SET last_at = ? WHERE name = ?", (now, name)
        )

    def paused(self, name: str) -> float:
        """Before when nothing of a pool is to be had; 0 for at once."""
        query = "SELECT paused_until FROM lionpride_limit_account WHERE name = ?"
        return self._db.execute(query, (name,)).get or 0.0

    def leaving(self, name: str) -> Iterator[tuple[float, float]]:
        """When so much was taken of a pool, the oldest first."""
        query = "SELECT at, amount FROM lionpride_limit_usage WHERE account = ? ORDER BY at"
        yield from self._db.execute(query, (name,))

    def stamp_at(self, name: str, per: float, at: float, amount: float) -> None:
        """Take so much of a pool at this very instant."""
        self._db.execute(
            "INSERT INTO lionpride_limit_usage (account, at, amount) VALUES (?1, ?2, ?3) "
            "ON CONFLICT (account, at) DO UPDATE SET amount = amount + ?3",
            (name, at, amount),
        )
        self._db.execute(
            "INSERT INTO lionpride_limit_account (name, used, window_seconds, last_at, "
            "paused_until) VALUES (?1, ?2, ?3, ?4, 0) "
            "ON CONFLICT (name) DO UPDATE SET used = used + ?2, window_seconds = ?3, last_at = "
            "max(last_at, ?4)",
            (name, amount, per, at),
        )

    def take_back(self, name: str, at: float, amount: float) -> None:
        """Give back what was taken at an instant, unless that has left the window."""
        query = "UPDATE lionpride_limit_usage SET amount = amount - ? WHERE account = ? AND at = ?"
        self._db.execute(query, (amount, name, at))
        if self._db.changes():
            self._db.execute(
                "UPDATE lionpride_limit_account SET used = used - ? WHERE name = ?", (amount, name)
            )

    def pause(self, name: str, until: float) -> None:
        """Let nothing be had of a pool before this time, or a later one if that is so already."""
        self._db.execute(
            "INSERT INTO lionpride_limit_account (name, used, window_seconds, last_at, "
            "paused_until) VALUES (?1, 0, 0, 0, ?2) "
            "ON CONFLICT (name) DO UPDATE SET paused_until = max(paused_until, ?2)",
            (name, until),
        )

    def pause_queue(self, name: str, until: float) -> None:
        """Let nothing of a queue be claimed before this time, or a later one if that is so."""
        self._db.execute(
            "UPDATE lionpride_queue SET paused_until = max(paused_until, ?) WHERE name = ?",
            (until, name),
        )

    def halt_queue(self, name: str, until: float) -> None:
        """Let nothing of a queue be claimed before this time, whatever was said before."""
        self._db.execute(
            "UPDATE lionpride_queue SET paused_until = ? WHERE name = ?", (until, name)
        )

    def queue_paused(self, name: str) -> float:
        """The time before which nothing of a queue is to be claimed."""
        query = "SELECT paused_until FROM lionpride_queue WHERE name = ?"
        return self._db.execute(query, (name,)).get  # type: ignore[no-any-return]

    def tidy(self, now: float) -> None:
        """Forget pools of which nothing counts any more."""
        over = "last_at + window_seconds < ?1 AND paused_until < ?1"
        gone = self._db.execute(
            f"SELECT name FROM lionpride_limit_account WHERE {over}", (now - 1.0,)
        ).fetchall()
        for name in gone:
            self._db.execute("DELETE FROM lionpride_limit_usage WHERE account = ?", name)
            self._db.execute("DELETE FROM lionpride_limit_account WHERE name = ?", name)

    # -- what leases hold --------------------------------------------------------------------

    def held(self) -> Counter[str]:
        """What all leases hold together, by pool."""
        amounts: Counter[str] = Counter()
        query = (
            "SELECT reserved FROM lionpride_lease INDEXED BY lionpride_lease_reserved WHERE "
            "reserved IS NOT NULL"
        )
        for (text,) in self._db.execute(query):
            for pool, (amount, _) in json.loads(text).items():
                amounts[pool] += amount
        return amounts

    def held_by(self, number: int, attempt: int) -> dict[str, Held] | None:
        """What the lease of an attempt holds; None if there is no such lease any more."""
        query = "SELECT number, reserved FROM lionpride_lease WHERE number = ? AND attempt = ?"
        row = self._db.execute(query, (number, attempt)).fetchone()
        if row is None:
            return None
        return {pool: Held(*held) for pool, held in json.loads(row[1] or "{}").items()}

    def hold(self, number: int, held: Mapping[str, Held]) -> None:
        """Have a lease hold this and nothing else."""
        text = json.dumps(held, separators=(",", ":")) if held else None
        self._db.execute("UPDATE lionpride_lease SET reserved = ? WHERE number = ?", (text, number))

    def spend_held(self, number: int, attempt: int, at: float) -> None:
        """What a lease held for a start counts as taken: perhaps it has started."""
        for pool, (amount, per) in (self.held_by(number, attempt) or {}).items():
            if per is not None:
                self.stamp_at(pool, per, at, amount)
