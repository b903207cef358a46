"""Import path of the original package: ``lionpride.core.flow``."""

from ..model.collections.flow import Flow

__all__ = ("Flow",)
