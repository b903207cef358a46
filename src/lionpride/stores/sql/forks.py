"""Whether this process was forked from another one, in less time than its id is asked for."""

from __future__ import annotations

import os

__all__ = ("forks",)


class _Forks:
    """How many processes lie between this one and the first that loaded this module."""

    count = 0

    def add(self) -> None:
        self.count += 1


forks = _Forks()
if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork either
    os.register_at_fork(after_in_child=forks.add)
