"""A foreign program: opens the database file with the standard library, reads, and closes it."""

import os
import sqlite3


def read(path: str) -> None:
    """Count the events of a file, as a user does; every third one also cuts the log."""
    connection = sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=5.0)
    try:
        connection.execute("SELECT count(*) FROM lionpride_event").fetchone()
        if os.getpid() % 3 == 0:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.close()
