"""Several providers as one: who is asked, and for how long somebody is not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

import pytest
import pytest_asyncio
from aiohttp import web
from structlog.testing import capture_logs

from keeper.chain.health import HealthPolicy
from keeper.chain.member import Member
from keeper.chain.pool import ProviderPool
from keeper.chain.rpc import LIMIT_CODES, Provider
from keeper.core.errors import ConfigError, InvariantBroken, NodeMalformed, NodeRefused, NodeUnreachable
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


def names(nodes: Iterable[object]) -> list[str]:
    """Return the names of providers."""
    return [node.name for node in nodes if isinstance(node, Member | Provider)]


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


async def test_a_dead_second_choice_stays_down_until_it_answers(pair: Pair) -> None:
    """Who only fails when heads are compared is down between the comparisons too, and up with its first answer."""
    pair.second.raw = broken
    seen = []
    for _ in range(4):
        await pair.pool.compare_heads()
        pair.clock.now += 15.0  # longer than a cool-down
        seen.append(pair.pool.statistics()[1].up)
    pair.second.raw = None
    await pair.pool.compare_heads()

    assert seen == [True, False, False, False]
    assert pair.pool.statistics()[1].up


async def test_failure_goes_to_the_next(pair: Pair) -> None:
    """A request that the first provider does not answer is answered by the second."""
    pair.first.raw = half_broken

    assert await pair.pool.call(*HEAD) is not None
    assert pair.asked() == [1, 1]


async def test_failure_moves_a_provider_back_until_it_has_faded(pair: Pair) -> None:
    """Who failed is asked after the others, until the failure is long ago: then the operator's order holds again."""
    pair.first.raw = half_broken
    for _ in range(3):
        await pair.pool.call(*HEAD)
    assert pair.asked() == [1, 3]

    pair.first.raw = None
    await pair.clock.sleep(POLICY.half_life_seconds)
    await pair.pool.call(*HEAD)
    assert pair.asked() == [0, 1]

    await pair.clock.sleep(10 * POLICY.half_life_seconds)
    await pair.pool.call(*HEAD)
    assert pair.asked() == [1, 0]


async def test_failures_in_a_row_cool_down(pair: Pair) -> None:
    """A provider that failed twice in a row is offered to nobody until its cool-down, and up with its first answer."""
    pair.first.raw = pair.second.raw = half_broken
    for _ in range(2):
        with pytest.raises(NodeMalformed):
            await pair.pool.call(*HEAD)
    assert [each.up for each in pair.pool.statistics()] == [False, False]
    assert names(pair.pool.healthy()) == names(pair.providers)

    pair.second.raw = None
    await pair.pool.call(*HEAD)
    assert [(each.up, each.failures) for each in pair.pool.statistics()] == [(False, 3), (True, 0)]
    assert names(pair.pool.healthy()) == names(pair.providers[1:])

    await pair.clock.sleep(POLICY.cool_down_seconds)
    assert [each.up for each in pair.pool.statistics()] == [False, True]
    assert len(pair.pool.healthy()) == 2
    pair.first.raw = None
    await pair.pool.compare_heads()
    assert [each.up for each in pair.pool.statistics()] == [True, True]


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
        assert names([node, pair.pool.another(node)]) == names(pair.providers)
    pair.first.raw = half_broken
    with pytest.raises(NodeMalformed), pair.pool.pinned() as node:
        await node.call(*HEAD)

    with pair.pool.pinned() as node:
        assert names([node]) == names(pair.providers[1:])
    assert [each.failures for each in pair.pool.statistics()] == [1, 0]


async def test_what_a_pinned_provider_said_may_be_the_failure(pair: Pair) -> None:
    """An answer that arrived and was found wrong counts against the provider too, in a row until one was right."""

    async def disbelieve() -> None:
        with pair.pool.pinned() as node:
            await node.call(*HEAD)
            raise NodeMalformed("header", "of another block")

    for _ in range(3):
        with pytest.raises(NodeMalformed):
            await disbelieve()

    assert sorted(each.failures for each in pair.pool.statistics()) == [1, 2]


@pytest.mark.fault(33)
async def test_quarantine_is_longer_than_a_cool_down(pair: Pair) -> None:
    """A provider in quarantine is asked nothing until it is over, and its reason is there to read."""
    with pair.pool.pinned() as node, capture_logs() as logs:
        pair.pool.quarantine(node, "left a log out")
        pair.pool.quarantine(node, "left a log out")

    await pair.clock.sleep(POLICY.quarantine_seconds - 1)
    await pair.pool.call(*HEAD)
    assert pair.asked() == [0, 1]
    assert names(pair.pool.healthy()) == names(pair.providers[1:])
    assert [(each.up, each.quarantine) for each in pair.pool.statistics()] == [(False, "left a log out"), (True, None)]
    assert [(log["event"], log["reason"]) for log in logs] == [("provider in quarantine", "left a log out")]

    await pair.clock.sleep(1)
    await pair.pool.call(*HEAD)
    assert pair.asked() == [1, 0]
    assert [each.quarantine for each in pair.pool.statistics()] == [None, None]


@pytest.mark.fault(33)
async def test_no_answer_is_better_than_a_liars(pair: Pair) -> None:
    """When all are in quarantine nobody is asked, not even as a last resort, and the error says why."""
    for provider in pair.providers:
        pair.pool.quarantine(provider, "lied")

    with pytest.raises(NodeUnreachable, match="all are in quarantine") as caught:
        await pair.pool.call(*HEAD)
    with pytest.raises(NodeUnreachable, match="all are in quarantine"), pair.pool.pinned():
        pass

    assert str(caught.value).count("lied") == 2
    assert pair.pool.healthy() == ()
    assert pair.asked() == [0, 0]


@pytest.mark.fault(33)
async def test_wrong_chain_after_the_start_loses_only_that_provider(pair: Pair) -> None:
    """A provider that comes back as a node of another chain goes into quarantine while another one is left."""
    await pair.pool.call(*HEAD)
    pair.first.raw = broken
    await pair.pool.call(*HEAD)
    await pair.clock.sleep(10 * POLICY.half_life_seconds)
    pair.first.raw, pair.first.fault = None, lambda method, _: "0x1" if method == "eth_chainId" else PASS

    assert await pair.pool.call(*HEAD) is not None
    assert pair.pool.statistics()[0].quarantine == "serves chain id 1, expected 31337"

    pair.second.raw = broken
    with pytest.raises(NodeUnreachable):
        await pair.pool.call(*HEAD)
    pair.second.raw, pair.second.fault = None, pair.first.fault
    with pytest.raises(ConfigError, match="serves chain id 1"):
        await pair.pool.call(*HEAD)


async def test_alone_another_is_the_same(pool: ProviderPool) -> None:
    """With one provider there is no other."""
    with pool.pinned() as node:
        assert pool.another(node) is node


def test_empty_pool_is_a_bug() -> None:
    """A pool has a provider."""
    with pytest.raises(InvariantBroken):
        ProviderPool([], JumpClock())
