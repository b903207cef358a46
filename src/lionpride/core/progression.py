"""Import path of the original package: ``lionpride.core.progression``."""

from ..model.collections.progression import Progression

__all__ = ("Progression",)
