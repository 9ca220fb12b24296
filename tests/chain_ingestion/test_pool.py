"""Several providers as one: who is asked, and for how long somebody is not."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp import web

from keeper.chain.pool import LIMIT_CODES, HealthPolicy, ProviderPool
from keeper.chain.rpc import Provider
from keeper.core.errors import InvariantBroken, NodeMalformed, NodeRefused, NodeUnreachable
from tests.chain_ingestion.fakes import JumpClock
from tests.chain_ingestion.scripted import CHAIN_ID, PASS, Json, Refuse, ScriptedServer

HEAD = ("eth_getBlockByNumber", ("latest", False))
POLICY = HealthPolicy(failures_max=2, cool_down_seconds=10.0)


class Pair:
    """Two servers behind a pool, with the clock of its cool-downs."""

    def __init__(self, first: ScriptedServer, second: ScriptedServer) -> None:
        self.clock = JumpClock()
        self.first = first
        self.second = second
        self.providers = [Provider(each.url, CHAIN_ID, self.clock) for each in (first, second)]
        self.pool = ProviderPool(self.providers, self.clock, POLICY)

    def asked(self) -> list[int]:
        """How often each server was asked for a head since the last time."""
        counts = [server.methods.count("eth_getBlockByNumber") for server in (self.first, self.second)]
        self.first.bodies.clear()
        self.second.bodies.clear()
        return counts


@pytest_asyncio.fixture
async def pair(server: ScriptedServer, second: ScriptedServer) -> AsyncIterator[Pair]:
    """An opened pool of two."""
    both = Pair(server, second)
    async with both.pool:
        yield both


def broken(_: Json) -> web.Response:
    """Answer nothing useful."""
    return web.Response(status=503)


def half_broken(body: Json) -> web.Response | None:
    """Answer the chain id only."""
    return None if not isinstance(body, list) and body["method"] == "eth_chainId" else web.Response(text="<html>")


async def test_first_choice_serves(pair: Pair) -> None:
    """While the first provider answers, nobody else is asked."""
    await pair.pool.call(*HEAD)
    await pair.pool.batch([HEAD])

    assert pair.asked() == [2, 0]


async def test_failure_goes_to_the_next(pair: Pair) -> None:
    """A request that the first provider does not answer is answered by the second."""
    pair.first.raw = half_broken

    assert await pair.pool.call(*HEAD) is not None
    assert pair.asked() == [1, 1]


async def test_failures_in_a_row_cool_down(pair: Pair) -> None:
    """A provider that failed twice in a row is not asked until its cool-down is over."""
    pair.first.raw = half_broken
    for _ in range(3):
        await pair.pool.call(*HEAD)
    assert pair.asked() == [2, 3]
    assert [each.up for each in pair.pool.statistics()] == [False, True]

    pair.first.raw = None
    await pair.clock.sleep(POLICY.cool_down_seconds)
    await pair.pool.call(*HEAD)

    assert pair.asked() == [1, 0]
    assert [(each.up, each.failures) for each in pair.pool.statistics()] == [(True, 0), (True, 0)]


async def test_all_down_is_still_asked(pair: Pair) -> None:
    """When every provider cools down they are asked nevertheless, and the last failure is raised."""
    pair.first.raw = pair.second.raw = broken
    for _ in range(3):
        with pytest.raises(NodeUnreachable, match="HTTP 503"):
            await pair.pool.call(*HEAD)

    pair.second.raw = None
    assert await pair.pool.call(*HEAD) is not None


async def test_refusal_is_an_answer(pair: Pair) -> None:
    """An error object is not taken to another provider: it would refuse as well."""

    def refuse(method: str, _: list[Json]) -> Json:
        if method == "eth_getBlockByNumber":
            raise Refuse(-32000, "no")
        return PASS

    pair.first.fault = refuse
    with pytest.raises(NodeRefused):
        await pair.pool.call(*HEAD)

    assert pair.asked() == [1, 0]


async def test_limit_of_one_is_not_the_limit_of_another(pair: Pair) -> None:
    """A request beyond one provider's limit is taken to the next."""

    def limit(method: str, _: list[Json]) -> Json:
        if method == "eth_getBlockByNumber":
            raise Refuse(-32005, "limit exceeded")
        return PASS

    pair.first.fault = limit

    assert await pair.pool.call(*HEAD) is not None
    assert pair.asked() == [1, 1]


@pytest.mark.parametrize("code", LIMIT_CODES)
async def test_batch_beyond_a_limit_goes_to_the_next(pair: Pair, code: int) -> None:
    """A batch of which a provider refuses anything for a limit of its own is answered whole by the next."""

    def limit(method: str, _: list[Json]) -> Json:
        if method == "eth_getBlockByNumber":
            raise Refuse(code, "limit exceeded")
        return PASS

    pair.first.fault = limit
    chain_id, head = await pair.pool.batch([("eth_chainId", ()), HEAD])

    assert chain_id == hex(CHAIN_ID)
    assert not isinstance(head, NodeRefused)
    assert pair.asked() == [1, 1]


async def test_batch_beyond_every_limit_keeps_its_refusals(pair: Pair) -> None:
    """When the last provider refuses too, its refusals are values in their places."""

    def limit(method: str, _: list[Json]) -> Json:
        if method == "eth_getBlockByNumber":
            raise Refuse(-32005, "limit exceeded")
        return PASS

    pair.first.fault = pair.second.fault = limit
    chain_id, head = await pair.pool.batch([("eth_chainId", ()), HEAD])

    assert chain_id == hex(CHAIN_ID)
    assert isinstance(head, NodeRefused)
    assert pair.asked() == [1, 1]
    assert [each.failures for each in pair.pool.statistics()] == [0, 0]


async def test_pinned_is_one_provider(pair: Pair) -> None:
    """A pinned operation never changes providers, and its failure counts."""
    with pair.pool.pinned() as node:
        assert node is pair.providers[0]
        assert pair.pool.another(node) is pair.providers[1]
    pair.first.raw = half_broken
    for _ in range(2):
        with pytest.raises(NodeMalformed), pair.pool.pinned() as node:
            await node.call(*HEAD)

    with pair.pool.pinned() as node:
        assert node is pair.providers[1]


async def test_alone_another_is_the_same(pool: ProviderPool) -> None:
    """With one provider there is no other."""
    with pool.pinned() as node:
        assert pool.another(node) is node


def test_empty_pool_is_a_bug() -> None:
    """A pool has a provider."""
    with pytest.raises(InvariantBroken):
        ProviderPool([], JumpClock())
