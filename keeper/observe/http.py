"""The HTTP side: metrics for Prometheus, health for the service manager, readiness and status for people.

Read-only, and asked of a picture of the state (:class:`~keeper.observe.status.Status`) that is made for each request.
When the event loop hangs nothing answers at all, which a health check sees as well.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType

import msgspec
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from keeper.core.errors import OperatorError
from keeper.observe.metrics import Metrics
from keeper.observe.status import Failing, Status, unhealthy, unready

StatusOf = Callable[[], Status]

PAGE = """margin-keeper

/metrics   figures for Prometheus
/healthz   200 while facts are taken and the journal can be written
/readyz    200 while every chain is at its head and every price is known
/status    what is watched, what is in flight, what was decided last (JSON)
"""
HEADERS: Mapping[str, str] = MappingProxyType(
    {
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
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

    def __init__(self, metrics: Metrics, status: StatusOf) -> None:
        self._metrics = metrics
        self._status = status

    async def page(self, _request: web.Request) -> web.Response:
        """List the endpoints."""
        return web.Response(text=PAGE)

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


def web_app(metrics: Metrics, status: StatusOf) -> web.Application:
    """Return the application."""
    endpoints = _Endpoints(metrics, status)
    app = web.Application()
    app.on_response_prepare.append(_secure)
    app.router.add_get("/", endpoints.page)
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


def _verdict(failing: list[Failing]) -> web.Response:
    status = web.HTTPServiceUnavailable.status_code if failing else web.HTTPOk.status_code
    return _json(_Answer(not failing, failing), status)


def _json(body: object, status: int = web.HTTPOk.status_code) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), content_type="application/json", status=status)
