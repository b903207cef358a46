"""What each cell of the spec must print: its printed output, set right where it shows a defect.

Each correction replaces text that stands in the cell's output exactly once. UUIDs differ from run
to run and are compared as `<uuid>`.
"""

import re

from tools.spec_cells import Cell

FIRST_LINES = {
    1: "",
    2: "Executor: Executor(total=0, pending=0, processing=0, completed=0, failed=0, cancelled=0, "
    "skipped=0, aborted=0)",
    3: "Executor after append: Executor(total=3, pending=3, processing=0, completed=0, failed=0, "
    "cancelled=0, skipped=0, aborted=0)",
    4: "Status queries:",
    5: "Permission granted: 1/2",
    6: "Max concurrent executions: 2 (limit was 2)",
    7: "Streaming event status: pending",
    8: "Before forward():",
    9: "Original executor:",
}
"""The first line that each cell printed: shows that the reader split code and output rightly."""

_MEDIUM_THEN_LOW = "  - medium_priority: result=3\n  - low_priority: result=1\n"

CORRECTIONS = {
    # The priorities 10, 1 and 5 were given before start() and were lost there.
    4: [
        ("  - low_priority: result=1\n  - high_priority", "  - high_priority"),
        ("  - medium_priority: result=3\n", _MEDIUM_THEN_LOW),
    ],
    # The stream was not consumed: its event stayed pending, and the last line is a warning.
    7: [
        ("Streaming event status: pending", "Streaming event status: completed"),
        ("Completed: 0", "Completed: 1"),
        ("\n\n\n  async for _ in event.stream():", ""),
    ],
    # len() counted the keys of a dict, not the items and the progressions.
    9: [("  Items: 6\n  Progressions: 6\n", "  Items: 5\n  Progressions: 7\n")],
}

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def plain(text: str) -> str:
    """Make two runs comparable: no ids, no trailing empty lines."""
    return _UUID.sub("<uuid>", text).strip("\n")


def answer(cell: Cell) -> str:
    """Return what the cell must print."""
    text = cell.output
    for wrong, right in CORRECTIONS.get(cell.number, []):
        assert text.count(wrong) == 1, f"In [{cell.number}] prints {wrong!r} not exactly once"
        text = text.replace(wrong, right)
    return plain(text)
