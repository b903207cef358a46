"""Query parameters: filters, a position in the list, a time range. Invalid ones are ignored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite
from time import time
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from ..core import EventStatus
from ..drawing.text import plural
from ..stores.inspector import EventFilter
from ..view.actions import PAUSE_SCHEDULE, RESUME_SCHEDULE, RUN_SCHEDULE

__all__ = [
    "BLOCKED",
    "CREATED_WITHIN",
    "ListFilter",
    "appended_event",
    "arrival",
    "link",
    "notice",
    "number",
    "uuid",
]

_NOTICE: Final = re.compile(r"(retry|cancel)-([0-9]{1,12})")
_SCHEDULE_NOTICES: Final = {
    PAUSE_SCHEDULE: "The schedule is paused",
    RESUME_SCHEDULE: "The schedule is resumed",
}

BLOCKED: Final = "blocked"
"""The word for pending events that wait for their parents, in place of a status."""

CREATED_WITHIN: Final = {"15m": 900, "1h": 3600, "24h": 86400, "7d": 604800}
"""Time ranges for the creation of events: words of the URL, and seconds."""


@dataclass(frozen=True, slots=True)
class ListFilter:
    """Filters of the list, as its URL has them.

    Attributes:
        blocked: True for pending events that wait for their parents; ``status=blocked`` in a URL.
        before, after: The position in the list, as arrival numbers.
    """

    queue: str | None = None
    status: EventStatus | None = None
    kind: str | None = None
    since: str = ""
    text: str = ""
    blocked: bool = False
    before: int | None = None
    after: int | None = None

    @classmethod
    def of(cls, query: Mapping[str, Any]) -> ListFilter:
        """Return the filters of a query."""
        status = str(query.get("status") or "")
        since = str(query.get("since") or "")
        return cls(
            queue=str(query.get("queue") or "") or None,
            status=_status(status),
            kind=str(query.get("kind") or "").strip() or None,
            since=since if since in CREATED_WITHIN else "",
            text=str(query.get("q") or "").strip()[:200],
            blocked=status == BLOCKED,
            before=arrival(query.get("before")),
            after=arrival(query.get("after")),
        )

    @property
    def event_filter(self) -> EventFilter:
        """The filters for a store."""
        since = time() - CREATED_WITHIN[self.since] if self.since else None
        return EventFilter(self.status, self.kind, since, self.text, blocked=self.blocked)

    @property
    def has_filters(self) -> bool:
        """True if a filter is set."""
        return bool(self.queue or self.status or self.kind or self.since or self.text)

    @property
    def status_text(self) -> str:
        """The status as the URL has it; empty without one."""
        return BLOCKED if self.blocked else self.status.value if self.status else ""

    def query(self, **changes: Any) -> dict[str, str]:
        """Return the filters as a query, with the position in the list only if it is changed."""
        new = replace(self, **{"before": None, "after": None, **changes})
        found = {
            "queue": new.queue,
            "status": new.status_text,
            "kind": new.kind,
            "since": new.since,
            "q": new.text,
            "before": new.before,
            "after": new.after,
        }
        return {name: str(value) for name, value in found.items() if value}

    def words(self) -> str:
        """Return the filters in words."""
        parts = [
            self.status_text,
            f"of {self.kind}" if self.kind else "",
            f"in queue {self.queue}" if self.queue else "",
            f"created in the last {self.since}" if self.since else "",
            f"matching “{self.text}”" if self.text else "",
        ]
        return ", ".join(filter(None, parts))


def _status(text: str) -> EventStatus | None:
    if text == BLOCKED:
        return EventStatus.PENDING
    return EventStatus(text) if text in EventStatus.allowed() else None


def notice(text: str) -> str:
    """Return the notice for ``done`` of a URL, such as ``retry-3``; empty for other texts.

    So a URL from outside cannot put its own words on the page.
    """
    if text in _SCHEDULE_NOTICES:
        return _SCHEDULE_NOTICES[text]
    found = _NOTICE.fullmatch(text)
    if found is None:
        return ""
    action, number = found[1], int(found[2])
    if action == "retry":
        return f"{plural(number, 'event')} {'is' if number == 1 else 'are'} pending again"
    return f"{plural(number, 'event')} cancelled, or their workers were asked"


def appended_event(text: str) -> UUID | None:
    """Return the event for ``done`` of a URL, such as ``run_schedule-UUID``; None for others."""
    action, _, uid = text.partition("-")
    return uuid(uid) if action == RUN_SCHEDULE else None


def link(root: str, path: str, query: Mapping[str, str] | None = None) -> str:
    """Return a URL of this page, wherever it is mounted."""
    return f"{root}/{path}" + (f"?{urlencode(query)}" if query else "")


def uuid(value: Any) -> UUID | None:
    """Return an id of a URL."""
    try:
        return UUID(str(value or ""))
    except ValueError:
        return None


def number(value: Any) -> float | None:
    """Return a finite number of a URL."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if isfinite(found) else None


def arrival(value: Any) -> int | None:
    """Return an arrival number of a URL."""
    text = str(value or "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None
