"""What services are built with."""

from __future__ import annotations

from .rate_limiter import RateLimitConfig, TokenBucket

__all__ = ("RateLimitConfig", "TokenBucket")
