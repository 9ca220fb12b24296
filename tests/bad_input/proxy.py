"""Stands between the keeper and a real node, and lies, or says nothing at all, on demand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

Json = Any
Bend = Callable[[str, Json], Json]
"""Changes the answer to one request: gets the method and the JSON-RPC response, returns the response."""
Replace = Callable[[str], web.Response]
"""Replaces a whole HTTP answer, of which it gets the text."""


class Proxy:
    """Forwards to a node; ``bend`` changes answers one by one, ``replace`` the whole of them; ``lies`` counts both.

    A request whose method ``holds`` picks is not forwarded before :meth:`let_go`; ``holding`` says that there is one.
    """

    def __init__(self, node_url: str, session: aiohttp.ClientSession) -> None:
        self._node_url = node_url
        self._session = session
        self.url = ""
        self.bend: Bend | None = None
        self.replace: Replace | None = None
        self.holds: Callable[[str], bool] = lambda _: False
        self.holding = asyncio.Event()
        self._let_go = asyncio.Event()
        self.lies = 0

    async def post(self, request: web.Request) -> web.Response:
        """Forward one HTTP body."""
        body = await request.read()
        if any(self.holds(method) for method in _methods(json.loads(body)).values()):
            self.holding.set()
            await self._let_go.wait()
        headers = {"Content-Type": "application/json"}
        async with self._session.post(self._node_url, data=body, headers=headers) as response:
            text = await response.text()
        if self.replace is not None:
            self.lies += 1
            return self.replace(text)
        if self.bend is not None:
            text = self._bent(json.loads(body), json.loads(text))
        return web.Response(text=text, content_type="application/json")

    def let_go(self) -> None:
        """Forward what was held, and hold nothing more."""
        self.holds = lambda _: False
        self._let_go.set()

    def _bent(self, asked: Json, answered: Json) -> str:
        assert self.bend is not None
        responses = answered if isinstance(asked, list) else [answered]
        methods = _methods(asked)
        before = json.dumps(responses)
        bent = [self.bend(methods[response["id"]], response) for response in responses]
        self.lies += json.dumps(bent) != before
        return json.dumps(bent if isinstance(asked, list) else bent[0])


def _methods(asked: Json) -> dict[Json, str]:
    return {request["id"]: request["method"] for request in (asked if isinstance(asked, list) else [asked])}


@asynccontextmanager
async def proxy_of(node_url: str) -> AsyncIterator[Proxy]:
    """Run a proxy for the length of the context."""
    async with aiohttp.ClientSession() as session:
        proxy = Proxy(node_url, session)
        application = web.Application(client_max_size=1 << 24)
        application.router.add_post("/", proxy.post)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        proxy.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield proxy
        finally:
            await runner.cleanup()
