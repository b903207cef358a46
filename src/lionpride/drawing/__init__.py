"""Pictures as text, and numbers as people write them: pure functions over plain data."""
