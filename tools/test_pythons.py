"""Run the tests on every Python that the classifiers name and this machine has: `make pythons`.

Each version gets an environment of its own, `.venv-3.12`, with the pins of constraints.txt. A
version that the machine lacks is reported as not run. `make lowest` passes `--lowest`: one run on
this Python, with the oldest version of each dependency that pyproject.toml allows.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NOT_RUN = "not run: this machine has no such Python"
EXTRAS = "cli,cron,fastapi,llm,metrics,otel,postgres,web"
LOWER = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[.*\])?>=(?P<version>[0-9.]+)")


def versions() -> list[str]:
    """Return the Python versions that the classifiers name, as ["3.11", …]."""
    found = (re.search(r":: (3\.\d+)$", line) for line in PROJECT["project"]["classifiers"])
    return [match[1] for match in found if match]


def interpreter(version: str) -> list[str] | None:
    """Return the command of a Python of this version, or None if the machine has none."""
    name = f"python{version}"
    commands = [[name]]
    if shutil.which("pyenv"):
        listed = subprocess.check_output(["pyenv", "versions", "--bare"], text=True).split()
        fitting = [line for line in listed if line.startswith(f"{version}.")]
        commands += [["env", f"PYENV_VERSION={found}", name] for found in fitting]
    for command in commands:
        try:
            done = subprocess.run(
                [*command, "-c", "import ssl, sqlite3"], capture_output=True, check=False
            )
        except OSError:
            continue
        if done.returncode == 0:
            return command
    return None


def lower_bounds() -> list[str]:
    """Return a pin for the oldest allowed version of each dependency of the library."""
    project = PROJECT["project"]
    wanted = [*project["dependencies"]]
    for requirements in project["optional-dependencies"].values():
        wanted += requirements
    found = (LOWER.match(requirement) for requirement in wanted)
    return sorted({f"{match['name']}=={match['version']}" for match in found if match})


def run_tests(python: list[str], folder: Path, pins: Path, arguments: list[str]) -> str:
    """Make the environment, run the tests in it, and return what to report."""
    own = str(folder / "bin" / "python")
    pip = [own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    environment = os.environ | {"PIP_CONSTRAINT": str(pins), "PIP_BUILD_CONSTRAINT": str(pins)}
    groups = [f"--group={group}" for group in ("bench", "browser", "notebook", "test")]
    steps: list[tuple[list[str], dict[str, str]]] = [
        ([*python, "-m", "venv", "--clear", str(folder)], dict(os.environ)),
        ([*pip, "pip>=25.1"], dict(os.environ)),
        ([*pip, *groups, "--editable", f".[{EXTRAS}]"], environment),
    ]
    for command, variables in steps:
        if subprocess.call(command, cwd=ROOT, env=variables):
            return "could not be installed"
    parallel = ["-n", "auto", "--dist", "worksteal"]
    failed = subprocess.call([own, "-m", "pytest", "-q", *parallel, *arguments], cwd=ROOT)
    return "failed" if failed else "passed"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lowest", action="store_true", help="with the oldest dependencies")
    parser.add_argument("--only", nargs="*", default=versions(), help="versions: 3.12 3.13")
    options, arguments = parser.parse_known_args()
    report: dict[str, str] = {}
    if options.lowest:
        pins = ROOT / "build" / "lowest.txt"
        pins.parent.mkdir(exist_ok=True)
        pins.write_text("\n".join(lower_bounds()) + "\n", encoding="utf-8")
        report["lowest"] = run_tests([sys.executable], ROOT / ".venv-lowest", pins, arguments)
    else:
        for version in options.only:
            python = interpreter(version)
            folder, pins = ROOT / f".venv-{version}", ROOT / "constraints.txt"
            report[version] = run_tests(python, folder, pins, arguments) if python else NOT_RUN
    for name, outcome in report.items():
        print(f"{name:8} {outcome}")
    return int(any(outcome not in ("passed", NOT_RUN) for outcome in report.values()))


if __name__ == "__main__":
    sys.exit(main())
