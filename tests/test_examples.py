"""Every script of `examples/` runs to its end, in a process of its own, with warnings as errors."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"

ARGUMENTS = {"llm_batch.py": ["--help"], "stdlib_files.py": ["--write", "events.jsonl"]}
"""What an example is started with, if it needs anything; it stands in an empty folder."""


def has_main(path: Path) -> bool:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tests = [ast.unparse(node.test) for node in tree.body if isinstance(node, ast.If)]
    return any(test.startswith("__name__ ==") for test in tests)


SCRIPTS = [path.name for path in sorted(EXAMPLES.glob("*.py")) if has_main(path)]


def test_there_are_examples() -> None:
    assert SCRIPTS


@pytest.mark.parametrize("name", SCRIPTS)
def test_example_runs(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name), *ARGUMENTS.get(name, [])],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
