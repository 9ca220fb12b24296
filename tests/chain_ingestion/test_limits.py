"""A provider that is asked too often is left alone for as long as it says, and it alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from email.utils import formatdate

import pytest
from aiohttp import web

from keeper.chain.limits import RETRY_AFTER_SECONDS_MAX, RateLimit
from keeper.chain.pool import ProviderPool
from keeper.chain.retry import RetryPolicy
from keeper.chain.rpc import Provider
from keeper.core.errors import NodeLimited, NodeRefused
from tests.chain_ingestion.fakes import HandClock, JumpClock
from tests.chain_ingestion.scripted import CHAIN_ID, PASS, Json, Refuse, ScriptedServer

BACKOFF = RetryPolicy(wait_seconds_first=1.0, wait_seconds_max=8.0, chance=lambda: 1.0)
HEAD = ("eth_getBlockByNumber", ("latest", False))


def busy(retry_after: str | None = None) -> Callable[[Json], web.Response]:
    """Return an answer with status 429."""
    return lambda _: web.Response(status=429, headers={} if retry_after is None else {"Retry-After": retry_after})


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        (formatdate(1030, usegmt=True), 30.0),
        (formatdate(10, usegmt=True), 0.0),
        ("999999999999999999999", RETRY_AFTER_SECONDS_MAX),
        ("soon", 1.0),
        ("-5", 1.0),
        ("", 1.0),
        (None, 1.0),
    ],
)
def test_retry_after_is_respected(retry_after: str | None, seconds: float) -> None:
    """Seconds and dates are waited for, within a bound; what is neither is as if it were not there."""
    clock = JumpClock()
    clock.now = 1000.0
    limit = RateLimit(8, clock, BACKOFF)

    limit.limited(retry_after)

    assert limit.wait_seconds == seconds


def test_waits_double_while_the_limit_lasts() -> None:
    """Without a header each limit in a row doubles the wait up to a ceiling; an answer begins anew."""
    clock = JumpClock()
    limit = RateLimit(8, clock, BACKOFF)
    waits = []
    for _ in range(5):
        limit.limited()
        waits.append(limit.wait_seconds)
        clock.now += limit.wait_seconds
    assert waits == [1.0, 2.0, 4.0, 8.0, 8.0]

    limit.served()
    limit.limited()
    assert limit.wait_seconds == 1.0


def test_concurrency_halves_and_recovers() -> None:
    """Each limit halves what may be in flight, one place at least; served requests win it back, slowly."""
    clock = JumpClock()
    limit = RateLimit(8, clock, BACKOFF)
    allowed = []
    for _ in range(5):
        limit.limited()
        limit.limited()  # of a request that was under way at the same time
        allowed.append(limit.concurrency)
        clock.now += limit.wait_seconds
    assert allowed == [4, 2, 1, 1, 1]

    served = 0
    while limit.concurrency < 8:
        limit.served()
        served += 1
    assert 20 < served < 60
    limit.served()
    assert limit.concurrency == 8


async def test_no_more_are_in_flight_than_may_be() -> None:
    """Requests beyond what may be in flight wait for a place, also after it has shrunk, and none is forgotten."""
    limit = RateLimit(4, JumpClock(), BACKOFF)
    limit.limited()
    running = peak = done = 0

    async def work() -> None:
        nonlocal running, peak, done
        async with limit.slot():
            running += 1
            peak = max(peak, running)
            try:
                await asyncio.sleep(0)
            finally:
                running -= 1
        done += 1

    async with asyncio.TaskGroup() as tasks:
        workers = [tasks.create_task(work()) for _ in range(20)]
        await asyncio.sleep(0)
        workers[0].cancel()
        workers[10].cancel()

    assert (peak, done) == (2, 18)


async def test_a_limited_provider_is_not_asked_until_it_may(server: ScriptedServer) -> None:
    """After a 429 nothing is sent to the provider before its time is over, and the error says how long that is."""
    clock = HandClock()
    async with Provider(server.url, CHAIN_ID, clock) as provider:
        await provider.call(*HEAD)
        server.raw = busy("7")
        with pytest.raises(NodeLimited, match="HTTP 429"):
            await provider.call(*HEAD)
        server.raw = None
        server.bodies.clear()
        clock.advance(6.0)
        with pytest.raises(NodeLimited, match=r"left alone for another 1\.0 s"):
            await provider.call(*HEAD)
        assert server.bodies == []

        clock.advance(1.0)
        assert await provider.call(*HEAD) is not None


async def test_a_limit_is_no_failure(server: ScriptedServer, pool_of_two: ProviderPool) -> None:
    """While one provider waits the others are asked, and it has not failed; after its time it is the first again."""
    await pool_of_two.call(*HEAD)
    server.raw = busy("30")
    for _ in range(3):
        assert await pool_of_two.call(*HEAD) is not None
    with pool_of_two.pinned() as node:
        assert node is pool_of_two.healthy()[0]

    assert [(each.up, each.failures) for each in pool_of_two.statistics()] == [(True, 0), (True, 0)]
    assert server.methods.count("eth_getBlockByNumber") == 2


@pytest.mark.parametrize(("method", "waits"), [("eth_call", True), ("eth_getLogs", False)])
async def test_limit_codes_are_limits(server: ScriptedServer, *, method: str, waits: bool) -> None:
    """The error codes of limits are respected like a 429; on a range of logs the code says that it is too wide."""

    def limit(asked: str, _: list[Json]) -> Json:
        if asked == method:
            raise Refuse(-32005, "limit exceeded")
        return PASS

    server.fault = limit
    outcomes: list[str] = []
    provider = Provider(
        server.url, CHAIN_ID, JumpClock(), on_request=lambda _m, outcome, _s, _p: outcomes.append(outcome)
    )
    async with provider:
        with pytest.raises(NodeRefused):
            await provider.call(method, ({},))

    assert (provider.limit.wait_seconds > 0) is waits
    assert outcomes[-1] == ("limited" if waits else "refused")
