"""What hangs is named and ends the process, to be started again; a pause of the whole process is not hanging."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import signal
from http import HTTPStatus

import pytest

from keeper.app.stall import DUMP_SECONDS, EXIT_SECONDS
from tests.app.keeper_process import KeeperProcess, started
from tests.app.market import Market
from tests.bad_input.proxy import proxy_of
from tests.chain.journals import replayed

pytestmark = [pytest.mark.chain, pytest.mark.slow]

PATIENT = ("request_timeout_seconds = 2.0", "request_timeout_seconds = 600")
BOUND_SECONDS = 1.0
STRICT = ("[http]", f"[supervision]\nnode_seconds_max = {BOUND_SECONDS}\ndisk_seconds_max = {BOUND_SECONDS}\n\n[http]")
"""Less than a request may take, which nobody should configure: the watchdog must notice before the request ends."""
STOPPED_SECONDS = DUMP_SECONDS + 1.5
"""Longer than a part may take before the process ends, and than the loop may stand still before it is shown."""
PIPE_BYTES = 4096


async def passed(keeper: KeeperProcess, seconds: float) -> None:
    """Wait until so much time has passed while a process is there."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds

    async def over() -> bool:
        return loop.time() >= end

    await keeper.until(over)


@pytest.mark.parametrize(
    ("method", "part"),
    [
        ("eth_getBlockByNumber", "heads local poll"),
        ("eth_getLogs", "follower local"),
        ("eth_sendRawTransaction", "lane main on local"),
    ],
)
async def test_a_part_that_hangs_ends_the_process(market: Market, method: str, part: str) -> None:
    """It is late in the log, in the metrics and in ``/healthz`` by its name, then the process ends with 3 for it."""
    market.changes += [PATIENT, STRICT]
    async with proxy_of(market.node.http_url) as proxy:
        market.http_url = proxy.url
        async with started(market.keeper("--live")) as keeper:
            await keeper.until_answer("/readyz", HTTPStatus.OK)
            proxy.holds = lambda asked: asked == method
            await market.mine()
            late = await keeper.until_logged("late")
            unhealthy = await keeper.until_answer("/healthz", HTTPStatus.SERVICE_UNAVAILABLE)
            _, metrics = await keeper.get("/metrics")
            code = await keeper.exit_code()
            (line,) = keeper.errors
        proxy.holds = lambda _: False
        async with started(market.keeper("--live")) as keeper:
            await keeper.until_answer("/readyz", HTTPStatus.OK)
            assert await keeper.leave() == 0

    assert late["part"] == part
    assert f'"{part}"' in unhealthy
    assert f'keeper_part_late_total{{part="{part}"}} 1.0' in metrics
    assert code == 3
    assert re.fullmatch(rf"keeper: {part}: got nowhere for \d+ s; start again: nothing acknowledged is lost; .+", line)
    assert replayed(market.journal).divergence is None


async def test_a_reading_that_hangs_ends_the_process(market: Market) -> None:
    """A venue that is read at one block, of a node that stops to answer, is named as well."""
    market.changes += [PATIENT, STRICT, ('prices = "events"', 'prices = "events"\nbootstrap = "snapshot"')]
    async with proxy_of(market.node.http_url) as proxy:
        market.http_url = proxy.url
        proxy.holds = lambda asked: asked == "eth_call"
        async with started(market.keeper(password=None)) as keeper:
            late = await keeper.until_logged("late")
            code = await keeper.exit_code()
            (line,) = keeper.errors

    assert (late["part"], code) == ("bootstrap local", 3)
    assert re.fullmatch(r"keeper: bootstrap local: got nowhere for \d+ s; start again: .+", line)


@pytest.mark.fault(18, 42)
async def test_a_pause_of_the_whole_process_is_nobodys_fault(market: Market) -> None:
    """A process that was stopped for longer than any bound, in the middle of a request, goes on as if nothing was."""
    market.changes += [PATIENT, STRICT]
    async with proxy_of(market.node.http_url) as proxy:
        market.http_url = proxy.url

        async def held() -> bool:
            return proxy.holding.is_set()

        async with started(market.keeper("--live")) as keeper:
            await keeper.until_answer("/readyz", HTTPStatus.OK)
            proxy.holds = lambda asked: asked == "eth_getBlockByNumber"
            await keeper.until(held)
            keeper.signal(signal.SIGSTOP)
            await passed(keeper, STOPPED_SECONDS)
            keeper.signal(signal.SIGCONT)
            proxy.let_go()
            await market.mine()
            assert not await keeper.ends_before(await market.height())
            health, _ = await keeper.get("/healthz")
            _, metrics = await keeper.get("/metrics")
            assert await keeper.leave() == 0

    assert (health, keeper.errors) == (HTTPStatus.OK, [])
    assert [event for event in keeper.events if event["event"] == "late"] == []
    assert ticks(metrics, "+Inf") - ticks(metrics, f"{DUMP_SECONDS}") == 1


@pytest.mark.soak
@pytest.mark.fault(42)
async def test_a_log_that_nobody_reads_ends_the_process(market: Market) -> None:
    """When the pipe of the log is full the event loop stands still, and nobody can be told: the process ends with 3."""
    log = market.folder / "keeper.log"
    os.mkfifo(log)
    pipe = os.open(log, os.O_RDWR | os.O_NONBLOCK)
    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    async with started(market.keeper("--live")) as keeper:
        leaving = asyncio.create_task(keeper.exit_code(seconds_max=2 * EXIT_SECONDS))
        while not leaving.done():
            await market.mine()
            await asyncio.wait({leaving}, timeout=1.0)
    os.close(pipe)

    assert await leaving == 3
    assert replayed(market.journal).divergence is None


def ticks(metrics: str, seconds: str) -> int:
    """Return how many turns of the event loop came no later than so many seconds."""
    found = re.search(
        rf'^keeper_event_loop_lag_seconds_bucket{{le="{re.escape(seconds)}"}} (\d+)', metrics, re.MULTILINE
    )
    assert found is not None
    return int(found[1])
