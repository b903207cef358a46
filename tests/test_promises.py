"""Each promise of docs/promises.md has a test, and pytest finds it."""

import re
import subprocess
import sys

from documents import ROOT

_ROW = re.compile(r"^\| \*\*(?P<promise>.+)\| (?P<tests>.+) \|$", re.MULTILINE)
_TEST = re.compile(r"`(tests/[\w/]+\.py::\w+)`")

TEXT = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
PROMISES = {found["promise"]: _TEST.findall(found["tests"]) for found in _ROW.finditer(TEXT)}


def test_each_promise_names_a_test() -> None:
    assert len(PROMISES) >= 15
    assert not [promise for promise, tests in PROMISES.items() if not tests]


def test_pytest_finds_each_of_them() -> None:
    named = sorted(set(_TEST.findall(TEXT)))
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *named],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.returncode == 0, found.stdout + found.stderr
    collected = {line.partition("[")[0] for line in found.stdout.splitlines()}
    assert set(named) <= collected
