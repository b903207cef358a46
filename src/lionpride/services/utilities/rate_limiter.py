"""Import path of the original package: ``lionpride.services.utilities.rate_limiter``."""

from ...compat.token_bucket import RateLimitConfig, TokenBucket

__all__ = ("RateLimitConfig", "TokenBucket")
