"""Taking what an event costs of several accounts at once: all of it, or nothing."""

from __future__ import annotations

from collections.abc import Sequence

from .limits import FINE, Account, Entry

__all__ = ("take_all", "take_row")


def take_all(shares: Sequence[tuple[Account, float]], now: float) -> list[Entry] | None:
    """Take what is to be taken of each account, if all of it fits; None, and nothing, if not.

    It does for each what ``Account.take`` does, in one frame for the usual case.
    """
    entries: list[Entry] = []
    for account, amount in shares:
        limit, log = account.limit, account.log
        per = limit.per
        if per is None or not log or now < account.last or log[0][0] + per - now < 1e-3:
            entry = account.take(amount, now)
        else:
            total = account.stamped + amount
            if total + account.held > limit.amount or account.paused > now:
                entry = None
            else:
                account.last, entry = now, log[-1]
                if now <= entry[0]:
                    entry[1] += amount
                    account.stamped = total
                else:
                    entry = account.stamp(amount, now)
        if entry is None:
            for (other, taken), undone in zip(shares, entries, strict=False):
                other.take_back(undone, taken)
            return None
        entries.append(entry)
    return entries


def take_row(row: Sequence[Account], bill: Sequence[float], now: float) -> list[Entry] | None:
    """Take what is to be taken of each account of a row, where nothing stands in the way.

    Nothing is in the way if there is more than enough on each, and the window has room for a
    new instant. It asks no account, and costs a third of what ``take_all`` does.

    Args:
        row: The accounts.
        bill: What is to be taken of each, in their order, and perhaps more numbers.
        now: The time.

    Returns:
        An entry for each account that something is to be taken of; None, and nothing is taken,
        if it is not as easy as that.
    """
    entries: list[Entry] = []
    for at, account in enumerate(row):
        amount = bill[at]
        if not amount:
            continue
        total = account.stamped + amount
        if not account.last <= now < account.calm or total + account.held > account.limit.amount:
            break
        entry = account.newest
        if now <= entry[0]:
            entry[1] += amount
        elif len(account.log) < FINE:
            entry = account.newest = [now, amount]
            account.log.append(entry)
        else:
            break
        account.last, account.stamped = now, total
        entries.append(entry)
    else:
        return entries
    shares = [each for each in zip(row, bill, strict=False) if each[1]]
    for (account, amount), entry in zip(shares, entries, strict=False):
        account.take_back(entry, amount)
    return None
