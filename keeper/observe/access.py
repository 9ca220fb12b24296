"""Who may ask for what.

On a loopback address every reader of this host may read, as long as it asks by a name of this host: a page of another
site whose name was made to point here (DNS rebinding) may not. On any other address all but the probes and the sign-in
needs the token. The one thing that can be written, the kill switch, needs it everywhere.

Programs send ``Authorization: Bearer``, which no page of another site can. A browser signs in once and then has a
cookie: an end of validity and a MAC of it under the token, so that nobody without the token can make one, and none
outlives the process. What a cookie lets write must come from a page of ours.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler

from keeper.observe.failures import Failures
from keeper.observe.page import Pages

COOKIE = "keeper_session"
SESSION_SECONDS = 12 * 3600
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/login"})
"""What every address answers without a token: probes have none, and it is where a token is given."""
STATIC = "/static/"
BEARER = "Bearer "
SESSION_LENGTH_MAX = 100
HOME, LOGIN = "/", "/login"


class Guard:
    """Lets requests pass, or not.

    Args:
        token: The secret; ``None`` where none is configured.
        loopback: Whether the server listens on this host only.
        unix_seconds: The wall clock.
        monotonic: The clock by which wrong tokens are counted.
    """

    def __init__(
        self,
        token: str | None = None,
        *,
        loopback: bool = True,
        unix_seconds: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._failures = Failures(monotonic)
        self._token = None if token is None else token.encode()
        self._loopback = loopback
        self._unix_seconds = unix_seconds
        self._salt = secrets.token_bytes(16)

    @property
    def has_token(self) -> bool:
        """Whether anybody can sign in."""
        return self._token is not None

    def signed_in(self, request: web.Request) -> bool:
        """Tell whether a request comes from somebody who has the token."""
        return self.has_bearer(request) or self._has_session(request)

    def may_write(self, request: web.Request) -> bool:
        """Tell whether a request may change something: the token itself, or a session on a page of ours."""
        return self.has_bearer(request) or (self._has_session(request) and is_same_origin(request))

    def has_bearer(self, request: web.Request) -> bool:
        """Tell whether a request carries the token itself."""
        header = request.headers.get("Authorization", "")
        return header.startswith(BEARER) and self.is_token(header.removeprefix(BEARER))

    def is_token(self, given: str) -> bool:
        """Compare in a time that tells nothing."""
        return self._token is not None and hmac.compare_digest(given.encode(errors="replace"), self._token)

    def note_wrong(self, request: web.Request) -> None:
        """Remember that somebody gave a wrong token."""
        self._failures.note(request.remote or "")

    def session(self) -> str:
        """Return the value of a new session's cookie."""
        return self._sealed(int(self._unix_seconds()) + SESSION_SECONDS)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer, or say why not."""
        if self._loopback and not is_of_this_host(request.headers.get("Host", "")):
            raise web.HTTPMisdirectedRequest(text="ask for this page by a name of this host: localhost\n")
        self._check_failures(request)
        if not self._loopback and not (
            request.path in OPEN_PATHS or request.path.startswith(STATIC) or self.signed_in(request)
        ):
            if request.path == HOME and "text/html" in request.headers.get("Accept", ""):
                raise web.HTTPSeeOther(LOGIN)
            raise refused()
        return await handler(request)

    def _check_failures(self, request: web.Request) -> None:
        """Refuse a token from an address that gave too many wrong ones, before it is compared; count a wrong one."""
        has_header = "Authorization" in request.headers and request.path not in OPEN_PATHS  # a probe is always answered
        if self._token is None or not (has_header or (request.path == LOGIN and request.method == "POST")):
            return
        seconds = self._failures.wait_seconds(request.remote or "")
        if seconds:
            raise web.HTTPTooManyRequests(text="too many wrong tokens\n", headers={"Retry-After": str(seconds)})
        if has_header and not self.has_bearer(request):
            self.note_wrong(request)

    def _has_session(self, request: web.Request) -> bool:
        value = request.cookies.get(COOKIE, "")
        end = value.partition(".")[0]
        if self._token is None or not (end.isascii() and end.isdigit() and len(end) < len(value) <= SESSION_LENGTH_MAX):
            return False
        sealed = self._sealed(int(end)).encode()
        return hmac.compare_digest(value.encode(errors="replace"), sealed) and int(end) > self._unix_seconds()

    def _sealed(self, end: int) -> str:
        seal = hmac.new(self._token or b"", self._salt + str(end).encode(), hashlib.sha256)
        return f"{end}.{seal.hexdigest()}"


class SignIn:
    """Takes the token from a form, and gives a session."""

    def __init__(self, guard: Guard, pages: Pages) -> None:
        self._guard = guard
        self._pages = pages

    def add_to(self, app: web.Application) -> None:
        """Add the routes; there are none where nobody can sign in."""
        if self._guard.has_token:
            app.router.add_get(LOGIN, self._form)
            app.router.add_post(LOGIN, self._enter)
            app.router.add_post("/logout", self._leave)

    async def _form(self, _request: web.Request) -> web.Response:
        return web.Response(text=self._pages.login(wrong=False), content_type="text/html")

    async def _enter(self, request: web.Request) -> web.Response:
        check_same_origin(request)
        token = (await request.post()).get("token")
        if not isinstance(token, str) or not self._guard.is_token(token.strip()):
            self._guard.note_wrong(request)
            page = self._pages.login(wrong=True)
            return web.Response(text=page, content_type="text/html", status=web.HTTPUnauthorized.status_code)
        response = web.HTTPSeeOther(HOME)
        response.set_cookie(
            COOKIE,
            self._guard.session(),
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="Strict",
            secure=request.secure or request.headers.get("X-Forwarded-Proto") == "https",
        )
        raise response

    async def _leave(self, request: web.Request) -> web.Response:
        check_same_origin(request)
        response = web.HTTPSeeOther(HOME)
        response.del_cookie(COOKIE)
        raise response


def refused() -> web.HTTPUnauthorized:
    """Return the answer to a request without the token."""
    return web.HTTPUnauthorized(text="send Authorization: Bearer TOKEN\n", headers={"WWW-Authenticate": "Bearer"})


def is_of_this_host(host: str) -> bool:
    """Tell whether a ``Host`` header names this host, whatever the port: it may be forwarded."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_same_origin(request: web.Request) -> bool:
    """Tell whether a browser says that a page of ours sent a request; one that says nothing is not believed."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    try:
        return urlsplit(request.headers.get("Origin", "")).netloc == request.headers.get("Host", "") != ""
    except ValueError:
        return False


def check_same_origin(request: web.Request) -> None:
    """Refuse what a page of another site sent.

    Raises:
        web.HTTPForbidden: it did.
    """
    if not is_same_origin(request):
        raise web.HTTPForbidden(text="this can be sent from this server's own page only\n")
