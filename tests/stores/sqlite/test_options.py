"""Options that make no sense are refused by name, before a file is touched."""

import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from lionpride.core import Event, Executor, Processor
from lionpride.errors import ConfigurationError
from lionpride.stores.sqlite import SqliteStore

WRONG: list[tuple[str, Any, str]] = [
    *(("synchronous", value, "give 'FULL'") for value in ("bogus", "full", "OFF", "", None, 2)),
    *(
        ("lease", value, "seconds above 0")
        for value in (0, 0.0, -1, math.nan, math.inf, True, "10", None)
    ),
    *(
        ("patience", value, "seconds, 0 or more")
        for value in (-0.1, math.nan, math.inf, False, "1", None)
    ),
    *(("shown", value, "events, 1 or more") for value in (0, -1, 1.5, True, None, "9")),
    *(("retain", value, "0 or more") for value in (-1, True, 1.5, "1", timedelta(seconds=-1))),
]

RIGHT: list[dict[str, Any]] = [
    {"synchronous": "FULL"},
    {"synchronous": "NORMAL"},
    {"lease": 0.001},
    {"lease": 3600},
    {"patience": 0},
    {"shown": 1},
    {"retain": 0},
    {"retain": timedelta(0)},
    {"retain": timedelta(days=9)},
    {"retain": None},
]


@pytest.mark.parametrize(("name", "value", "remedy"), WRONG)
def test_what_makes_no_sense_is_refused(name: str, value: Any, remedy: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        SqliteStore(tmp_path / "run.db", **{name: value})
    assert str(caught.value).startswith(f"{name}={value!r}: ")
    assert remedy in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", RIGHT, ids=str)
async def test_what_makes_sense_is_taken(options: dict[str, Any], tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "run.db", **options)
    assert sum((await store.counts()).values()) == 0
    await store.close()


class AnyProcessor(Processor):
    event_type = Event


class AnyExecutor(Executor):
    processor_type = AnyProcessor


@pytest.mark.parametrize(
    "query", ["synchronous=bogus", "lease=0", "lease=nan", "lease=-1", "patience=-1"]
)
def test_an_executor_refuses_them_too(query: str, tmp_path: Path) -> None:
    name = query.partition("=")[0]
    with pytest.raises(ConfigurationError, match=f"{name}="):
        AnyExecutor(store=f"sqlite:///{tmp_path}/run.db?{query}")
    assert not list(tmp_path.iterdir())
