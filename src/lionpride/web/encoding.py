"""Texts and JSON as bytes of an answer, whatever text an event has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

__all__ = ["encoded", "json_response"]


def encoded(text: str) -> bytes:
    r"""Return a text as UTF-8.

    A lone surrogate, as in the name of a file that is no UTF-8, has no form there. It becomes its
    escape, such as ``\ud800``, which JSON reads back.
    """
    return text.encode("utf-8", "backslashreplace")


def json_response(
    content: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an answer with JSON."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(encoded(text), status, headers, "application/json")
