"""Checks the project's shape: the length of functions, late imports, what is committed."""

import ast
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from lionpride.model.event_data import EventData
from lionpride.model.execution import KEYS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "lionpride"

FUNCTION_LINES = 50

LONG: dict[str, str] = {
    "src/lionpride/engine/dispatcher.py:_work": "the one loop: a call costs 3 % of an event",
    # "src/…/module.py:function": "why it is better in one piece",
}
"""Functions that are longer than the limit, each with its reason."""


def sources(*folders: str) -> list[str]:
    """Paths of the Python files below these folders, relative to the project's root."""
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


OURS = sources("src", "tools", "examples", "benchmarks")


@cache
def tree_of(path: str) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
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


def classes(path: str) -> list[ast.ClassDef]:
    """The classes at the top level of a module."""
    return [node for node in tree_of(path).body if isinstance(node, ast.ClassDef)]


# ----------------------------------------------------------------------------------- the test tree


def test_the_test_tree_is_not_a_package() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py")), "importlib mode needs none"


def test_the_prefixes_of_test_names_are_explained() -> None:
    text = "".join((ROOT / path).read_text(encoding="utf-8") for path in sources("tests"))
    used = set(re.findall(r"def test_([a-z]\d)_", text))
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert used <= set(re.findall(r"^\| ([a-z]\d) \|", contributing, re.MULTILINE))


# ------------------------------------------------------------------------------------------- sizes


def test_every_exception_is_of_a_module_that_exists() -> None:
    assert {name.partition(":")[0] for name in LONG} <= set(OURS)


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


# ------------------------------------------------------------------------------------ the executor


def test_every_public_method_of_the_executor_stands_in_its_class_and_delegates() -> None:
    (executor,) = classes("src/lionpride/engine/executor.py")
    assert not executor.bases, "it is composed of parts, not assembled from base classes"
    long = {
        method.name: len(method.body)
        for method in functions(executor)
        if method.name not in ("__init__", "_connect", "of") and len(method.body) > 3
    }
    assert not long, "a docstring and two statements: a part does the work"


# -------------------------------------------------------------------------------------- the stores

STORES = [path for path in OURS if path.startswith("src/lionpride/stores/")]


def test_a_public_class_name_is_used_once_in_the_stores() -> None:
    names = Counter(one.name for path in STORES for one in classes(path))
    assert [name for name, n in names.items() if n > 1 and not name.startswith("_")] == []


@pytest.mark.parametrize("path", STORES)
def test_no_method_of_a_store_exists_only_for_a_subclass(path: str) -> None:
    """A database is a backend that the store holds; no method is left to a subclass."""
    left = [
        f"{one.name}.{method.name}"
        for one in classes(path)
        for method in functions(one)
        for node in ast.walk(method)
        if isinstance(node, ast.Name) and node.id in ("NotImplementedError", "abstractmethod")
    ]
    assert not left


# ---------------------------------------------------- the private entries of an event's `__dict__`

STATE = {
    "model/execution.py": "the state of an event that no executor has",
    "rules/state_machine.py": "failed attempts, as part of an outcome",
    "stores/memory/store.py": "the state of events in memory",
    "stores/sql/codec.py": "entries from columns",
    "stores/sql/local_events.py": "the state of events, after a commit",
    "model/serialization/payload.py": "response and error of a stored result",
}
"""The modules that write the entries of an Execution (``execution.KEYS``), each with its reason."""

OTHERS = {
    "_actions": {"stores/memory/store.py"},
    "_began": {"engine/dispatcher.py"},
    "_created": {
        "model/construction.py",
        "model/element.py",
        "model/serialization/fast_load.py",
        "model/serialization/payload.py",
    },
    "_id": {"model/ids.py", "model/serialization/fast_load.py"},
    "_leased": {"stores/sql/local_events.py"},
    "_metadata": {"model/element.py", "model/serialization/payload.py"},
    "_meter": {
        "rules/limits/meter.py",
        "stores/memory/limiter.py",
        "stores/sql/limits.py",
        "stores/sql/store.py",
    },
    "_picked": {"engine/observers.py"},
    "_since": {"engine/observers.py"},
    "_solo": {"engine/standalone.py"},
    "_told": {"rules/limits/limit_set.py"},
}
"""The modules that write each other private entry."""


def written_entries(path: str) -> set[str]:
    """The constant keys that a module assigns, deletes, pops or sets by default in a mapping."""
    keys: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
            keys |= texts_of([node.slice])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in ("pop", "setdefault"):
                keys |= texts_of(node.args[:1])
            elif node.func.attr == "update":
                keys |= {each.arg for each in node.keywords if each.arg is not None}
    return keys


def texts_of(nodes: list[ast.expr]) -> set[str]:
    constants = [node.value for node in nodes if isinstance(node, ast.Constant)]
    return {value for value in constants if isinstance(value, str)}


def test_only_the_listed_modules_write_the_private_entries_of_an_event() -> None:
    writers: dict[str, set[str]] = {}
    for path in sources("src"):
        for key in written_entries(path) & EventData.kept_entries:
            writers.setdefault(key, set()).add(path.removeprefix("src/lionpride/"))
    for key, modules in writers.items():
        assert modules <= (STATE.keys() if key in KEYS else OTHERS[key]), key
    assert {*STATE} == set().union(*(modules for key, modules in writers.items() if key in KEYS))
    assert {key: modules for key, modules in writers.items() if key not in KEYS} == OTHERS


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
