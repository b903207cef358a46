"""RateLimitedProcessor and RateLimitedExecutor: compatibility with the original package.

They use ``Limit``: the costs of an event are reserved with its claim. An event waits until its
costs are available, and is never denied or aborted for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from ..engine.config import seconds
from ..engine.event import Event
from ..engine.executor import Executor
from ..engine.processor import Processor
from ..model.collections.pile import Pile
from ..rules.limits.limit import Limit
from ..stores.contract import Store
from .token_bucket import TokenBucket

__all__ = ("RateLimitedExecutor", "RateLimitedProcessor")


class RateLimitedProcessor(Processor):
    """A processor with a bucket of requests and a bucket of tokens.

    An event costs one request, and the ``required_tokens`` of its ``request`` as tokens; its
    ``costs`` name both.

    Args:
        queue_capacity: See ``Processor``.
        capacity_refresh_time: See ``Processor``.
        pile: See ``Processor``.
        executor: See ``Processor``.
        concurrency_limit: See ``Processor``.
        max_queue_size: See ``Processor``.
        max_denial_tracking: See ``Processor``.
        request_bucket: The available requests; None for no limit.
        token_bucket: The available tokens; None for no limit.
        replenishment_interval: Accepted for compatibility, without effect.
        limits: Further limits.

    Raises:
        ConfigurationError: if one bucket is given for both.
        ValidationError: if a setting is out of bounds.
    """

    event_type: ClassVar[type[Event]] = Event

    def __init__(
        self,
        queue_capacity: int | None = None,
        capacity_refresh_time: float = 1.0,
        pile: Pile[Any] | None = None,
        executor: Any = None,
        request_bucket: TokenBucket | None = None,
        token_bucket: TokenBucket | None = None,
        replenishment_interval: float = 60.0,
        concurrency_limit: int = 100,
        max_queue_size: int | None = 1000,
        max_denial_tracking: int = 10_000,
        limits: Iterable[Limit] | None = None,
    ) -> None:
        seconds(
            "replenishment_interval", replenishment_interval, 0.0, 86400.0, "too low", "too high"
        )
        super().__init__(
            queue_capacity,
            capacity_refresh_time,
            pile,
            executor,
            concurrency_limit,
            max_queue_size,
            max_denial_tracking,
            limits=self.limits_of(
                {"request_bucket": request_bucket, "token_bucket": token_bucket, "limits": limits}
            ),
        )
        self.request_bucket = request_bucket
        self.token_bucket = token_bucket
        self.replenishment_interval = replenishment_interval

    @classmethod
    def limits_of(cls, config: Mapping[str, Any]) -> list[Limit]:
        """Return the buckets as limits, and the further limits."""
        found = list(super().limits_of(config))
        for name in ("request", "token"):
            bucket: TokenBucket | None = config.get(f"{name}_bucket")
            if bucket is not None:
                found.append(bucket.limit(f"{name}s"))
        return found

    @classmethod
    def asks(cls) -> bool:
        return cls.request_permission is not RateLimitedProcessor.request_permission

    async def start_replenishing(self) -> None:
        """Start, as ``start()`` does: buckets refill without a task."""
        await self.start()

    async def request_permission(
        self, required_tokens: int | None = None, *args: Any, **request: Any
    ) -> bool:
        """Take one request and a number of tokens from the buckets, if both are available.

        The processor does not call it: the costs of claimed events are reserved. While it runs
        events, the result is True, for subclasses that call their base class first.

        Args:
            required_tokens: Number of tokens; None or 0 takes none.
            *args: Ignored.
            **request: Ignored.
        """
        if self.working:
            return True
        if self.request_bucket is not None and not await self.request_bucket.try_acquire(1):
            return False
        if self.token_bucket is None or not required_tokens:
            return True
        if await self.token_bucket.try_acquire(required_tokens):
            return True
        if self.request_bucket is not None:
            await self.request_bucket.release(1)
        return False

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain data."""
        buckets = {"request_bucket": self.request_bucket, "token_bucket": self.token_bucket}
        return {
            "queue_capacity": self.queue_capacity,
            "capacity_refresh_time": self.capacity_refresh_time,
            "replenishment_interval": self.replenishment_interval,
            "concurrency_limit": self.concurrency_limit,
            "max_queue_size": self.max_queue_size,
            "max_denial_tracking": self.max_denial_tracking,
            **{name: None if one is None else one.to_dict() for name, one in buckets.items()},
        }


class RateLimitedExecutor(Executor):
    """An executor with a ``RateLimitedProcessor``.

    Args:
        processor_config: Settings for the processor, with the buckets.
        strict_event_type: True to refuse subclasses of the event type.
        name: Name of its ``states``.
        store: The place where events are kept; see ``Executor``.
        more: Further arguments; see ``Executor``.
    """

    processor_type: ClassVar[type[Processor]] = RateLimitedProcessor

    def __init__(
        self,
        processor_config: Mapping[str, Any] | None = None,
        strict_event_type: bool = False,
        name: str | None = None,
        *,
        store: Store | str | None = None,
        **more: Any,
    ) -> None:
        super().__init__(
            processor_config,
            strict_event_type,
            name or "rate_limited_executor",
            store=store,
            **more,
        )
