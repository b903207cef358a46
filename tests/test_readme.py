"""What the documents show is true: their Python runs, their commands, links and tests exist."""

import re
from pathlib import Path

import pytest
from documents import ROOT, Block, blocks, documents, run

PYTHON = blocks("python")
COMMANDS = blocks("console", "sh", "bash", "shell")
NOT_RUN = [block for block in PYTHON if block.not_run]
DOCUMENTS = [path.relative_to(ROOT).as_posix() for path in documents()]

MOST_NOT_RUN = 3
"""An example that is not run can lie; more of them than this need a better reason."""

_MAKE = re.compile(r"^(?:\$ )?make ((?:[a-z]+ ?)+)", re.MULTILINE)
_LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")
_ANCHOR = re.compile(r"\]\((?!\w+:)([^)#\s]*)#([^)\s]+)")
_TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
_LINKED_TEST = re.compile(r"\[([\w ]+)\]\((tests/[\w/]+\.py)\)")


def test_the_readme_shows_python() -> None:
    assert any(block.document == "README.md" for block in PYTHON)


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.name)
def test_python_runs(block: Block, tmp_path: Path) -> None:
    if block.not_run:
        pytest.skip(block.not_run)
    done = run(block, tmp_path)
    assert done.returncode == 0, f"{block.name}\n{done.stdout}\n{done.stderr}"
    assert not done.stderr, f"{block.name}\n{done.stderr}"


def test_few_python_blocks_are_not_run() -> None:
    assert len(NOT_RUN) <= MOST_NOT_RUN, [block.name for block in NOT_RUN]


@pytest.mark.parametrize("block", COMMANDS, ids=lambda block: block.name)
def test_make_targets_exist(block: Block) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    named = {target for line in _MAKE.findall(block.text) for target in line.split()}
    assert named <= targets


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    path = ROOT / document
    links = _LINK.findall(path.read_text(encoding="utf-8"))
    assert not [link for link in links if not (path.parent / link).exists()]


def anchors(path: Path) -> set[str]:
    """The names that headings get: lower case, hyphens for blanks, no other marks."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in plain}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_into_a_document_find_their_heading(document: str) -> None:
    path = ROOT / document
    found = _ANCHOR.findall(path.read_text(encoding="utf-8"))
    assert not [
        f"{file}#{anchor}"
        for file, anchor in found
        if anchor not in anchors(path.parent / file if file else path)
    ]


def test_the_readme_leads_to_each_page() -> None:
    links = set(_LINK.findall((ROOT / "README.md").read_text(encoding="utf-8")))
    pages = {path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md")}
    assert not pages - {link.partition("#")[0] for link in links}


def test_each_row_of_the_table_on_the_notebook_links_tests_by_their_names() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    heading = r"^\| what the notebook promises .*\n\|[-|]+\n"
    table = re.search(heading + r"((?:\|.*\n)+)", text, re.MULTILINE)
    assert table
    rows = [_LINKED_TEST.findall(row) for row in table[1].splitlines()]
    assert len(rows) >= 15
    assert all(rows)
    missing = []
    for name, file in (test for row in rows for test in row):
        source = (ROOT / file).read_text(encoding="utf-8")
        if f"def test_{name.replace(' ', '_')}(" not in source:
            missing.append(f"{file}: {name}")
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_tests_exist(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    missing = []
    for file, name in _TEST.findall(text):
        path = ROOT / file
        source = path.read_text(encoding="utf-8") if path.exists() else ""
        if not source or (name and not re.search(rf"(?:def|class) {name}\b", source)):
            missing.append(f"{file}::{name}" if name else file)
    assert not missing
