"""Store in one SQLite file: the rows are the data, and a commit makes a change durable."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from ..event_cache import CACHE_SIZE
from ..sql.store import LEASE, SqlStore
from .backend import SqliteBackend
from .file import PATIENCE
from .options import MODE, check_options

__all__ = ("SqliteStore",)


class SqliteStore(SqlStore):
    """Keeps the events of one queue in a file, which many processes of a machine can share.

    Args:
        path: Path of the file; it is created if it does not exist.
        queue: Name of the queue.
        name: Name of the ``states``; by default that of the queue.
        synchronous: "FULL": commits survive a power cut. "NORMAL": commits survive a killed
            process; a power cut may lose the last ones, each as a whole.
        lease: Seconds without a heartbeat after which the claims of a process expire.
        patience: Seconds to wait for another program that is writing to the file.
        shown: Maximum number of pending or finished events in ``states``: the newest that were
            appended or settled here.
        retain: Number of finished events to keep, or a timedelta; None to keep all.
        mode: Permissions of a new file, its log and its lock file. The permissions of an existing
            file are not changed.
        clock: Returns the time as a Unix timestamp in seconds; by default the machine's clock. If
            the event loop's time is virtual, scheduled events follow the loop's clock.

    Raises:
        ConfigurationError: if an option is invalid; nothing is opened or created then.
    """

    _backend: SqliteBackend

    def __init__(
        self,
        path: str | Path,
        queue: str = "default",
        *,
        name: str | None = None,
        synchronous: str = "FULL",
        lease: float = LEASE,
        patience: float = PATIENCE,
        shown: int = CACHE_SIZE,
        retain: int | timedelta | None = None,
        mode: int = MODE,
        clock: Callable[[], float] | None = None,
    ) -> None:
        check_options(
            synchronous=synchronous,
            lease=lease,
            patience=patience,
            shown=shown,
            retain=retain,
            mode=mode,
        )
        self.path = Path(path).absolute()
        backend = SqliteBackend(
            self.path,
            queue,
            synchronous=synchronous,
            lease=lease,
            patience=patience,
            mode=mode,
            clock=clock,
        )
        super().__init__(backend, queue, name=name, lease=lease, shown=shown, retain=retain)
