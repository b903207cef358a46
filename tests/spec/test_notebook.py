"""The notebook holds the spec's cells, unchanged, and the right answers as its outputs."""

from pathlib import Path
from typing import Any

import pytest
from answers import answer, plain
from documents import blocks

from tools.spec_cells import Cell, read_cells

nbformat = pytest.importorskip("nbformat", reason="needs the dependency group `notebook`")
NotebookClient = pytest.importorskip("nbclient").NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "examples" / "processor_executor.ipynb"
CELLS = read_cells()


@pytest.fixture(scope="module")
def notebook() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_is_a_valid_notebook(notebook: Any) -> None:
    nbformat.validate(notebook)


def test_its_sources_are_the_cells_of_the_spec(notebook: Any) -> None:
    assert [(cell.cell_type == "code", cell.source) for cell in notebook.cells] == [
        (cell.is_code, cell.source) for cell in CELLS
    ]


@pytest.mark.parametrize("position", range(len(CELLS)), ids=lambda p: f"cell-{p:02}")
def test_its_outputs_are_the_right_answers(notebook: Any, position: int) -> None:
    cell: Cell = CELLS[position]
    outputs = notebook.cells[position].get("outputs", [])
    assert {(output.output_type, output.get("name")) for output in outputs} <= {
        ("stream", "stdout")
    }
    if cell.is_code:
        assert plain("".join(output.text for output in outputs)) == answer(cell)


def test_it_says_nothing_of_the_machine_that_ran_it(notebook: Any) -> None:
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert set(notebook.metadata.language_info) == {"name"}
    assert all(cell.metadata == {} for cell in notebook.cells)
    assert [cell.id for cell in notebook.cells] == [f"cell-{i:02}" for i in range(len(CELLS))]


@pytest.mark.parametrize("library", ["rich", "tqdm"])
def test_a_progress_bar_of_the_document_is_drawn_in_a_cell(library: str) -> None:
    (block,) = [
        each
        for each in blocks("python")
        if each.document == "docs/howto/notebook.md" and f"from {library}." in each.text
    ]
    cell = nbformat.v4.new_code_cell(block.text)
    notebook = nbformat.v4.new_notebook(cells=[cell])
    quiet = ["--log-level=ERROR"]  # as in tools/build_notebook.py
    NotebookClient(notebook, timeout=60, kernel_name="python3", extra_arguments=quiet).execute()
    (cell,) = notebook.cells
    assert any(
        "application/vnd.jupyter.widget-view+json" in each.get("data", {}) for each in cell.outputs
    )
