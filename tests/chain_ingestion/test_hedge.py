"""A read that takes too long is asked twice, a send never, and the extra load is bounded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from aiohttp import web

from keeper.chain.hedge import HedgePolicy, Hedges
from keeper.chain.pool import ProviderPool
from keeper.chain.rpc import Provider
from keeper.core.errors import NodeError, NodeMalformed, NodeRefused, NodeUnreachable
from tests.chain_ingestion.conftest import OPTIONS
from tests.chain_ingestion.fakes import WAIT_SECONDS_MAX, HandClock
from tests.chain_ingestion.scripted import CHAIN_ID, Json, ScriptedServer

HEAD = ("eth_getBlockByNumber", ("latest", False))
POLICY = HedgePolicy(seconds_min=0.5, seconds_max=2.0, share_max=0.1)


class Race:
    """Two providers of one chain, and the hand of the clock that measures their delay."""

    def __init__(self, first: ScriptedServer, second: ScriptedServer) -> None:
        self.first, self.second = first, second
        self.clock = HandClock()
        self.outcomes: list[str] = []
        self.gate = asyncio.Event()
        providers = [Provider(each.url, CHAIN_ID, self.clock, OPTIONS) for each in (first, second)]
        self.pool = ProviderPool(
            providers, self.clock, hedge=POLICY, on_count=lambda _, outcome: self.outcomes.append(outcome)
        )

    async def slow_call(self, method: str, params: tuple[object, ...]) -> asyncio.Task[object]:
        """Ask for something that the first provider does not answer until the gate opens."""
        self.first.waiting.clear()
        self.first.gate = self.gate
        task = asyncio.create_task(self.pool.call(method, params))
        await reached(self.first.waiting)
        return task


async def reached(event: asyncio.Event) -> None:
    """Wait for an event, not for ever."""
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        await event.wait()


@pytest_asyncio.fixture
async def race(server: ScriptedServer, second: ScriptedServer) -> AsyncIterator[Race]:
    """An opened race in which both have answered once."""
    second.chain = server.chain
    both = Race(server, second)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(both.pool)
        for node in both.pool.healthy():
            await node.call(*HEAD)
        server.bodies.clear()
        second.bodies.clear()
        yield both
        both.gate.set()


async def test_a_quick_answer_is_asked_for_once(race: Race) -> None:
    """A read that is answered in time goes to one provider."""
    await race.pool.call(*HEAD)

    assert (len(race.first.bodies), len(race.second.bodies), race.outcomes) == (1, 0, [])


async def test_a_slow_read_is_answered_by_the_second(race: Race) -> None:
    """After the delay the next provider is asked; its answer wins, and the first one has not failed, only been slow."""
    reading = await race.slow_call(*HEAD)
    race.clock.advance(0.4)
    await asyncio.sleep(0)
    assert race.second.bodies == []
    race.clock.advance(0.2)

    assert await reading is not None
    assert race.outcomes == ["won"]
    first, second = race.pool.statistics()
    assert (first.up, first.failures, second.failures) == (True, 0, 0)
    assert first.score > second.score


async def test_the_first_may_still_win(race: Race) -> None:
    """The first provider's answer is taken when it comes before the second one's."""
    gate = asyncio.Event()
    race.second.gate = gate
    reading = await race.slow_call(*HEAD)
    race.clock.advance(0.6)
    await reached(race.second.waiting)
    race.gate.set()

    assert await reading is not None
    assert race.outcomes == ["lost"]
    gate.set()


@pytest.mark.fault(4)
async def test_a_send_is_never_hedged(race: Race) -> None:
    """What may have an effect is asked of one provider and waited for."""
    sending = await race.slow_call("eth_sendRawTransaction", ("0x00",))
    race.clock.advance(100.0)
    for _ in range(100):
        await asyncio.sleep(0)
    assert (sending.done(), race.second.bodies) == (False, [])

    race.gate.set()
    with pytest.raises(NodeRefused):
        await sending
    assert race.second.bodies == []


async def test_a_second_that_fails_is_no_answer(race: Race) -> None:
    """When the second provider fails the first one is still waited for."""
    failed = asyncio.Event()

    def broken(_: Json) -> web.Response:
        failed.set()
        return web.Response(status=503)

    race.second.raw = broken
    reading = await race.slow_call(*HEAD)
    race.clock.advance(0.6)
    await reached(failed)
    race.gate.set()

    assert await reading is not None
    assert race.outcomes == ["lost"]


async def test_hedges_are_a_share_of_reads() -> None:
    """However many reads take too long, hedges are no more than their share of them."""
    outcomes: list[str] = []
    clock = HandClock()
    hedges = Hedges(POLICY, clock, outcomes.append)

    async def read() -> str:
        slow = asyncio.Event()

        async def first() -> str:
            await slow.wait()
            return "first"

        async def second() -> str:
            return "second"

        racing = asyncio.create_task(hedges.race(first, second, 0.5, lambda _: True))
        for _ in range(3):
            await asyncio.sleep(0)
        clock.advance(0.6)
        for _ in range(10):
            await asyncio.sleep(0)
        slow.set()
        return await racing

    for _ in range(200):
        await read()

    assert 19 <= outcomes.count("won") <= 21
    assert outcomes.count("denied") == 200 - outcomes.count("won")


@pytest.mark.parametrize(("usual", "delay"), [(None, 2.0), (0.01, 0.5), (1.2, 1.2), (30.0, 2.0)])
def test_the_delay_is_bounded(usual: float | None, delay: float) -> None:
    """A second provider is asked when nearly all answers would have come, never sooner or later than configured."""
    assert Hedges(POLICY, HandClock(), lambda _: None).delay_seconds(usual) == delay


async def test_both_may_fail() -> None:
    """When both fail, the failure of the first is raised."""
    outcomes: list[str] = []
    clock = HandClock()
    hedges = Hedges(POLICY, clock, outcomes.append)
    late = asyncio.Event()

    async def first() -> None:
        await late.wait()
        raise NodeUnreachable("first", "down")

    async def second() -> None:
        late.set()
        raise NodeMalformed("second", "nonsense")

    racing = asyncio.create_task(hedges.race(first, second, 0.5, lambda _: True))
    for _ in range(3):
        await asyncio.sleep(0)
    clock.advance(0.6)

    with pytest.raises(NodeError, match="first: down"):
        await racing
    assert outcomes == ["failed"]


async def test_nothing_is_left_running(race: Race) -> None:
    """A read that is cancelled leaves no request behind."""
    before = asyncio.all_tasks()
    reading = await race.slow_call(*HEAD)
    race.clock.advance(0.1)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading

    assert {
        task for task in asyncio.all_tasks() - before if "_hedges" in repr(task) or "_answered" in repr(task)
    } == set()
