"""Builds `examples/processor_executor.ipynb` from the user's text and runs it (`make notebook`).

The cells are the spec's own, unchanged. Ids are counted and nothing of this machine is kept, so
that two builds differ only where the outputs do.
"""

import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from spec_cells import Cell, read_cells

TARGET = Path(__file__).parents[1] / "examples" / "processor_executor.ipynb"
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def build(cells: list[Cell]) -> Any:
    """Make the notebook, not yet run."""
    v4 = nbformat.v4
    made = []
    for position, cell in enumerate(cells):
        new = v4.new_code_cell if cell.is_code else v4.new_markdown_cell
        made.append(new(cell.source, id=f"cell-{position:02}"))
    return v4.new_notebook(cells=made, metadata={"kernelspec": KERNEL})


def run(notebook: Any) -> None:
    """Run every cell, in a kernel that stands in the notebook's folder; the first error raises."""
    context = {"metadata": {"path": str(TARGET.parent)}}
    quiet = ["--log-level=ERROR"]  # it would warn that it speaks over a local socket
    NotebookClient(
        notebook,
        timeout=60,
        kernel_name=KERNEL["name"],
        extra_arguments=quiet,
        resources=context,
    ).execute()


def tidy(notebook: Any) -> None:
    """Forget when it ran, and join what a cell printed in several pieces."""
    notebook.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = _joined(cell.outputs)


def _joined(outputs: list[Any]) -> list[Any]:
    joined: list[Any] = []
    for output in outputs:
        last = joined[-1] if joined else None
        if last and output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
        else:
            joined.append(output)
    return joined


def main() -> int:
    notebook = build(read_cells())
    run(notebook)
    tidy(notebook)
    nbformat.validate(notebook)
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, TARGET)
    print(f"{TARGET.name}: {len(notebook.cells)} cells")
    return 0


if __name__ == "__main__":
    sys.exit(main())
