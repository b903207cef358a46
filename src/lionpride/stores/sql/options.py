"""Options that both stores over a database have; they are checked before anything is opened."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from ...errors import ConfigurationError
from ...model.finite import is_finite

__all__ = ("check_options", "is_whole")


def check_options(*, lease: Any, patience: Any, shown: Any, retain: Any) -> None:
    """Check the values of the options.

    Raises:
        ConfigurationError: names the option, its value, and the valid values.
    """
    _check_lease(lease)
    _check_patience(patience)
    _check_shown(shown)
    _check_retain(retain)


def _check_lease(lease: Any) -> None:
    if not is_finite(lease) or lease <= 0:
        raise ConfigurationError(f"lease={lease!r}: give a finite number of seconds above 0")


def _check_patience(patience: Any) -> None:
    if not is_finite(patience) or patience < 0:
        raise ConfigurationError(
            f"patience={patience!r}: give a finite number of seconds, 0 or more"
        )


def _check_shown(shown: Any) -> None:
    if not is_whole(shown) or shown < 1:
        raise ConfigurationError(f"shown={shown!r}: give a whole number of events, 1 or more")


def _check_retain(retain: Any) -> None:
    if retain is None:
        return
    if isinstance(retain, timedelta):
        if retain < timedelta(0):
            raise ConfigurationError(
                f"retain={retain!r}: give a timedelta of 0 or more, or None to keep all"
            )
    elif not is_whole(retain) or retain < 0:
        raise ConfigurationError(
            f"retain={retain!r}: give a whole number of finished events, 0 or more, a "
            "timedelta, or None to keep all"
        )


def is_whole(value: Any) -> bool:
    """Return True for a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)
