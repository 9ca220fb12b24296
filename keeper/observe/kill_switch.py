"""The one thing that can be written over HTTP: the kill switch's file, which the daemon watches."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import structlog
from aiohttp import web

from keeper.observe.access import HOME, Guard, check_same_origin, refused
from keeper.observe.status import Status

ACTIONS: Mapping[str, bool] = MappingProxyType({"arm": True, "clear": False})
SEEN_SECONDS = 0.1
SEEN_LOOKS_MAX = 30
"""The daemon looks once a second; after so many looks the answer does not wait for it any more."""


class KillSwitch:
    """Arms and clears it.

    Args:
        path: The file; ``None`` where none is configured.
        guard: Says who may.
        status: Says whether the daemon has seen it.
    """

    def __init__(self, path: Path | None, guard: Guard, status: Callable[[], Status]) -> None:
        self._path = path
        self._guard = guard
        self._status = status

    def offer(self, request: web.Request) -> str:
        """Say what the page offers: the switch, to sign in for it, or why neither."""
        if self._path is None:
            return "none"
        if not self._guard.has_token:
            return "no-token"
        return "offered" if self._guard.signed_in(request) else "sign-in"

    def add_to(self, app: web.Application) -> None:
        """Add the route; there is none where nobody may write."""
        if self._path is not None and self._guard.has_token:
            app.router.add_post("/kill-switch", self._set)

    async def _set(self, request: web.Request) -> web.Response:
        if not self._guard.may_write(request):
            if self._guard.signed_in(request):
                check_same_origin(request)
            raise refused()
        action = (await request.post()).get("action")
        armed = ACTIONS.get(action) if isinstance(action, str) else None
        if armed is None:
            raise web.HTTPBadRequest(text="action must be arm or clear\n")
        await self._write(armed=armed)
        if self._guard.has_bearer(request):
            return web.Response(status=web.HTTPNoContent.status_code)
        raise web.HTTPSeeOther(HOME)

    async def _write(self, *, armed: bool) -> None:
        assert self._path is not None
        try:
            await asyncio.to_thread(write_switch, self._path, armed=armed)
        except OSError as error:
            reason = f"the kill switch {self._path} cannot be {'armed' if armed else 'cleared'} ({error.strerror})\n"
            raise web.HTTPInternalServerError(text=reason) from None
        structlog.get_logger().warning("kill switch", armed=armed, by="the page")
        for _ in range(SEEN_LOOKS_MAX):
            if self._status().kill_switch_armed is armed:
                return
            await asyncio.sleep(SEEN_SECONDS)


def write_switch(path: Path, *, armed: bool) -> None:
    """Make the file or remove it; either may be so already.

    Raises:
        OSError: it cannot be done.
    """
    if not armed:
        path.unlink(missing_ok=True)
        return
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    except FileExistsError:
        return
