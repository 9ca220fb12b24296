"""A whole run with webhooks: what is grave arrives, and a receiver that hangs is nobody's trouble."""

from __future__ import annotations

import asyncio
import signal
from http import HTTPStatus
from typing import Any

import pytest
from aiohttp import web

from keeper.observe.http import serving
from tests.app.keeper_process import started
from tests.app.market import Market

pytestmark = [pytest.mark.chain, pytest.mark.slow]
SECRET = "T0SECRET-hunter2"


async def test_a_run_tells_its_webhooks_and_waits_for_none(market: Market) -> None:
    """The kill switch is told at once; beside a webhook that hangs the run decides, reloads and leaves in order."""
    bodies: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    hung, ended = asyncio.Event(), asyncio.Event()

    async def take(request: web.Request) -> web.Response:
        await bodies.put(await request.json())
        return web.Response(status=204)

    async def hang(_: web.Request) -> web.Response:
        hung.set()
        await ended.wait()
        return web.Response()

    app = web.Application()
    app.router.add_post(f"/take/{SECRET}", take)
    app.router.add_post(f"/hang/{SECRET}", hang)
    async with serving(app, "127.0.0.1", 0) as url:
        environment = {}
        for name in ("TAKE", "HANG"):
            environment[f"KEEPER__NOTIFY__{name}__URL"] = f"{url}/{name.lower()}/{SECRET}"
            environment[f"KEEPER__NOTIFY__{name}__FORMAT"] = "generic"
            environment[f"KEEPER__NOTIFY__{name}__SEVERITY_MIN"] = "warning"
        async with started(market.keeper(password=None, environment=environment)) as keeper:
            await keeper.until_answer("/readyz", HTTPStatus.OK)
            market.kill_switch.touch()
            async with asyncio.timeout(20):
                body = await bodies.get()
                await hung.wait()
            keeper.signal(signal.SIGHUP)
            reloaded = await keeper.until_logged("reloaded")
            _, metrics = await keeper.get("/metrics")
            code = await keeper.leave()
            ended.set()

    assert (body["kind"], body["what"], body["severity"]) == ("KillSwitchChanged", "armed (file)", "warning")
    assert 'keeper_notifications_total{notifier="take",outcome="delivered"} 1.0' in metrics
    assert (code, reloaded["changed"]) == (0, "nothing")
    lost = keeper.event("notifications lost")
    assert lost is not None
    assert lost["notifier"] == "hang"
    assert SECRET not in keeper.output
