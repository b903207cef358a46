"""What a store in a file can be set to, checked before anything is opened."""

from __future__ import annotations

from typing import Any, Final

from ...errors import ConfigurationError
from ..sql import options as common

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
    common.check_options(lease=lease, patience=patience, shown=shown, retain=retain)
