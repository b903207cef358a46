"""What a store in a file can be set to, checked before anything is opened."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any, Final

from ...errors import ConfigurationError

__all__ = ("check_options",)

_SYNCHRONOUS: Final = ("FULL", "NORMAL")


def check_options(*, synchronous: Any, lease: Any, patience: Any, shown: Any, retain: Any) -> None:
    """Refuse an option that makes no sense.

    Raises:
        ConfigurationError: names the option and its value, and says what it may be.
    """
    if synchronous not in _SYNCHRONOUS:
        raise ConfigurationError(
            f"synchronous={synchronous!r}: give 'FULL', where a commit survives a power cut, or "
            "'NORMAL', where it survives a killed process"
        )
    if not _is_number(lease) or lease <= 0:
        raise ConfigurationError(f"lease={lease!r}: give a finite number of seconds above 0")
    if not _is_number(patience) or patience < 0:
        raise ConfigurationError(
            f"patience={patience!r}: give a finite number of seconds, 0 or more"
        )
    if not _is_whole(shown) or shown < 1:
        raise ConfigurationError(f"shown={shown!r}: give a whole number of events, 1 or more")
    _check_retain(retain)


def _check_retain(retain: Any) -> None:
    if retain is None:
        return
    if isinstance(retain, timedelta):
        if retain < timedelta(0):
            raise ConfigurationError(
                f"retain={retain!r}: give a timedelta of 0 or more, or None to keep all for ever"
            )
    elif not _is_whole(retain) or retain < 0:
        raise ConfigurationError(
            f"retain={retain!r}: give a whole number of ended events, 0 or more, a timedelta, or "
            "None to keep all"
        )


def _is_number(value: Any) -> bool:
    whole_or_real = isinstance(value, int | float) and not isinstance(value, bool)
    return whole_or_real and math.isfinite(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
