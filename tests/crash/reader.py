"""A foreign program: opens the database file with the standard library, reads, and closes it."""

import sqlite3


def read(path: str) -> None:
    """Count the events of a file, as a user does who looks into it."""
    connection = sqlite3.connect(f"file:{path}?mode=rw", uri=True, timeout=5.0)
    try:
        connection.execute("SELECT count(*) FROM event").fetchone()
    finally:
        connection.close()
