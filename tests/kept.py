"""Stores that outlive a process, each empty and of a test's own: for tests over all of them."""

import itertools
import os
from pathlib import Path

import pytest
from stores.homes import Home, aside, for_tests

KEPT = ("sqlite", "postgres")

_NUMBERS = itertools.count()


def url_of(kind: str, folder: Path, name: str = "run") -> str:
    """The URL of an empty store of a kind: a file in the folder, or a schema that is not there."""
    if kind == "sqlite":
        return f"sqlite:///{folder}/{name}.db"
    server = for_tests()
    schema = f"kept_{os.getpid()}_{next(_NUMBERS)}"
    aside()  # drops at the end what was made
    Home.made.append(schema)
    return f"{server}{'&' if '?' in server else '?'}lionpride_schema={schema}"


over_kept = pytest.mark.parametrize("place", KEPT, indirect=True)
"""Runs a test of the command line over each kind: ``place.kept`` is its STORE."""
