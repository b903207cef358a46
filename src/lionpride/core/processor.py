"""Import path of the original package: ``lionpride.core.processor``."""

from ..engine.executor import Executor
from ..engine.processor import Processor

__all__ = ("Executor", "Processor")
