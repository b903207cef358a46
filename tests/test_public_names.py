"""Guards the names that users import, and what importing them costs."""

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import lionpride
from lionpride import core, errors

ROOT = Path(__file__).parents[1]

ERRORS = {
    "AccessError",
    "ConfigurationError",
    "DependencyError",
    "EventCancelledError",
    "ExecutionError",
    "ExistsError",
    "LionTimeoutError",
    "LionprideError",
    "NotFoundError",
    "OperationError",
    "QueueFullError",
    "RateLimited",
    "RestartedError",
    "Skip",
    "StoreError",
    "UnknownClassError",
    "ValidationError",
}

NAMES = ERRORS | {
    "AttemptContext",
    "Batch",
    "BatchEnd",
    "Cron",
    "Defer",
    "Element",
    "Event",
    "EventStatus",
    "Every",
    "Execution",
    "Executor",
    "Flow",
    "Job",
    "JobEvent",
    "Limit",
    "Pile",
    "Processor",
    "Progress",
    "Progression",
    "Retry",
    "Schedule",
    "Then",
    "Transition",
    "Unset",
    "current",
    "job",
}

PEERS = """
import sys, asyncio, pydantic
from pydantic import BaseModel, ConfigDict, Field, model_serializer
class Plain(BaseModel): number: int = 0
before = set(sys.modules)
import lionpride.core
roots = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(roots - set(sys.stdlib_module_names) - {"pydantic", "pydantic_core"}))
print(*sorted(name for name in ("rich", "sqlite3", "psycopg", "asyncpg") if name in sys.modules))
"""

EACH_FIRST = """
import importlib, sys
from itertools import groupby

def ours():
    return {name for name in sys.modules if name.partition(".")[0] == "lionpride"}

def forget(names):
    for name in names:
        del sys.modules[name]
        package, _, module = name.rpartition(".")
        if package in sys.modules:
            vars(sys.modules[package]).pop(module, None)

package_of = lambda name: name.rpartition(".")[0]
for package, modules in groupby(sorted(sys.argv[1:], key=package_of), package_of):
    forget(ours())
    importlib.import_module(package)  # whichever of its modules comes first, it comes before
    known = ours()
    for first in modules:
        importlib.import_module(first)
        forget(ours() - known)
"""


def test_core_names_what_users_import() -> None:
    assert set(core.__all__) == NAMES
    assert list(core.__all__) == sorted(core.__all__)


def test_the_package_names_the_same_and_its_version() -> None:
    assert set(lionpride.__all__) == NAMES | {"__version__"}
    for name in NAMES:
        assert getattr(lionpride, name) is getattr(core, name)


def test_errors_are_a_handful() -> None:
    assert set(errors.__all__) == ERRORS
    for name in ERRORS:
        assert issubclass(getattr(errors, name), errors.LionprideError)


@pytest.mark.parametrize("name", sorted(NAMES - {"Unset"}))
def test_a_public_class_says_what_it_is(name: str) -> None:
    kind = getattr(core, name)
    assert kind.__module__.startswith("lionpride.")
    assert kind.__doc__


def test_every_module_can_be_imported_first() -> None:
    """No import depends on another having come before it: no cycle hides."""
    source = ROOT / "src"
    paths = [path.relative_to(source).with_suffix("") for path in source.rglob("*.py")]
    modules = [".".join(path.parts) for path in paths if not path.stem.startswith("__")]
    done = _run(EACH_FIRST, *sorted(modules))
    assert done.returncode == 0, done.stderr


def test_the_core_imports_nothing_beyond_what_pydantic_needs() -> None:
    done = _run(PEERS)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:2] == ["lionpride", ""]


def test_the_version_has_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"]["path"] == "src/lionpride/__init__.py"
    assert re.fullmatch(r"\d+\.\d+\.\d+", lionpride.__version__)


def test_the_command_can_be_imported() -> None:
    assert callable(importlib.import_module("lionpride.cli").main)


def _run(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
