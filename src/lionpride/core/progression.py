"""Import path of the original package: ``lionpride.core.progression``."""

from ..model.progression import Progression

__all__ = ("Progression",)
