"""Access to the page: its token, the ``authorize`` hook, and forms that only the page can send."""

from __future__ import annotations

import base64
import hashlib
import hmac
import inspect
import ipaddress
import logging
import re
import secrets
from collections.abc import Awaitable, Callable
from html import escape
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, quote, urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from ..drawing.text import one_line, shorten
from ..errors import ConfigurationError

__all__ = ["HEADERS", "LOOK", "PROBE", "Access", "Authorize", "has_valid_host"]

Authorize: TypeAlias = Callable[[Request, str], bool | Awaitable[bool]]
"""Called with a request and what it wants: "look", "probe", or the name of an action."""

LOOK: Final = "look"

PROBE: Final = "probe"

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
"""Headers of every answer: a browser loads, runs and frames nothing but the page's own files."""

LOG: Final = logging.getLogger("lionpride.web")

_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
_HOST: Final = re.compile(
    r"(?P<name>\[(?P<ip6>[0-9A-Fa-f:.]+)\]|[A-Za-z0-9._~!$&'()*+,;=%-]+)(?::(?P<port>[0-9]{0,5}))?"
)
_REDIRECT_PAGE: Final = (
    '<!doctype html><title>lionpride</title><link rel="icon" href="data:,">'
    '<meta http-equiv="refresh" content="0;url={url}"><a href="{url}">Go on</a>'
)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_MIN_SECRET: Final = 16


class Access:
    """Decides which requests are answered.

    Without a hook, a request may look if it comes from this machine and has the page's token. A
    request comes from this machine under three conditions: its peer is a loopback address; it names
    the host as a loopback address or ``localhost``, as a name of another site may point here; and
    no header shows that a proxy forwarded it. Many proxies send no such header: a request through
    them looks the same as a local one. So the token is needed too.

    Args:
        authorize: The hook; it replaces the rules above.
        secret: The key of tokens and forms, for processes that serve one page together. None: a
            random key, which lives as long as this object.
        may_act: True if a request with the token may also act.
        url_is_known: True if the URL with the token is known already; otherwise it is logged at the
            first local request without the token.

    Attributes:
        token: The token; empty if there is a hook.
    """

    def __init__(
        self,
        authorize: Authorize | None = None,
        secret: str | bytes | None = None,
        *,
        may_act: bool = False,
        url_is_known: bool = False,
    ) -> None:
        key = secrets.token_bytes(32) if secret is None else _checked(secret)
        self._authorize = authorize
        self._may_act = may_act
        self._url_is_known = url_is_known
        self._form_key = _derived(key, b"lionpride form")
        token = base64.urlsafe_b64encode(_derived(key, b"lionpride token")).rstrip(b"=")
        self.token = "" if authorize is not None else token.decode()
        self._pass = _derived(key, b"lionpride cookie").hex()

    async def may(self, request: Request, what: str) -> bool:
        """Return True if a request may do this."""
        if self._authorize is None:
            if what == PROBE:
                return True
            allowed = what == LOOK or self._may_act
            return allowed and _is_local(request) and self._has_token(request)
        answer = self._authorize(request, what)
        if inspect.isawaitable(answer):
            answer = await answer
        return answer is True

    def refusal(self, request: Request) -> Response:
        """Return the answer to a request that may not look; it says what to do."""
        if self._authorize is not None:
            return PlainTextResponse("You may not do this.\n", 403, HEADERS)
        if not _is_local(request):
            text = (
                "This page answers only to this machine, as http://127.0.0.1 or http://localhost. "
                "To let others see it, give app(..., authorize=...).\n"
            )
            return PlainTextResponse(text, 403, HEADERS)
        self._log_url(request)
        text = (
            "This page needs its token. Open the whole URL, with ?token=..., that the server has "
            "printed or logged at its start, or at the first request without a token. A script "
            "sends the header 'Authorization: Bearer TOKEN'.\n"
        )
        return PlainTextResponse(text, 401, {**HEADERS, "WWW-Authenticate": "Bearer"})

    # -- the token ---------------------------------------------------------------------------

    def login(self, request: Request) -> Response | None:
        """Exchange the token in a URL for a cookie, and redirect to the URL without the token.

        Returns:
            None if the URL has no token, or a wrong one.
        """
        if self._authorize is not None or request.method not in ("GET", "HEAD"):
            return None
        if not _is_local(request) or not self._is_token(request.query_params.get("token", "")):
            return None
        query = parse_qsl(request.scope.get("query_string", b"").decode("latin-1"), True)
        rest = urlencode([pair for pair in query if pair[0] != "token"])
        path = quote("/" + request.scope["path"].lstrip("/\\"), safe="/")
        url = f"{path}?{rest}" if rest else path
        response: Response = RedirectResponse(url, 303, HEADERS)
        if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            # A browser that follows a link of another site sends no strict cookie along with a
            # redirect. From a page of this site it does.
            response = HTMLResponse(_REDIRECT_PAGE.format(url=escape(url)), 200, HEADERS)
        self._set_cookie(request, response, _cookie_of(request), self._pass)
        return response

    def _has_token(self, request: Request) -> bool:
        cookie = request.cookies.get(_cookie_of(request), "")
        return self._has_bearer(request) or _is_same(cookie, self._pass)

    def _has_bearer(self, request: Request) -> bool:
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self._is_token(text.strip())

    def _is_token(self, text: str) -> bool:
        return bool(self.token) and _is_same(text, self.token)

    def _log_url(self, request: Request) -> None:
        """Log the URL with the token once: only the operator of the server reads the log."""
        if not self._url_is_known:
            self._url_is_known = True
            root, host = request.scope.get("root_path", ""), request.headers["host"]
            url = f"{request.url.scheme}://{host}{quote(root)}/?token={self.token}"
            LOG.warning("the page needs its token; open %s", url)

    # -- forms that only the page can send ---------------------------------------------------

    def session(self, request: Request) -> str:
        """Return the identifier of this browser; a new one if it has none."""
        return request.cookies.get(COOKIE) or secrets.token_urlsafe(24)

    def keep_session(self, request: Request, response: Response, session: str) -> None:
        """Set the identifier as a cookie, which a request of another site does not send."""
        if request.cookies.get(COOKIE) != session:
            self._set_cookie(request, response, COOKIE, session)

    def form_token(self, session: str) -> str:
        """Return the token that a form of this browser has to send."""
        return hmac.new(self._form_key, session.encode(), hashlib.sha256).hexdigest()

    def why_refused(self, request: Request, token: str) -> str:
        """Return why a post is refused; an empty text if the page itself sent it.

        Args:
            request: The post.
            token: The token of its form.
        """
        if self._has_bearer(request):  # no other site can have a browser send this header
            return ""
        origin, host = request.headers.get("origin"), request.headers.get("host", "")
        own = f"{request.url.scheme}://{host}"
        if origin is not None and not _is_origin_of(origin, host):
            shown = shorten(one_line(origin), 200) or "(none)"
            return (
                f"it was sent from the origin {shown}, and this page is {own}. If a proxy stands "
                "between, have it pass the header Host on as it is"
            )
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return "it was sent from another site"
        session = request.cookies.get(COOKIE, "")
        if not session:
            return f"the cookie {COOKIE} is missing: let the browser accept cookies of {own}"
        if not _is_same(token, self.form_token(session)):
            return (
                "its form is of another process, or of an earlier start of the server: go back, "
                "reload the page, and try again. If several processes serve the page, give all of "
                "them the same app(..., secret=...)"
            )
        return ""

    def _set_cookie(self, request: Request, response: Response, name: str, value: str) -> None:
        path = request.scope.get("root_path") or "/"
        secure = request.url.scheme == "https"
        response.set_cookie(name, value, path=path, httponly=True, samesite="strict", secure=secure)


def has_valid_host(request: Request) -> bool:
    """Return True if the header Host is a host with or without a port, or is missing."""
    text = request.headers.get("host", "")
    return text == "" or _host_of(text) is not None


def _host_of(text: str) -> tuple[str, int | None] | None:
    """Return host and port of a header Host; None if it is malformed."""
    found = _HOST.fullmatch(text)
    if found is None or int(found["port"] or 0) > 65535:
        return None
    if found["ip6"] is not None:
        try:
            ipaddress.IPv6Address(found["ip6"])
        except ValueError:
            return None
    return (found["ip6"] or found["name"]).lower(), int(found["port"]) if found["port"] else None


def _is_origin_of(origin: str, host: str) -> bool:
    """Return True if an Origin and a Host name the same host and port."""
    scheme, _, place = origin.partition("://")
    theirs, ours = _host_of(place), _host_of(host)
    if theirs is None or ours is None:
        return False
    usual = _DEFAULT_PORTS.get(scheme)
    return (theirs[0], theirs[1] or usual) == (ours[0], ours[1] or usual)


def _is_local(request: Request) -> bool:
    """Return True if a request comes from this machine and names it; see ``Access``."""
    client = request.client.host if request.client is not None else ""
    host, _ = _host_of(request.headers.get("host", "")) or ("", None)
    forwarded = any(name in request.headers for name in _FORWARDED)
    return _is_loopback(client) and (host == "localhost" or _is_loopback(host)) and not forwarded


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _cookie_of(request: Request) -> str:
    """Return the name of the token's cookie: browsers share cookies between ports of a host."""
    _, port = _host_of(request.headers.get("host", "")) or ("", None)
    return "lionpride-token" if port is None else f"lionpride-token-{port}"


def _is_same(text: str, expected: str) -> bool:
    return hmac.compare_digest(text.encode(), expected.encode())


def _derived(key: bytes, purpose: bytes) -> bytes:
    return hmac.new(key, purpose, hashlib.sha256).digest()


def _checked(secret: Any) -> bytes:
    is_text = isinstance(secret, str | bytes)
    if not is_text or len(secret) < _MIN_SECRET:
        shown = len(secret) if is_text else type(secret).__name__
        raise ConfigurationError(
            f"secret must be text or bytes of at least {_MIN_SECRET} characters, got {shown}; make "
            "one with secrets.token_urlsafe()"
        )
    return secret.encode() if isinstance(secret, str) else bytes(secret)
