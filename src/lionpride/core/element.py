"""Import path of the original package: ``lionpride.core.element``."""

from ..model.element import Element

__all__ = ("Element",)
