from collections.abc import Iterator
from pathlib import Path

import pytest
from stores.homes import Home
from sync.jobs import postgres_url


@pytest.fixture
def home() -> Home:
    return Home()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty store of each kind."""
    if request.param == "memory":
        yield "memory://"
    elif request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'run.db'}?synchronous=NORMAL"
    else:
        home = Home()
        yield postgres_url(home)
        del home


@pytest.fixture(params=["sqlite", "postgres"])
def durable(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty store that other processes can open."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'run.db'}"
    else:
        home = Home()
        yield postgres_url(home)
        del home
