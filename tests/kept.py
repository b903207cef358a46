"""Stores that outlive a process, each empty and of a test's own: for tests over all of them."""

from pathlib import Path

import pytest

KEPT = ("sqlite",)


def url_of(kind: str, folder: Path, name: str = "run") -> str:
    """The URL of an empty store of a kind; a file is in the folder."""
    assert kind == "sqlite"
    return f"sqlite:///{folder}/{name}.db"


over_kept = pytest.mark.parametrize("place", KEPT, indirect=True)
"""Runs a test of the command line over each kind: ``place.kept`` is its STORE."""
