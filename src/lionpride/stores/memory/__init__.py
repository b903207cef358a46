"""Store in memory: its events last as long as the process."""

from .store import MemoryStore

__all__ = ("MemoryStore",)
