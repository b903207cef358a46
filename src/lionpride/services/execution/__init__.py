"""Executors and processors that keep the limits of a service."""

from __future__ import annotations

from .rate_limited import RateLimitedExecutor, RateLimitedProcessor

__all__ = ("RateLimitedExecutor", "RateLimitedProcessor")
