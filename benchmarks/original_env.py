"""The original's own interpreter: both packages have one import name."""

from __future__ import annotations

from benchmarks.environment import Environment

PINNED = "lionpride==1.0.0a12"

ORIGINAL = Environment("original", "original.py", PINNED, "import lionpride.core")
ask = ORIGINAL.ask
