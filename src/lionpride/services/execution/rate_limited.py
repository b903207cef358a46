"""Import path of the original package: ``lionpride.services.execution.rate_limited``."""

from ...compat.rate_limited import RateLimitedExecutor, RateLimitedProcessor

__all__ = ("RateLimitedExecutor", "RateLimitedProcessor")
