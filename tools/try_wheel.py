"""Build the wheel, install it in an empty environment, and use it there: `make wheel`.

The checkout's own sources are out of reach: the programs run with `-P` in an empty folder. The
first environment has no extra, as `pip install lionpride-core` makes it; then the extras `cli` and
`web` join it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]

PARTS = (
    "py.typed",
    "stores/sqlite/schema/",
    "stores/postgres/schema/",
    "web/templates/",
    "web/static/",
)
"""Files without code that the wheel must contain, by the beginning of their path."""

PROGRAM = """
import asyncio, sys
import lionpride
from lionpride import Event, Executor, Processor

class Square(Event):
    number: int
    async def _invoke(self):
        return self.number**2

class Worker(Processor):
    event_type = Square

class Squares(Executor):
    processor_type = Worker

async def main():
    for store in (None, "sqlite:///run.db"):
        async with Squares(processor_config={"concurrency_limit": 2}, store=store) as executor:
            event = await executor.append(Square(number=7))
            assert await executor.result(event) == 49

asyncio.run(main())
assert "site-packages" in lionpride.__file__, lionpride.__file__
print(f"lionpride {lionpride.__version__}: memory and SQLite work")
"""


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="lionpride-wheel-") as folder:
        wheel = build(Path(folder))
        missing = missing_parts(wheel)
        if missing:
            print(f"{wheel.name} lacks {', '.join(missing)}")
            return 1
        environment = Path(folder) / "environment"
        venv.create(environment, with_pip=True)
        python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
        empty = Path(folder) / "empty"
        empty.mkdir()
        install(python, str(wheel))
        run(python, "-P", "-W", "error", "-c", PROGRAM, cwd=empty)
        install(python, f"{wheel}[cli,web]")
        run(python, "-P", "-m", "lionpride", "--version", cwd=empty)
        run(python, "-P", "-m", "lionpride", "counts", "run.db", cwd=empty)
        run(python, "-P", "-W", "error", "-c", "import lionpride.web", cwd=empty)
    print(f"{wheel.name} works in an empty environment.")
    return 0


def build(folder: Path) -> Path:
    """Build the wheel with the pinned build backend."""
    pins = os.path.relpath(ROOT / "constraints.txt", ROOT)
    environment = os.environ | {"PIP_CONSTRAINT": pins, "PIP_BUILD_CONSTRAINT": pins}
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--wheel-dir", str(folder), "."]
    subprocess.run(command, check=True, cwd=ROOT, env=environment)
    (wheel,) = folder.glob("*.whl")
    return wheel


def missing_parts(wheel: Path) -> list[str]:
    """Return those of `PARTS` that the wheel does not contain."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    wanted = (f"lionpride/{part}" for part in PARTS)
    return [part for part in wanted if not any(name.startswith(part) for name in names)]


def install(python: Path, requirement: str) -> None:
    pins = {"PIP_CONSTRAINT": "constraints.txt"}
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*command, requirement], check=True, cwd=ROOT, env=os.environ | pins)


def run(python: Path, *arguments: str, cwd: Path) -> None:
    subprocess.run([str(python), *arguments], check=True, cwd=cwd)


if __name__ == "__main__":
    sys.exit(main())
