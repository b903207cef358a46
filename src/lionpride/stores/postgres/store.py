"""Store in a PostgreSQL database: the rows are the data, and a commit makes a change durable."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from ..event_cache import CACHE_SIZE
from ..sql.options import check_options
from ..sql.store import LEASE, SqlStore
from ..url import standard_url
from .backend import PostgresBackend
from .options import check_names, check_ways
from .tables import TableNames

__all__ = ("PostgresStore",)

PATIENCE: Final = 30.0
"""Default number of seconds for which requests are repeated while the server is unavailable."""

CONNECTIONS: Final = 4
"""Default number of connections of a process, beside those for notifications and heartbeats."""

POLL: Final = 0.25
"""Default number of seconds between two polls."""


class PostgresStore(SqlStore):
    """Keeps the events of one queue in a PostgreSQL database, which many machines can share.

    Args:
        url: Server and database, as ``postgresql://user:password@host:5432/database``.
        queue: Name of the queue.
        name: Name of the ``states``; by default that of the queue.
        schema: Schema of the tables; it is created if it does not exist.
        prefix: Prefix of the names of the tables.
        lease: Seconds without a heartbeat after which the claims of a process expire.
        patience: Seconds for which operations are tried again while the server is unavailable.
        connections: Maximum number of connections, in addition to one that listens and one for
            heartbeats.
        listen: True to receive notifications of other processes; False to poll for changes.
        poll: Approximate seconds between two polls, if notifications are not received.
        pgbouncer: True for a pooler in transaction mode, such as PgBouncer. No statement is
            prepared then, and notifications are not used.
        shown: Maximum number of pending or finished events in ``states``: the newest that were
            appended or settled here.
        retain: Number of finished events to keep, or a timedelta; None to keep all.
        clock: Returns the time as a Unix timestamp in seconds, in place of the server's clock.

    Raises:
        ConfigurationError: if an option is invalid; nothing is opened or created then.
    """

    _backend: PostgresBackend

    def __init__(
        self,
        url: str,
        queue: str = "default",
        *,
        name: str | None = None,
        schema: str = "lionpride",
        prefix: str = "",
        lease: float = LEASE,
        patience: float = PATIENCE,
        connections: int = CONNECTIONS,
        listen: bool = True,
        poll: float = POLL,
        pgbouncer: bool = False,
        shown: int = CACHE_SIZE,
        retain: int | timedelta | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        check_names(schema, prefix)
        check_options(lease=lease, patience=patience, shown=shown, retain=retain)
        check_ways(connections=connections, listen=listen, poll=poll, pgbouncer=pgbouncer)
        self.names = TableNames(schema, prefix)
        backend = PostgresBackend(
            standard_url(url),
            queue,
            self.names,
            lease=lease,
            patience=patience,
            connections=connections,
            listen=listen,
            poll=poll,
            pgbouncer=pgbouncer,
            clock=clock,
        )
        self.place = backend.place
        super().__init__(backend, queue, name=name, lease=lease, shown=shown, retain=retain)
