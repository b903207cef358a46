"""Who may look, who may act, and that it is really they who ask."""

from __future__ import annotations

import hashlib
import hmac
import inspect
import ipaddress
import secrets
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

__all__ = ["HEADERS", "LOOK", "Access", "Authorize"]

Authorize: TypeAlias = Callable[[Request, str], bool | Awaitable[bool]]
"""Is asked with a request, and what it wants: "look", or the name of an action."""

LOOK: Final = "look"

COOKIE: Final = "lionpride-session"

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""What every answer says: nothing but our own files is loaded, run or framed."""

_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


class Access:
    """Decides.

    Without a hook, whoever sits at this machine may look, and nobody may act: a request has to
    come from the loopback address, ask for it by that name (or a page elsewhere could have its
    own name point here), and not come through a proxy.

    Args:
        authorize: The hook; None: as above.
    """

    def __init__(self, authorize: Authorize | None) -> None:
        self._authorize = authorize
        self._secret = secrets.token_bytes(32)

    async def may(self, request: Request, what: str) -> bool:
        """Whether a request may do this."""
        if self._authorize is None:
            return what == LOOK and is_local(request)
        answer = self._authorize(request, what)
        if inspect.isawaitable(answer):
            answer = await answer
        return answer is True

    def refusal(self) -> Response:
        """What is said to somebody who may not look."""
        remedy = (
            "This page answers only to this machine, as http://127.0.0.1 or http://localhost. "
            "To let others see it, give app(..., authorize=...)."
        )
        text = remedy if self._authorize is None else "You may not do this."
        return PlainTextResponse(text + "\n", 403, HEADERS)

    # -- that a form was sent by our own page ------------------------------------------------

    def session(self, request: Request) -> str:
        """What tells this browser from others; a new one if it has none."""
        return request.cookies.get(COOKIE) or secrets.token_urlsafe(24)

    def keep_session(self, request: Request, response: Response, session: str) -> None:
        """Have the browser keep it; no other site's request brings it along."""
        if request.cookies.get(COOKIE) != session:
            path = request.scope.get("root_path") or "/"
            secure = request.url.scheme == "https"
            response.set_cookie(
                COOKIE, session, path=path, httponly=True, samesite="strict", secure=secure
            )

    def token(self, session: str) -> str:
        """What a form has to say that it is ours."""
        return hmac.new(self._secret, session.encode(), hashlib.sha256).hexdigest()

    def is_ours(self, request: Request, token: str) -> bool:
        """Whether a form was sent from our own page."""
        site = request.headers.get("sec-fetch-site", "same-origin")
        origin = request.headers.get("origin")
        host = request.headers.get("host", "")
        session = request.cookies.get(COOKIE, "")
        return (
            site in ("same-origin", "none")
            and (origin is None or urlsplit(origin).netloc == host)
            and session != ""
            and hmac.compare_digest(token.encode(), self.token(session).encode())
        )


def is_local(request: Request) -> bool:
    """Whether a request comes from this machine, by its own name, and through no proxy."""
    client = request.client.host if request.client is not None else ""
    host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    through = any(name in request.headers for name in _FORWARDED)
    return _is_loopback(client) and (host == "localhost" or _is_loopback(host)) and not through


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
