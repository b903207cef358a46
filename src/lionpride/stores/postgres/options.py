"""Options of a store in PostgreSQL; they are checked before anything is opened."""

from __future__ import annotations

import re
from typing import Any, Final

from ...errors import ConfigurationError
from ...model.finite import is_finite
from ..sql.options import is_whole
from .tables import LONGEST

__all__ = ("check_names", "check_ways")

SLOWEST: Final = 60.0
"""Maximum number of seconds between two polls."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_PREFIX: Final = 40
"""Maximum length of a prefix, so that the longest index name fits after it."""


def check_names(schema: Any, prefix: Any) -> None:
    """Check the schema and the prefix of the tables.

    Raises:
        ConfigurationError: names the option, its value, and the valid values.
    """
    _check_name("schema", schema, LONGEST)
    if prefix != "":
        _check_name("prefix", prefix, _PREFIX)


def check_ways(*, connections: Any, listen: Any, poll: Any, pgbouncer: Any) -> None:
    """Check the options of the connections.

    Raises:
        ConfigurationError: names the option, its value, and the valid values.
    """
    if not is_whole(connections) or connections < 1:
        raise ConfigurationError(f"connections={connections!r}: give a whole number, 1 or more")
    if not is_finite(poll) or not 0 < poll <= SLOWEST:
        raise ConfigurationError(
            f"poll={poll!r}: give a number of seconds above 0, {SLOWEST:g} at most"
        )
    for name, value in (("listen", listen), ("pgbouncer", pgbouncer)):
        if not isinstance(value, bool):
            raise ConfigurationError(f"{name}={value!r}: give True or False")


def _check_name(what: str, name: Any, longest: int) -> None:
    if not isinstance(name, str) or not _NAME.match(name) or len(name) > longest:
        raise ConfigurationError(
            f"{what}={name!r}: give a name of letters, digits and underscores that begins with no "
            f"digit, {longest} characters at most"
        )
