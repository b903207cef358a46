"""The documents are true: their Python runs; commands, links and test files exist."""

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
_TEST_FILE = re.compile(r"\btests/[\w/]+\.py")
_TEST_FUNCTION = re.compile(r"::test_\w+")


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


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_test_files_exist_and_no_test_is_named(document: str) -> None:
    """A test can be renamed freely: `@pytest.mark.promise` links it to what a document says."""
    text = (ROOT / document).read_text(encoding="utf-8")
    assert not [file for file in _TEST_FILE.findall(text) if not (ROOT / file).exists()]
    assert not _TEST_FUNCTION.findall(text)
