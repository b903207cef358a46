"""Import path of the original package: ``lionpride.services.utilities``."""

from ...compat.token_bucket import RateLimitConfig, TokenBucket

__all__ = ("RateLimitConfig", "TokenBucket")
