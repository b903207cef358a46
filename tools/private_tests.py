"""Lists the tests that use what no user can import: `python tools/private_tests.py`.

docs/decisions/tests-of-private-functions.md says of each file what it guards, and which test of
behaviour would replace it. This list says which files belong there.
"""

import ast
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import lionpride
import lionpride.core

ROOT = Path(__file__).parents[1]

PUBLIC = {
    *("lionpride", "lionpride.core", "lionpride.errors", "lionpride.testing", "lionpride.web"),
    *("lionpride.otel", "lionpride.compat", "lionpride.services", "lionpride.cli"),
    *("lionpride.services.execution", "lionpride.services.utilities"),
}
"""Modules of public names."""

CONTRACT = {
    *(f"lionpride.stores.{name}" for name in ("contract", "record", "terms", "open", "memory")),
    *(f"lionpride.stores.{name}" for name in ("sqlite", "postgres", "seen", "roster", "halting")),
    *("lionpride.stores.maintenance", "lionpride.rules.state_machine"),
}
"""Modules of the store contract, and of what its verbs take and return."""

NAMES = {*lionpride.__all__, *lionpride.core.__all__, "Limits", "TERMINAL", "EventData", "key_of"}
"""Names that are public or of the contract, whichever module they come from."""

HOOKS = {"_invoke", "_stream", "_replace", "_make", "_asdict", "_exit", "_repr_html_", "_repr_svg_"}
"""Underscore names that users write, or that the standard library documents."""


class Uses(NamedTuple):
    """Private modules and names that one test file uses."""

    file: str
    tests: int
    imports: dict[str, list[str]]
    attributes: list[str]


def is_private(module: str, name: str) -> bool:
    """Return True if a name that is imported is neither public nor of the store contract."""
    known = PUBLIC | CONTRACT
    if f"{module}.{name}" in known or name in NAMES:
        return False
    is_module = name.islower() and (ROOT / "src" / Path(*module.split(".")) / f"{name}.py").exists()
    return is_module or module not in known


def uses_of(path: Path) -> Uses:
    """Read a test file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imports, attributes, tests = defaultdict[str, set[str]](set), set[str](), 0
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.ImportFrom)
            and (node.module or "").partition(".")[0] == "lionpride"
        ):
            module = str(node.module)
            for alias in node.names:
                if is_private(module, alias.name):
                    imports[module.partition(".")[2]].add(alias.name)
        elif isinstance(node, ast.Attribute) and node.attr.startswith("_"):
            is_own = isinstance(node.value, ast.Name) and node.value.id in {"self", "cls"}
            if not (is_own or node.attr in HOOKS or node.attr.startswith("__")):
                attributes.add(node.attr)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            tests += node.name.startswith("test_")
    found = {module: sorted(names) for module, names in imports.items()}
    return Uses(path.relative_to(ROOT).as_posix(), tests, found, sorted(attributes))


def main() -> None:
    """Print a line for each test file that uses something private."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        uses = uses_of(path)
        if uses.imports or uses.attributes:
            names = [f"{module}: {', '.join(found)}" for module, found in uses.imports.items()]
            print(f"{uses.file} ({uses.tests}): {'; '.join([*names, *uses.attributes])}")


if __name__ == "__main__":
    main()
