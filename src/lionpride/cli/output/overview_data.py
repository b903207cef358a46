"""The overview of a store and its workers as JSON objects, for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from ...rules.action import PauseRecord
from ...rules.queue_position import About
from ...stores.inspector import LimitUsage, RunningEvent, WorkerRecord
from ...view.overview import Overview
from ...view.redact import hide_secrets
from ..transfer.records import listed

__all__ = ["overview_data", "worker_data"]


_LIMIT: Final = ("name", "amount", "per", "per_key", "pool")
"""The names of the values of ``About.limits``."""


def overview_data(overview: Overview, pause: PauseRecord | None) -> dict[str, Any]:
    """Return an overview as an object.

    Args:
        overview: The overview.
        pause: The pause of its queues; None if none is paused.
    """
    return {
        "at": overview.at,
        "counts": {status.value: n for status, n in overview.counts.items()},
        "paused": None if pause is None else pause._asdict(),
        "rate": overview.rate,
        "waited": _percentiles(overview.waited),
        "ran": _percentiles(overview.ran),
        "running": [_running(each) for each in overview.runs],
        "failures": [listed(hide_secrets(each)) for each in overview.failures],
        "workers": [worker_data(each) for each in overview.workers],
        "limits": [_usage(each) for each in overview.usage],
    }


def worker_data(worker: WorkerRecord) -> dict[str, Any]:
    """Return a worker as an object."""
    plain = asdict(worker)
    plain["held"] = [each | {"id": str(each["id"])} for each in plain["held"]]
    return plain | {"about": None if worker.about is None else _about(worker.about)}


def _about(about: About) -> dict[str, Any]:
    limits = [dict(zip(_LIMIT, each, strict=True)) for each in about.limits]
    unreadable = [each._asdict() for each in about.unreadable]
    return about._asdict() | {"limits": limits, "unreadable": unreadable}


def _percentiles(values: tuple[float, ...] | None) -> dict[str, float] | None:
    return None if values is None else dict(zip(("median", "p95"), values, strict=True))


def _running(one: RunningEvent) -> dict[str, Any]:
    return listed(hide_secrets(one.record)) | {"worker": one.worker, "since": one.since}


def _usage(usage: LimitUsage) -> dict[str, Any]:
    return usage._asdict()
