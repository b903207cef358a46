"""Import path of the original package: ``lionpride.core.pile``."""

from ..model.collections.pile import Pile

__all__ = ("Pile",)
