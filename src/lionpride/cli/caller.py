"""The name under which a command cancels, retries and pauses."""

from __future__ import annotations

import getpass
import os
import platform

from ..rules.action import LONGEST

__all__ = ["caller"]


def caller() -> str:
    """Return the user and the machine of this process, such as "alice@web-1"."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # the system knows no user of this id
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    name = f"{user}@{platform.node() or 'unknown'}"
    return "".join(c if c.isprintable() else "?" for c in name)[:LONGEST]
