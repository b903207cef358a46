"""The documents are true: their Python runs; commands, links and test files exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from documents import ROOT, Block, blocks, documents, run

PYTHON = blocks("python")
COMMANDS = blocks("console", "sh", "bash", "shell")
NOT_RUN = [block for block in PYTHON if block.not_run]
DOCUMENTS = [path.relative_to(ROOT).as_posix() for path in documents()]

MOST_NOT_RUN = 5
"""An example that is not run can lie. Three need packages that the tests do not install: FastAPI,
arq and Celery."""

_MAKE = re.compile(r"^(?:\$ )?make ((?:[a-z]+ ?)+)", re.MULTILINE)
_LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)")
_ANCHOR = re.compile(r"\]\((?!\w+:)([^)#\s]*)#([^)\s]+)")
_ID = re.compile(r'<a id="([^"]+)">')
_PAGE = re.compile(r"[\w/-]+\.md")
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


@pytest.mark.parametrize(
    "block", [b for b in PYTHON if b.document == "README.md"], ids=lambda block: block.name
)
def test_the_programs_of_the_readme_pass_a_strict_type_checker(
    block: Block, tmp_path: Path
) -> None:
    pytest.importorskip("mypy", reason="the group lint is not installed")
    program = tmp_path / "program.py"
    program.write_text(block.text, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file=",
        "--cache-dir=.mypy_cache/readme",
        program,
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, f"{block.name}\n{done.stdout}\n{done.stderr}"


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
    """The names that headings get (lower case, hyphens for blanks, no other marks), and ids."""
    text = path.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    named = {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in plain}
    return named | set(_ID.findall(text))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_into_a_document_find_their_heading(document: str) -> None:
    path = ROOT / document
    found = _ANCHOR.findall(path.read_text(encoding="utf-8"))
    assert not [
        f"{file}#{anchor}"
        for file, anchor in found
        if anchor not in anchors(path.parent / file if file else path)
    ]


def linked_from(path: Path) -> set[Path]:
    """The Markdown pages that a page, or the navigation of the site, links to."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".yml":
        found = {ROOT / "docs" / page for page in _PAGE.findall(text)}
    else:
        found = {path.parent / link.partition("#")[0] for link in _LINK.findall(text)}
    return {each.resolve() for each in found if each.suffix == ".md" and each.exists()}


def test_each_page_is_reached_from_the_readme_or_the_navigation() -> None:
    starts = [ROOT / "README.md", ROOT / "docs" / "index.md", ROOT / "mkdocs.yml"]
    todo = [path for path in starts if path.exists()]
    reached = set(todo)
    while todo:
        new = linked_from(todo.pop()) - reached
        reached |= new
        todo += new
    assert not set(documents()) - reached - {ROOT / "SECURITY.md"}


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("document", DOCUMENTS)
def test_named_test_files_exist_and_no_test_is_named(document: str) -> None:
    """A test can be renamed freely: `@pytest.mark.promise` links it to what a document says."""
    text = (ROOT / document).read_text(encoding="utf-8")
    assert not [file for file in _TEST_FILE.findall(text) if not (ROOT / file).exists()]
    assert not _TEST_FUNCTION.findall(text)
