"""The HTTP side: metrics for Prometheus, health for the service manager, and a page for people.

Asked of a picture of the state (:class:`~keeper.observe.status.Status`) that is made for each request.
When the event loop hangs nothing answers at all, which a health check sees as well.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType

import msgspec
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from keeper.core.errors import OperatorError
from keeper.observe.access import Guard, SignIn
from keeper.observe.events import Feed
from keeper.observe.kill_switch import KillSwitch
from keeper.observe.metrics import Metrics
from keeper.observe.page import Access, Pages, static_files
from keeper.observe.status import Failing, Status, unhealthy, unready

StatusOf = Callable[[], Status]

REQUEST_BYTES_MAX = 4096
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""What a page may load: what this server gives, nothing inline, nothing of others."""
HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Cache-Control": "no-store",
        "Content-Security-Policy": POLICY,
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }
)


class _Answer(msgspec.Struct, frozen=True):
    """The body of ``/healthz`` and ``/readyz``."""

    ok: bool
    failing: list[Failing]


class _Endpoints:
    """The handlers. aiohttp wants them async; none of them waits."""

    def __init__(self, metrics: Metrics, status: StatusOf, guard: Guard, switch: KillSwitch, pages: Pages) -> None:
        self._metrics = metrics
        self._status = status
        self._guard = guard
        self._switch = switch
        self._pages = pages
        self._files = static_files()
        self.feed = Feed(pages, status)

    async def page(self, request: web.Request) -> web.Response:
        """Show what is watched, in flight and decided; ``?venue=NAME`` narrows it."""
        status = self._status()
        access = Access(
            signed_in=self._guard.signed_in(request),
            may_sign_in=self._guard.has_token,
            switch=self._switch.offer(request),
        )
        page = self._pages.page(status, venue_asked(request, status), access)
        return web.Response(text=page, content_type="text/html")

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Send what moves on the page."""
        return await self.feed.stream(request, venue_asked(request, self._status()))

    async def file(self, request: web.Request) -> web.Response:
        """Give a file that the pages load."""
        try:
            body, kind = self._files[request.match_info["name"]]
        except KeyError:
            raise web.HTTPNotFound from None
        return web.Response(body=body, content_type=kind, charset="utf-8")

    async def metrics(self, _request: web.Request) -> web.Response:
        """Answer a scrape."""
        self._metrics.reflect(self._status())
        return web.Response(body=self._metrics.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthz(self, _request: web.Request) -> web.Response:
        """Say whether the process should be left running."""
        return _verdict(unhealthy(self._status()))

    async def readyz(self, _request: web.Request) -> web.Response:
        """Say whether the keeper can be relied on now."""
        return _verdict(unready(self._status()))

    async def status(self, _request: web.Request) -> web.Response:
        """Say everything."""
        return _json(self._status())


def web_app(
    metrics: Metrics, status: StatusOf, guard: Guard | None = None, kill_switch: Path | None = None
) -> web.Application:
    """Return the application.

    Args:
        metrics: What is scraped.
        status: Makes a picture of the state.
        guard: Says who may ask for what; by default whoever is on this host.
        kill_switch: The file that stops everything.
    """
    guard, pages = guard or Guard(), Pages()
    switch = KillSwitch(kill_switch, guard, status)
    endpoints = _Endpoints(metrics, status, guard, switch, pages)
    app = web.Application(middlewares=[guard.middleware], client_max_size=REQUEST_BYTES_MAX)
    app.on_response_prepare.append(_secure)
    app.router.add_get("/", endpoints.page)
    app.router.add_get("/events", endpoints.events, allow_head=False)
    app.on_shutdown.append(endpoints.feed.close)
    SignIn(guard, pages).add_to(app)
    switch.add_to(app)
    app.router.add_get("/static/{name}", endpoints.file)
    app.router.add_get("/metrics", endpoints.metrics)
    app.router.add_get("/healthz", endpoints.healthz)
    app.router.add_get("/readyz", endpoints.readyz)
    app.router.add_get("/status", endpoints.status)
    return app


@asynccontextmanager
async def serving(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    """Serve an application and give its URL; port 0 takes any free one.

    Raises:
        OperatorError: the address cannot be listened on.
    """
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await _listen(web.TCPSite(runner, host, port), f"{host}:{port}")
        bound: int = runner.addresses[0][1]
        yield f"http://{f'[{host}]' if ':' in host else host}:{bound}"
    finally:
        await runner.cleanup()


async def _listen(site: web.TCPSite, place: str) -> None:
    try:
        await site.start()
    except OSError as error:
        remedy = "stop what listens there, or change http.listen"
        raise OperatorError(
            f"http.listen {place}", f"cannot be listened on ({os.strerror(error.errno or 0)})", remedy
        ) from None


async def _secure(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(HEADERS)
    response.headers["Server"] = "margin-keeper"


def venue_asked(request: web.Request, status: Status) -> str | None:
    """Return the venue that a page is narrowed to.

    Raises:
        web.HTTPNotFound: it is not watched.
    """
    venue = request.query.get("venue")
    if venue is not None and all(each.name != venue for each in status.venues):
        raise web.HTTPNotFound(text="no venue of that name is watched\n")
    return venue


def _verdict(failing: list[Failing]) -> web.Response:
    status = web.HTTPServiceUnavailable.status_code if failing else web.HTTPOk.status_code
    return _json(_Answer(not failing, failing), status)


def _json(body: object, status: int = web.HTTPOk.status_code) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), content_type="application/json", status=status)
