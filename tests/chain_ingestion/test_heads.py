"""Heads are heard of whatever happens to the websocket, and never pile up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from keeper.chain.heads import HeadOptions, Heads, HeadSlot
from keeper.chain.pool import ProviderPool
from keeper.chain.retry import RetryPolicy
from keeper.chain.subscription import SubscriptionOptions
from keeper.chain.wire import HeadHint
from keeper.core.errors import ConfigError, NodeMalformed, NodeUnreachable
from tests.chain_ingestion.fakes import WAIT_SECONDS_MAX, Beat, HandClock, Troubles
from tests.chain_ingestion.scripted import CHAIN_ID, ScriptedChain, ScriptedServer, header_json, some_hash

OPTIONS = HeadOptions(
    poll_interval_seconds=2.0,
    subscription=SubscriptionOptions(heartbeat_seconds=5.0, quiet_seconds_max=10.0, connect_seconds_max=5.0),
    reconnect=RetryPolicy(wait_seconds_first=1.0, chance=lambda: 1.0),
)


class Rig:
    """Heads that listen, with the hand of their clock."""

    def __init__(
        self, pool: ProviderPool, *ws_urls: str, options: HeadOptions = OPTIONS, chain_id: int = CHAIN_ID
    ) -> None:
        self.beats: dict[str, Beat] = {}
        self.clock = HandClock()
        self.slot = HeadSlot()
        self.troubles = Troubles()
        self.heads = Heads(pool, ws_urls, chain_id, self.slot, self.clock, options, self.troubles, self._watched)

    def _watched(self, part: str, _own_seconds: float = 0.0) -> Beat:
        return self.beats.setdefault(part, Beat())

    async def next(self) -> HeadHint:
        """Wait for the next hint."""
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            return await self.slot.wait_hint()

    def degraded(self) -> bool:
        """Whether all sources are silent."""
        return self.heads.degraded

    async def until(self, hint: HeadHint) -> None:
        """Wait until this hint comes."""
        while await self.next() != hint:
            pass


@asynccontextmanager
async def running(rig: Rig) -> AsyncIterator[Rig]:
    """Run the heads for the length of the context."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(rig.heads.run())
        try:
            yield rig
        finally:
            task.cancel()


async def test_newest_hint_of_a_source_replaces_the_older() -> None:
    """Hints do not pile up: each source has one place, and the sources take turns."""
    slot = HeadSlot()
    for number in range(1000):
        slot.offer("websocket", HeadHint(number, some_hash(number)))
        slot.offer("poll", HeadHint(number - 1, some_hash(number - 1)))

    assert (await slot.wait_hint()).number == 999
    assert (await slot.wait_hint()).number == 998
    assert slot._hints == {}


async def test_without_websocket_heads_are_polled(server: ScriptedServer, pool: ProviderPool) -> None:
    """Without a websocket the head is asked for at every interval."""
    async with running(Rig(pool)) as rig:
        assert await rig.next() == server.chain.head
        server.chain.mine()
        rig.clock.advance(2.0)
        assert await rig.next() == server.chain.head


async def test_websocket_heads_are_handed_on(server: ScriptedServer, pool: ProviderPool) -> None:
    """A head that the websocket announces is a hint at once, without a poll."""
    async with running(Rig(pool, server.ws_url)) as rig:
        await rig.next()
        await rig.next()  # the poll that closes the gap before the subscription
        server.bodies.clear()
        for number in range(3):
            hint = HeadHint(number, some_hash(number))
            await server.announce(hint)
            assert await rig.next() == hint
        rig.clock.advance(1.9)

    assert server.methods == []


async def test_each_source_has_a_pulse_of_its_own(server: ScriptedServer, pool: ProviderPool) -> None:
    """A websocket that lets us wait is under way, each of its heads is progress, and no poll is taken for either."""
    async with running(Rig(pool, server.ws_url)) as rig:
        await rig.next()
        await rig.next()
        before = rig.beats["websocket 0"].progress
        await server.announce(HeadHint(9, some_hash(9)))
        await rig.next()
        units = {part: beat.units for part, beat in rig.beats.items()}
        progress = rig.beats["websocket 0"].progress - before

    assert (units, progress) == ({"poll": 0, "compared": 0, "websocket 0": 1}, 1)
    assert [beat.units for beat in rig.beats.values()] == [0, 0, 0]


@pytest.mark.fault(29)
async def test_quiet_websocket_is_backed_by_polls(server: ScriptedServer, pool: ProviderPool) -> None:
    """A websocket that is quiet for an interval is backed by a poll: a head that moved down is announced nowhere."""
    async with running(Rig(pool, server.ws_url)) as rig:
        await rig.next()
        await rig.next()
        await server.announce(HeadHint(9, some_hash(9)))
        await rig.next()
        server.chain.mine()

        rig.clock.advance(2.0)

        await rig.until(server.chain.head)


@pytest.mark.fault(27, 28)
async def test_lost_websocket_is_connected_again(server: ScriptedServer, pool: ProviderPool) -> None:
    """When the connection is lost heads are polled, it is connected again, and the gap is closed by a poll."""
    async with running(Rig(pool, server.ws_url)) as rig:
        await rig.next()
        await rig.next()
        for socket in server.sockets:
            await socket.close()
        assert isinstance(await rig.troubles.wait_next(), NodeUnreachable)
        server.chain.mine_many(3)

        rig.clock.advance(1.0)
        await rig.until(server.chain.head)
        hint = HeadHint(77, some_hash(77))
        await server.announce(hint)
        await rig.until(hint)

    assert len(server.sockets) == 2


async def test_websocket_that_is_down_does_not_stop_polls(server: ScriptedServer, pool: ProviderPool) -> None:
    """While no websocket can be connected heads are polled; each failure is told without the key."""
    async with running(Rig(pool, "ws://127.0.0.1:1/secretkey123")) as rig:
        assert await rig.next() == server.chain.head
        text = str(await rig.troubles.wait_next())
        server.chain.mine()
        rig.clock.advance(2.0)
        assert await rig.next() == server.chain.head

    assert text.startswith("ws://127.0.0.1:1: ")
    assert "secretkey" not in text


@pytest.mark.fault(27)
async def test_all_endpoints_are_listened_to(
    server: ScriptedServer, second: ScriptedServer, pool: ProviderPool
) -> None:
    """Several websockets are heard at the same time, each with its own place: one that is down costs nothing."""
    async with running(Rig(pool, "ws://127.0.0.1:1", server.ws_url, second.ws_url)) as rig:
        await rig.troubles.wait_next()
        await server.subscribed.wait()
        await second.subscribed.wait()
        hints = [HeadHint(number, some_hash(number)) for number in (7, 8)]
        for each, hint in zip((server, second), hints, strict=True):
            await each.announce(hint)
        for hint in hints:
            await rig.until(hint)


@pytest.mark.fault(27)
async def test_silence_is_told_once_and_ends_with_a_head(server: ScriptedServer, pool: ProviderPool) -> None:
    """When no source announces anything new for too long the chain's heads are degraded, until one does."""
    async with running(Rig(pool)) as rig:
        for _ in range(6):
            await rig.next()
            rig.clock.advance(2.0)
        await rig.next()
        assert rig.degraded()
        assert "no source announced a new one for 12 s" in str(await rig.troubles.wait_next())

        server.chain.mine()
        rig.clock.advance(2.0)
        await rig.until(server.chain.head)
        assert not rig.degraded()
        assert len(rig.troubles.errors) == 1


@pytest.mark.fault(27)
async def test_patience_follows_the_chain(server: ScriptedServer, pool: ProviderPool) -> None:
    """Three times what a block usually takes is the silence that is borne, within bounds."""
    options = HeadOptions(poll_interval_seconds=2.0, quiet_seconds_min=5.0)
    async with running(Rig(pool, options=options)) as rig:
        assert rig.heads.patience_seconds == 36.0
        for blocks in (1, 2, 1):
            await rig.next()
            server.chain.mine_many(blocks)
            rig.clock.advance(2.0)
        await rig.until(server.chain.head)

        assert 5.0 <= rig.heads.patience_seconds <= 6.0


@pytest.mark.fault(30)
async def test_heads_of_several_providers_are_compared(
    server: ScriptedServer, second: ScriptedServer, pool_of_two: ProviderPool
) -> None:
    """The newest head that any provider has is a hint, and who is far behind it is known to lag."""
    second.chain = ScriptedChain()
    second.chain.mine_many(5)
    async with running(Rig(pool_of_two)) as rig:
        assert await rig.next() == server.chain.head
        rig.clock.advance(15.0)
        await rig.until(second.chain.head)

    assert [each.lag_blocks for each in pool_of_two.statistics()] == [5, 0]
    with pool_of_two.pinned() as node:
        assert node is pool_of_two.healthy()[0]
        assert await node.call("eth_getBlockByNumber", ("latest", False)) == header_json(second.chain.branch[-1].header)


@pytest.mark.fault(33)
async def test_websocket_that_changes_chains_is_left_alone(server: ScriptedServer, pool: ProviderPool) -> None:
    """A websocket that comes back as another chain's is told of and left alone; heads are polled."""
    async with running(Rig(pool, server.ws_url)) as rig:
        await server.subscribed.wait()
        server.ws_chain_id = "0x1"
        for socket in server.sockets:
            await socket.close()
        assert isinstance(await rig.troubles.wait_next(), NodeUnreachable)
        rig.clock.advance(1.0)
        assert isinstance(await rig.troubles.wait_next(), ConfigError)

        server.chain.mine()
        rig.clock.advance(2.0)
        await rig.until(server.chain.head)


@pytest.mark.fault(27)
async def test_silent_websocket_is_given_up(server: ScriptedServer, pool: ProviderPool) -> None:
    """A connection that stays open and sends no head is given up after the quiet limit."""
    options = HeadOptions(subscription=SubscriptionOptions(quiet_seconds_max=0.02))
    async with running(Rig(pool, server.ws_url, options=options)) as rig:
        error = await rig.troubles.wait_next()

    assert "no head for 0.02 s" in str(error)


@pytest.mark.fault(27)
async def test_dead_peer_is_noticed_by_pings(pool: ProviderPool) -> None:
    """A peer that answers no ping is gone, however open its connection looks."""
    done = asyncio.Event()

    async def deaf(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        for number, result in enumerate((hex(CHAIN_ID), "0xfeed"), 1):
            await socket.receive()
            await socket.send_json({"jsonrpc": "2.0", "id": number, "result": result})
        await done.wait()
        return socket

    application = web.Application()
    application.router.add_get("/", deaf)
    runner = web.AppRunner(application, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    options = HeadOptions(subscription=SubscriptionOptions(heartbeat_seconds=0.04))

    async with running(Rig(pool, f"ws://127.0.0.1:{runner.addresses[0][1]}/", options=options)) as rig:
        error = await rig.troubles.wait_next()
    done.set()
    await runner.cleanup()

    assert "websocket lost" in str(error)


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("<html>", "not JSON-RPC"),
        ('{"method":"eth_subscription","params":{"subscription":"0xfeed","result":{"number":"7"}}}', "not JSON-RPC"),
        (
            '{"method":"eth_subscription","params":{"subscription":"0xfeed","result":{"number":"7","hash":"0x12"}}}',
            "is not 32 bytes",
        ),
    ],
)
async def test_malformed_message_ends_the_connection(
    server: ScriptedServer, pool: ProviderPool, message: str, reason: str
) -> None:
    """A websocket that sends something else than heads is connected anew."""
    async with running(Rig(pool, server.ws_url)) as rig:
        await rig.next()
        await rig.next()
        await server.sockets[0].send_str(message)
        error = await rig.troubles.wait_next()

    assert isinstance(error, NodeMalformed)
    assert reason in str(error)


async def test_heads_of_another_subscription_are_ignored(server: ScriptedServer, pool: ProviderPool) -> None:
    """Only notices of our own subscription are heads."""
    async with running(Rig(pool, server.ws_url)) as rig:
        await rig.next()
        await rig.next()
        head = {"number": "0x5", "hash": "0x" + "ab" * 32}
        alien = {"method": "eth_subscription", "params": {"subscription": "0xother", "result": head}}
        await server.sockets[0].send_json(alien)
        await server.sockets[0].send_str("the connection ends here")
        await rig.troubles.wait_next()

        assert rig.slot._hints == {}


@pytest.mark.fault(33)
async def test_websocket_of_another_chain_stops_us(server: ScriptedServer, pool: ProviderPool) -> None:
    """A websocket of another chain is the operator's mistake: the process stops."""
    rig = Rig(pool, server.ws_url, chain_id=5)

    with pytest.raises(ExceptionGroup) as caught:
        await rig.heads.run()

    assert caught.group_contains(ConfigError, match="serves chain id 31337, expected 5")


async def test_failed_poll_is_told(server: ScriptedServer, pool: ProviderPool) -> None:
    """A poll that fails is told of and tried again at the next interval."""
    server.raw = lambda _: web.Response(status=503)
    async with running(Rig(pool)) as rig:
        assert isinstance(await rig.troubles.wait_next(), NodeUnreachable)
        server.raw = None
        rig.clock.advance(2.0)
        assert await rig.next() == server.chain.head
