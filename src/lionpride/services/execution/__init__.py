"""Import path of the original package: ``lionpride.services.execution``."""

from ...compat.rate_limited import RateLimitedExecutor, RateLimitedProcessor

__all__ = ("RateLimitedExecutor", "RateLimitedProcessor")
