"""Writes the promises of `docs/promises.toml` into the documents, with the kinds of their tests.

    python tools/promises.py             write the tables of the documents
    python tools/promises.py ID …        list the tests that carry these promises

A test carries a promise by `@pytest.mark.promise("the-id")`. Tests are found in the source, without
being imported.
"""

import ast
import os
import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIST = ROOT / "docs" / "promises.toml"

KINDS = {
    "tests/crash": "crash campaigns",
    "tests/simulation": "simulation",
    "tests/stores/sqlite": "SQLite",
    "tests/stores/postgres": "PostgreSQL",
    "tests/stores": "conformance suite",
    "tests/engine": "engine",
    "tests/cli": "command line",
    "tests/spec": "the notebook's cells",
    "tests/testing": "testing tools",
    "tests/llm": "LLM calls",
}
"""Folders of tests, and what the documents call their kind. The first that fits counts."""

HEADS = {"notebook": ("the notebook", "this library", "tests")}
"""Headings of the tables that have others than `promise` and `tests`."""

_TABLE = re.compile(
    r"(?P<begin><!-- promises: (?P<name>[\w-]+) -->\n).*?(?P<end><!-- end of promises -->)",
    re.DOTALL,
)


@dataclass(frozen=True)
class Carried:
    """One promise that a test carries."""

    promise: str
    file: str
    test: str


def promises() -> dict[str, dict[str, str]]:
    """Return the text of each promise by its id, in the order of the list, by table."""
    tables: dict[str, dict[str, str]] = tomllib.loads(LIST.read_text(encoding="utf-8"))
    return {
        table: {name: text.strip() for name, text in rows.items()} for table, rows in tables.items()
    }


def carried() -> list[Carried]:
    """Return the promises that tests carry."""
    found = list[Carried]()
    for path in sorted((ROOT / "tests").rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if "mark.promise(" in source:
            found += carried_in(source, path.relative_to(ROOT).as_posix())
    return found


def carried_in(source: str, name: str) -> Iterator[Carried]:
    """Find the promises that the tests of one file carry.

    Raises:
        ValueError: if a marker stands elsewhere than at a test, or its arguments are no literals.
    """
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        for decorator in node.decorator_list:
            if not ast.unparse(decorator).startswith("pytest.mark.promise("):
                continue
            assert isinstance(decorator, ast.Call)
            arguments = [one.value for one in decorator.args if isinstance(one, ast.Constant)]
            is_plain = 0 < len(arguments) == len(decorator.args)
            is_test = not isinstance(node, ast.ClassDef) and node.name.startswith("test_")
            if not is_plain or not is_test:
                raise ValueError(
                    f"{name}:{node.lineno}: a promise is one or more literal ids at a test function"
                )
            for one in arguments:
                yield Carried(str(one), name, node.name)


def kind_of(file: str) -> tuple[str, str]:
    """Return the folder of a test file, and what the documents call it."""
    for folder, kind in KINDS.items():
        if file.startswith(f"{folder}/"):
            return folder, kind
    folder = file.rpartition("/")[0]
    return folder, folder.rpartition("/")[2]


def table(name: str, document: Path, tests: Mapping[str, set[str]]) -> str:
    """Write the table of a name, with links from a document to the folders of the tests.

    The id of a promise is an anchor of its row.
    """
    heads = HEADS.get(name, ("promise", "tests"))
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for promise, text in promises()[name].items():
        found = {kind_of(file) for file in tests.get(promise, ())}
        links = [
            f"[{kind}]({os.path.relpath(ROOT / folder, document.parent)})"
            for folder, kind in sorted(found, key=lambda pair: pair[1].lower())
        ]
        lines.append(f'| <a id="{promise}"></a>{text} | {", ".join(links)} |')
    return "\n".join(lines) + "\n"


def written(document: Path, tests: Mapping[str, set[str]]) -> str:
    """Return the text of a document with its tables as they should be."""

    def fill(found: re.Match[str]) -> str:
        return found["begin"] + table(found["name"], document, tests) + found["end"]

    return _TABLE.sub(fill, document.read_text(encoding="utf-8"))


def files_by_promise() -> dict[str, set[str]]:
    """Return the files of the tests that carry each promise."""
    found = defaultdict[str, set[str]](set)
    for each in carried():
        found[each.promise].add(each.file)
    return found


def documents() -> list[Path]:
    """Return the documents that have a table of promises."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return sorted(path for path in found if _TABLE.search(path.read_text(encoding="utf-8")))


def main(names: list[str]) -> None:
    """Write the tables, or list the tests of some promises."""
    known = {name for rows in promises().values() for name in rows}
    if unknown := set(names) - known:
        sys.exit(f"{', '.join(sorted(unknown))} is not in docs/promises.toml")
    if names:
        print(*(f"{each.file}::{each.test}" for each in carried() if each.promise in names))
        return
    tests = files_by_promise()
    for document in documents():
        document.write_text(written(document, tests), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
