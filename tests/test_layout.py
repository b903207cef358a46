"""Keeps the project's shape: where tests stand, how long things are, what is committed."""

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "lionpride"

MODULE_LINES = 400
FUNCTION_LINES = 50

UNTESTED: dict[str, str] = {
    "model/given.py": "tests/model/test_element.py: what is taken for time and metadata",
    "model/kept.py": "tests/model/test_execution.py: what each field says, and when",
    "model/lazy.py": "tests/model/test_element.py: identity is made on first use",
    "engine/exchange.py": "tests/engine/test_waiting_store.py: a cancel that comes at any turn",
    "engine/intake.py": "tests/engine/test_executor.py: what is taken in and what is refused",
    "otel/__init__.py": "tests/otel/test_traces.py, tests/otel/test_wire.py",
    "otel/asking.py": "tests/otel/test_metrics.py: from the loop, and from another thread",
    "engine/alone.py": "tests/engine/test_processor.py: alone over a pile",
    "stores/asked.py": "tests/stores/test_contract_standing.py",
    "stores/by_hand.py": "tests/stores/test_contract_by_hand.py",
    "stores/intake.py": "tests/stores/test_contract.py: what append takes in and refuses",
    "stores/record.py": "tests/stores/test_contract.py: records, pages and counts",
    "stores/terms.py": "tests/stores/test_contract_terms.py",
    "stores/postgres/roster.py": "tests/cli/test_workers.py: who works, and what each holds",
    "stores/postgres/publishing.py": "tests/engine/test_producers.py: chunks and progress",
    "stores/upkeep.py": "tests/cli/test_migrate.py, tests/cli/test_doctor.py: what is said of it",
    "cli/checks.py": "tests/cli/test_doctor.py: each thing that it finds",
    "stores/sqlite/expiring.py": "tests/stores/test_contract_terms.py: what expires",
    "stores/sqlite/base.py": "tests/stores/test_contract.py: every verb stands on it",
    "stores/sqlite/batch.py": "tests/simulation: batches of every kind against the reference",
    "stores/sqlite/bulk.py": "tests/simulation: the rows against the reference",
    "stores/sql/columns.py": "tests/stores/test_contract.py: what goes in comes out",
    "stores/sqlite/commits.py": "tests/crash kills it before and after each commit",
    "stores/sqlite/entering.py": "tests/stores/test_contract.py: append, load and restore",
    "stores/sql/forks.py": "tests/stores/sqlite/test_fork.py: a child of a process with a store",
    "stores/sql/forms.py": "tests/stores/test_contract.py: what goes in comes out",
    "stores/sql/records.py": "tests/stores/test_contract.py: records, pages and counts",
    "stores/sql/holding.py": "tests/simulation: what a process shows against the reference",
    "stores/sqlite/look.py": "tests/stores/test_contract.py: records, pages and counts",
    "stores/sqlite/manage.py": "tests/stores/test_contract_by_hand.py",
    "stores/sqlite/opened.py": "tests/stores/sqlite/test_file.py: files that open, and that do not",
    "stores/postgres/turn.py": "tests/stores/test_contract_standing.py",
    "stores/postgres/link.py": "tests/stores/test_contract.py: every verb goes by one",
    "stores/postgres/migrating.py": "tests/stores/postgres/test_store.py: a schema is made",
    "stores/postgres/options.py": "tests/stores/test_open.py",
    "stores/postgres/pulse.py": "tests/stores/postgres/test_store.py",
    "stores/postgres/watching.py": "tests/stores/postgres/test_store.py: one hears of another",
    "stores/postgres/taking_in.py": "tests/stores/test_contract.py: append, load and restore",
    "stores/sql/options.py": "tests/stores/sqlite/test_options.py",
    "stores/postgres/metering.py": "tests/stores/test_contract_limits.py: the true cost",
    "stores/postgres/rationing.py": "tests/stores/test_contract_limits.py: what is reserved",
    "stores/postgres/sweeping.py": "tests/simulation: what lapses, against the reference",
    "stores/postgres/takings.py": "tests/stores/test_contract_limits.py",
    "stores/postgres/base.py": "tests/stores/test_contract.py: every verb stands on it",
    "stores/postgres/by_hand.py": "tests/stores/test_contract_by_hand.py",
    "stores/postgres/claiming.py": "tests/stores/test_contract_claims.py",
    "stores/postgres/entering.py": "tests/stores/test_contract.py: append, load and restore",
    "stores/postgres/expiring.py": "tests/stores/test_contract_terms.py: what expires",
    "stores/postgres/leasing.py": "tests/stores/test_contract_claims.py: leases",
    "stores/postgres/manage.py": "tests/stores/test_contract_by_hand.py",
    "stores/postgres/opened.py": "tests/stores/test_contract.py: every verb stands on it",
    "stores/postgres/placing.py": "tests/stores/test_contract.py: counts equal listings",
    "stores/postgres/settling.py": "tests/stores/test_contract_settle.py",
    "stores/joining.py": "tests/stores/postgres/test_joining.py: who offers it, and who does not",
    "stores/sharing.py": "tests/engine/test_streams_beside.py follows what another store runs",
    "stores/sqlite/published.py": "tests/stores/sql/test_telling.py: what is in its tables",
    "stores/sqlite/reader.py": "tests/stores/test_contract.py: records, pages and counts",
    "stores/sqlite/rows.py": "tests/simulation: the rows against the reference",
    "stores/sqlite/steps.py": "tests/simulation: every step against the reference",
    "rules/bills.py": "tests/rules/test_metering.py, tests/stores/test_contract_limits.py",
    "rules/guards.py": "tests/engine/test_rate_limits.py: a large one is not starved",
    "stores/rationing.py": "tests/stores/test_contract_limits.py, tests/engine/test_rate_limits.py",
    "stores/sqlite/metering.py": "tests/stores/test_contract_limits.py: the true cost",
    "stores/sql/metering.py": "tests/stores/test_contract_limits.py: the true cost",
    "stores/sql/takings.py": "tests/stores/test_contract_limits.py",
    "stores/sql/rationing.py": "tests/stores/test_contract_limits.py: what is reserved",
    "stores/sqlite/retaining.py": "tests/stores/sqlite/test_store.py: what is retained",
    "stores/sqlite/takings.py": "tests/stores/test_contract_limits.py, test_limits.py beside this",
    "stores/ways.py": "tests/engine/test_rate_limits.py: a run in memory takes them",
    "stores/waiting.py": "tests/simulation compares its order with a naive reference",
    "stores/seen.py": "tests/view/test_office.py asks every store",
    "stores/sqlite/glance.py": "tests/view/test_office.py: every question against the naive answer",
    "stores/postgres/glance.py": "tests/view/test_office.py: all questions, naively answered",
    "stores/postgres/seeking.py": "tests/view/test_office.py: filters, counts and pages",
    "stores/sqlite/seeking.py": "tests/view/test_office.py: filters, counts and pages",
    "view/held.py": "tests/view/test_office.py: a store in memory is asked the same",
    "view/scene.py": "tests/cli/test_top.py: what is seen; tests/cli/test_board.py draws it",
    "web/charts.py": "tests/web/test_pages.py looks at them; tests/drawing/test_plots.py measures",
    "web/desk.py": "tests/web/test_health.py, tests/web/test_access.py",
    "web/details.py": "tests/web/test_pages.py: an event's page",
    "web/render.py": "tests/web/test_app.py: what is sent when; tests/web/test_pages.py",
    "__main__.py": "three lines; tests/cli/test_run.py starts it as a command",
    "cli/__init__.py": "the command itself, whose runs are tests/cli/test_run.py",
}
"""Modules without a test file of their own, each with its reason."""

LONG: dict[str, str] = {
    "src/lionpride/stores/memory.py": "what is done by hand is about to leave it",
    "src/lionpride/engine/loops.py:_series": "the hot path, in one frame: a call costs a twentieth",
    # "src/…/module.py" or "src/…/module.py:function": "why it is better in one piece",
}
"""Modules and functions that are longer than the limit, each with its reason."""


def sources(*folders: str) -> list[str]:
    """Paths of the Python files below these folders, relative to the project's root."""
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


OURS = sources("src", "tools", "examples", "benchmarks")
MODULES = [path.removeprefix("src/lionpride/") for path in sources("src")]


@cache
def tree_of(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def has_code(tree: ast.Module) -> bool:
    """Tell a module that does something from one that only says or passes on names."""
    quiet = (ast.Import, ast.ImportFrom, ast.Expr, ast.Assign, ast.AnnAssign)
    return any(not isinstance(statement, quiet) for statement in tree.body)


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function, from its `def` to its end, without its docstring."""
    lines = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


# ----------------------------------------------------------------------------------- the test tree


@pytest.mark.parametrize("module", MODULES)
def test_each_module_has_its_tests_at_the_same_place(module: str) -> None:
    path = Path(module)
    mirror = ROOT / "tests" / path.parent / f"test_{path.name}"
    if module in UNTESTED or not has_code(tree_of(f"src/lionpride/{module}")):
        assert not mirror.exists() or module not in UNTESTED, f"{module} is tested: list it no more"
        return
    assert mirror.exists(), f"write tests/{path.parent.as_posix()}/test_{path.name}, or say why not"


def test_every_exception_is_of_a_module_that_exists() -> None:
    assert set(UNTESTED) <= set(MODULES)
    assert {name.partition(":")[0] for name in LONG} <= set(OURS)


def test_the_test_tree_is_not_a_package() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py")), "importlib mode needs none"


# ------------------------------------------------------------------------------------------- sizes


@pytest.mark.parametrize("path", OURS)
def test_no_module_is_too_long(path: str) -> None:
    lines = len((ROOT / path).read_text(encoding="utf-8").splitlines())
    assert lines <= MODULE_LINES or path in LONG


@pytest.mark.parametrize("path", OURS)
def test_no_function_is_too_long(path: str) -> None:
    long = {f.name: length(f) for f in functions(tree_of(path)) if length(f) > FUNCTION_LINES}
    assert not {name: n for name, n in long.items() if f"{path}:{name}" not in LONG}


@pytest.mark.parametrize("path", sources("src", "tools", "examples"))
def test_a_late_import_says_why(path: str) -> None:
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    silent = [
        f"{path}:{node.lineno}: {lines[node.lineno - 1].strip()}"
        for function in functions(tree_of(path))
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
        and not re.search(r"# late: \w", lines[node.lineno - 1])
    ]
    assert not silent, "add `# late: reason`, or import at the top"


@pytest.mark.parametrize("path", sources("src", "tools", "examples"))
def test_an_assert_does_nothing(path: str) -> None:
    """`python -O` leaves it out, and whatever it calls."""
    calls = [
        f"{path}:{call.lineno}: {ast.unparse(call)}"
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Assert)
        for call in ast.walk(node.test)
        if isinstance(call, ast.Call) and ast.unparse(call.func) not in {"isinstance", "len"}
    ]
    assert not calls, "call it first, and assert what it gave"


# ------------------------------------------------------------------------------- what is committed

IGNORED = {"build", "dist", "__pycache__"}
"""Folders that tools make; so are those whose names begin with a dot, `.ci` excepted."""

UNFINISHED = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|XX" r"X)\b")
REGISTRY = re.compile(r"pypi\.(?:org|python)|pythonhosted\.|anaconda\.(?:org|com)|registry\.npmjs")
MACHINE = re.compile(r"(?<![\w.:/~$}\\-])/(?:work|root|tmp|home|Users|opt|mnt|var)/")
TEXT = re.compile(r"(?:^|/)\.?[^./]+$|\.(?:cfg|ipynb|jsonl?|md|py|sql|svg|toml|txt|ya?ml)$")


def committed() -> list[str]:
    """Files under version control or about to be; without git, all that is not made by a tool."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "-co", "--exclude-standard"]
    try:
        answer = subprocess.run(command, capture_output=True, check=True, text=True).stdout
        names = [name for name in answer.split("\0") if name and (ROOT / name).is_file()]
    except (OSError, subprocess.CalledProcessError):
        names = []
    if not names:
        found = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
        names = [path.as_posix() for path in found if not any(map(made, path.parts[:-1]))]
    return sorted(name for name in names if TEXT.search(name))


def made(folder: str) -> bool:
    return folder in IGNORED or (folder.startswith(".") and folder != ".ci")


@pytest.mark.parametrize(
    "pattern",
    [
        pytest.param(UNFINISHED, id="marks of unfinished work"),
        pytest.param(REGISTRY, id="hosts of package registries"),
        pytest.param(MACHINE, id="paths of one machine"),
    ],
)
def test_nothing_committed_holds(pattern: re.Pattern[str]) -> None:
    found = [
        f"{name}:{number}: {line.strip()}"
        for name in committed()
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found


def test_constraints_are_plain_pins() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert pins == sorted(pins, key=lambda pin: pin.partition("==")[0].lower())
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", pin) for pin in pins)
