"""Import path of the original package: ``lionpride.core.flow``."""

from ..model.flow import Flow

__all__ = ("Flow",)
