"""Stores that outlive a process, each empty and of a test's own: for tests over all of them."""

from pathlib import Path

KEPT = ("sqlite",)


def url_of(kind: str, folder: Path) -> str:
    """The URL of an empty store of a kind."""
    assert kind == "sqlite"
    return f"sqlite:///{folder / 'run.db'}"
