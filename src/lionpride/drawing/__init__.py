"""Numbers as text, and pictures as SVG: pure functions over plain data."""
