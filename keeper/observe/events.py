"""What moves on the page, as server-sent events: at each tick the sections that changed, as HTML.

Nobody's slowness is anybody else's: readers are few and counted, what one has not read is at most one event, and one
that takes none for some seconds is dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import msgspec
from aiohttp import web

from keeper.observe.page import Pages
from keeper.observe.status import Status

READERS_MAX = 16
TICK_SECONDS = 1.0
WRITE_SECONDS_MAX = 5.0


class Feed:
    """Sends events to every reader of the page.

    Args:
        pages: Renders.
        status: Says what there is.
        readers_max: More are told to come back later.
        write_seconds_max: A reader that takes an event no sooner is dropped.
        tick_seconds: Between two events.
    """

    def __init__(
        self,
        pages: Pages,
        status: Callable[[], Status],
        *,
        readers_max: int = READERS_MAX,
        write_seconds_max: float = WRITE_SECONDS_MAX,
        tick_seconds: float = TICK_SECONDS,
    ) -> None:
        self._pages = pages
        self._status = status
        self._readers_max = readers_max
        self._write_seconds_max = write_seconds_max
        self._tick_seconds = tick_seconds
        self._closing = asyncio.Event()
        self._drawn: dict[str | None, tuple[float, dict[str, str]]] = {}
        self.readers = 0

    async def close(self, _app: web.Application) -> None:
        """Let every reader go: the server waits for them."""
        self._closing.set()

    async def stream(self, request: web.Request, venue: str | None) -> web.StreamResponse:
        """Send a reader what changes, until one of the two leaves.

        Raises:
            web.HTTPServiceUnavailable: there are as many readers as there may be.
        """
        if self.readers >= self._readers_max:
            raise web.HTTPServiceUnavailable(text="too many readers\n", headers={"Retry-After": "10"})
        self.readers += 1
        try:
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
            await response.prepare(request)
            with suppress(ConnectionError):  # it left
                await self._send_all(response, venue)
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()  # what it has not read is not kept for it
        finally:
            self.readers -= 1
        return response

    async def _send_all(self, response: web.StreamResponse, venue: str | None) -> None:
        shown: dict[str, str] = {}
        while not self._closing.is_set():
            sections = self._sections(venue)
            moved = {name: html for name, html in sections.items() if shown.get(name) != html}
            async with asyncio.timeout(self._write_seconds_max):
                await response.write(b"data: " + msgspec.json.encode(moved) + b"\n\n")
            shown = sections
            with suppress(TimeoutError):
                async with asyncio.timeout(self._tick_seconds):
                    await self._closing.wait()

    def _sections(self, venue: str | None) -> dict[str, str]:
        """Draw once for all readers of a venue within a tick."""
        now = asyncio.get_running_loop().time()
        at, sections = self._drawn.get(venue, (-self._tick_seconds, {}))
        if now - at >= self._tick_seconds / 2:
            sections = self._pages.sections(self._status(), venue)
            self._drawn[venue] = (now, sections)
        return sections
