"""Hooks of MkDocs for `make docs`: options of commands, pages and links outside `docs`.

A document links to files of the repository, such as ARCHITECTURE.md or a folder of tests. Those
links work in the repository. For the site, the documents at the root and the examples become pages,
and a link to any other file becomes its text.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

from cli_options import with_options
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
DOCUMENTS = ("ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")

PAGES = {ROOT / name: f"project/{name.lower()}" for name in DOCUMENTS}
PAGES |= {
    path: f"project/examples/{path.stem}.md" for path in sorted((ROOT / "examples").glob("*.py"))
}
PAGES[ROOT / "README.md"] = "index.md"
"""Files outside `docs` that a link may lead to, and their pages in the site."""

_SOURCES = {page: path for path, page in PAGES.items()} | {"index.md": DOCS / "index.md"}
_LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?!\w+:|#)(?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the documents at the root and of the examples."""
    for path, page in PAGES.items():
        if page == "index.md":
            continue
        if path.suffix == ".md":
            files.append(File.generated(config, page, abs_src_path=str(path)))
            continue
        text = f"# {path.name}\n\n```python\n{path.read_text(encoding='utf-8')}```\n"
        level = InclusionLevel.NOT_IN_NAV
        files.append(File.generated(config, page, content=text, inclusion=level))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Write the options of commands, and rewrite links that lead out of `docs`, or into it."""
    name = page.file.src_uri
    folder = _SOURCES.get(name, DOCS / name).parent

    def rewrite(found: re.Match[str]) -> str:
        target = Path(os.path.normpath(folder / found["target"]))
        if not target.exists():
            return found[0]
        where = in_site(target)
        if where is None:
            return found["text"]
        relative = os.path.relpath(where, PurePosixPath(name).parent)
        anchor = "" if where == "index.md" else found["anchor"] or ""
        return f"[{found['text']}]({relative}{anchor})"

    return _LINK.sub(rewrite, with_options(markdown))


def in_site(path: Path) -> str | None:
    """Return the page or the file of the site for a path of the repository; None if it has none."""
    if path in PAGES:
        return PAGES[path]
    if not path.is_relative_to(DOCS):
        return None
    inside = path.relative_to(DOCS)
    return str(inside / "README.md") if path.is_dir() else str(inside)
