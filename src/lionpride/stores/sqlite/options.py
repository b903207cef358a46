"""Options of a store in a file; they are checked before anything is opened."""

from __future__ import annotations

from typing import Any, Final

from ...errors import ConfigurationError
from ..sql import options as common

__all__ = ("MODE", "check_options")

MODE: Final = 0o600
"""The permissions of a new file; its events may contain private data."""

_SYNCHRONOUS: Final = ("FULL", "NORMAL")


def check_options(
    *, synchronous: Any, lease: Any, patience: Any, shown: Any, retain: Any, mode: Any
) -> None:
    """Check the values of the options.

    Raises:
        ConfigurationError: names the option, its value, and the valid values.
    """
    if synchronous not in _SYNCHRONOUS:
        raise ConfigurationError(
            f"synchronous={synchronous!r}: give 'FULL', where a commit survives a power cut, or "
            "'NORMAL', where it survives a killed process"
        )
    if not common.is_whole(mode) or not 0 <= mode <= 0o777 or mode & 0o600 != 0o600:
        shown_mode = oct(mode) if common.is_whole(mode) else repr(mode)
        raise ConfigurationError(
            f"mode={shown_mode}: give permissions that let the owner read and write, such as "
            "0o600, or 0o660 for a group too"
        )
    common.check_options(lease=lease, patience=patience, shown=shown, retain=retain)
