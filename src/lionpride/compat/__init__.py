"""Classes of the original package beside its core, with its names and arguments.

``lionpride.services`` has them under the original's import paths. The stand-alone processor over a
pile is ``lionpride.Processor(pile=...)``. Two settings of the original are accepted, and have no
effect: ``max_denial_tracking`` and ``replenishment_interval``.
"""

from __future__ import annotations

from .rate_limited import RateLimitedExecutor, RateLimitedProcessor
from .token_bucket import RateLimitConfig, TokenBucket

__all__ = ("RateLimitConfig", "RateLimitedExecutor", "RateLimitedProcessor", "TokenBucket")
