"""What several providers must say alike: nothing is decided on what they dispute."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from aiohttp import web

from keeper.chain.follower import Follower, FollowerOptions
from keeper.chain.health import HealthPolicy
from keeper.chain.pool import ProviderPool
from keeper.chain.retry import NO_RETRY
from keeper.chain.rpc import Provider
from keeper.chain.watch import Watch
from keeper.chain.window import Window
from keeper.core.errors import InvariantBroken, NodeMalformed, NodeRefused, NodeUnreachable
from keeper.core.facts import ReadRequest
from keeper.core.ids import to_hex
from tests.chain_ingestion.conftest import OPTIONS
from tests.chain_ingestion.fakes import Journal, JumpClock, Ledger, Troubles
from tests.chain_ingestion.scripted import (
    CHAIN_ID,
    EVENT,
    NAMED,
    PASS,
    ROOT,
    Json,
    Refuse,
    ScriptedChain,
    ScriptedServer,
    hashes,
    log_of,
    serving,
)

READS = (ReadRequest(ROOT, b"\x50"), ReadRequest(ROOT, b""))
"""The second one reverts."""
POLICY = HealthPolicy(failures_max=2)


class Jury:
    """Servers of one chain behind a pool that wants two of them to agree, and a follower on it."""

    def __init__(self, servers: list[ScriptedServer], pool: ProviderPool) -> None:
        self.servers = servers
        self.chain = servers[0].chain
        self.pool = pool
        self.journal = Journal()
        self.troubles = Troubles()
        options = FollowerOptions(finality_depth_blocks=8, retry=NO_RETRY)
        watch = Watch([Ledger(ROOT, [EVENT, NAMED], NAMED, READS)])
        self.follower = Follower(
            CHAIN_ID, pool, watch, self.journal, JumpClock(), Window(0), options, on_error=self.troubles
        )

    async def follow(self) -> None:
        """Follow the newest head."""
        await self.follower.follow(self.chain.head)

    def quarantined(self) -> list[int]:
        """Which servers are in quarantine."""
        return [place for place, each in enumerate(self.pool.statistics()) if each.quarantine is not None]

    def head_call(self) -> tuple[str, tuple[object, ...]]:
        """Return a read at the head."""
        return ("eth_call", ({"to": to_hex(ROOT), "data": "0x50"}, {"blockHash": to_hex(self.chain.head.hash)}))


@pytest_asyncio.fixture(params=[3])
async def jury(request: pytest.FixtureRequest) -> AsyncIterator[Jury]:
    """Some servers, a quorum of two."""
    chain, clock = ScriptedChain(), JumpClock()
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(serving(chain)) for _ in range(request.param)]
        providers = [Provider(server.url, CHAIN_ID, clock, OPTIONS) for server in servers]
        pool = await stack.enter_async_context(ProviderPool(providers, clock, POLICY, quorum=2))
        yield Jury(servers, pool)


def lie(method: str, answer: Json) -> object:
    """Return a fault that answers one method so."""
    return lambda asked, _: answer if asked == method else PASS


LIES = {
    "a log left out": ("eth_getLogs", []),
    "another state": ("eth_call", "0x00"),
}


async def test_a_quorum_asks_as_many_as_it_needs(jury: Jury) -> None:
    """With a quorum of two, two providers are asked for a head and a third is not."""
    jury.chain.mine(log_of(b"seen"))
    await jury.follow()

    assert [len(server.bodies) > 0 for server in jury.servers] == [True, True, False]
    assert jury.journal.applied[-1].logs == jury.chain.branch[-1].logs
    assert jury.quarantined() == []


@pytest.mark.fault(33)
@pytest.mark.parametrize("liar", [0, 1])
@pytest.mark.parametrize("name", list(LIES))
async def test_the_majority_settles_a_dispute(jury: Jury, name: str, liar: int) -> None:
    """When two providers differ a third one decides, and who was alone goes into quarantine."""
    jury.chain.mine(log_of(b"seen"))
    jury.servers[liar].fault = lie(*LIES[name])  # type: ignore[assignment] # one function type for many faults

    await jury.follow()

    assert jury.journal.applied[-1].logs == jury.chain.branch[-1].logs
    assert jury.journal.applied[-1].reads[0].output == ROOT + jury.chain.head.hash
    assert jury.quarantined() == [liar]
    assert "otherwise than the majority" in str(jury.pool.statistics()[liar].quarantine)


@pytest.mark.fault(33)
@pytest.mark.parametrize("jury", [2], indirect=True)
async def test_nothing_is_decided_on_disputed_data(jury: Jury) -> None:
    """When two providers differ and there is no third, the head is not recorded and nobody is condemned."""
    jury.chain.mine(log_of(b"seen"))
    jury.servers[1].fault = lie("eth_getLogs", [])  # type: ignore[assignment] # one function type for many faults
    await jury.follow()

    assert jury.journal.groups == []
    assert "disagree about eth_getBlockByHash, eth_getLogs, eth_call" in str(jury.troubles.errors[-1])
    assert jury.quarantined() == []
    assert [each.failures for each in jury.pool.statistics()] == [0, 0]

    jury.servers[1].fault = None
    await jury.follow()
    assert jury.journal.chain == hashes(jury.chain.branch)


@pytest.mark.fault(33)
@pytest.mark.parametrize("jury", [2], indirect=True)
async def test_a_provider_that_is_down_does_not_lower_the_quorum(jury: Jury) -> None:
    """One of two that does not answer is not done without: the head waits."""
    jury.chain.mine(log_of(b"seen"))
    jury.servers[1].raw = lambda _: web.Response(status=503)

    await jury.follow()

    assert jury.journal.groups == []
    assert isinstance(jury.troubles.errors[-1], NodeUnreachable)
    assert [each.failures for each in jury.pool.statistics()] == [0, 1]


@pytest.mark.parametrize("jury", [2], indirect=True)
async def test_quarantine_does_not_lower_the_quorum(jury: Jury) -> None:
    """Too few providers that can be trusted is an error that says so."""
    jury.pool.quarantine(jury.pool.healthy()[0], "lied")

    with pytest.raises(NodeUnreachable, match="1 of the 2 providers that must agree can be asked"):
        await jury.pool.agreed([jury.head_call()], 2)


async def test_a_provider_that_is_down_is_replaced(jury: Jury) -> None:
    """While there are others, one that fails is replaced by the next."""
    jury.chain.mine(log_of(b"seen"))
    jury.servers[0].raw = lambda _: web.Response(status=503)

    await jury.follow()

    assert jury.journal.chain == hashes(jury.chain.branch)
    assert [each.failures > 0 for each in jury.pool.statistics()] == [True, False, False]


async def test_a_slow_provider_is_waited_for(jury: Jury) -> None:
    """The second of two that must agree is waited for, however long the first has answered."""
    gate = asyncio.Event()
    jury.servers[1].gate = gate
    agreeing = asyncio.create_task(jury.pool.agreed([jury.head_call()], 2))
    await jury.servers[1].waiting.wait()
    for _ in range(100):
        await asyncio.sleep(0)
    assert not agreeing.done()

    gate.set()
    assert await agreeing == [to_hex(ROOT + jury.chain.head.hash)]


async def test_a_gap_is_agreed_block_by_block(jury: Jury) -> None:
    """The blocks between are agreed by hash like the head: what was guessed by number alone is not taken."""
    await jury.follow()
    jury.chain.mine_many(4)

    await jury.follow()

    assert jury.journal.chain == hashes(jury.chain.branch)
    assert jury.quarantined() == []


async def test_reverts_agree_whatever_their_words(jury: Jury) -> None:
    """Clients word a revert differently; its data is what counts."""

    def reverting(words: str, data: str) -> object:
        def fault(method: str, _: list[Json]) -> Json:
            if method == "eth_call":
                raise Refuse(3, f"execution reverted {words}", data)
            return PASS

        return fault

    for server, words in zip(jury.servers, ("a", "b", "c"), strict=True):
        server.fault = reverting(words, "0x01")  # type: ignore[assignment] # one function type for many faults
    (answer,) = await jury.pool.agreed([jury.head_call()], 3)
    assert isinstance(answer, NodeRefused)
    assert answer.reverted

    jury.servers[1].fault = reverting("b", "0x02")  # type: ignore[assignment] # one function type for many faults
    with pytest.raises(NodeMalformed, match="disagree about eth_call"):
        await jury.pool.agreed([jury.head_call()], 3)


async def test_a_refusal_is_no_agreement(jury: Jury) -> None:
    """Providers that all refuse have agreed on nothing."""

    def refuse(method: str, _: list[Json]) -> Json:
        if method == "eth_call":
            raise Refuse(-32000, "header not found")
        return PASS

    for server in jury.servers:
        server.fault = refuse
    with pytest.raises(NodeRefused, match="header not found"):
        await jury.pool.agreed([jury.head_call()], 2)


def test_a_quorum_is_of_the_providers_there_are() -> None:
    """A quorum beyond the number of providers could never be had."""
    clock = JumpClock()
    with pytest.raises(InvariantBroken, match="1 providers, a quorum of 2"):
        ProviderPool([Provider("http://127.0.0.1:1", CHAIN_ID, clock)], clock, quorum=2)
