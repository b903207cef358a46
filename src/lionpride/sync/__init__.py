"""The executor for code without an event loop: every call without ``await``.

>>> from lionpride.sync import Executor
"""

from .executor import Batch, Executor, Schedules
from .iteration import Iteration

__all__ = ("Batch", "Executor", "Iteration", "Schedules")
