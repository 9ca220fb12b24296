"""The whole way from a real node to the journal: following, reorgs, silent moves, lost connections, restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import pytest_asyncio

from keeper.chain.follower import Follower, FollowerOptions
from keeper.chain.heads import HeadOptions, Heads, HeadSlot
from keeper.chain.pool import ProviderPool
from keeper.chain.retry import NO_RETRY, RetryPolicy
from keeper.chain.rpc import Provider
from keeper.chain.subscription import SubscriptionOptions
from keeper.chain.watch import Watch
from keeper.chain.window import Window
from keeper.core.errors import FinalityViolated, NodeUnreachable
from keeper.core.facts import BlockApplied, BlockFinalized, BlockReverted, ContractRead, ReadRequest
from keeper.core.ids import Address
from keeper.lab.localchain.node import NodeOptions, running_node
from keeper.lab.localchain.rpc import LabRpc
from tests.chain_ingestion.emitter import Emitter
from tests.chain_ingestion.fakes import HandClock, Journal, JumpClock, Ledger, Troubles
from tests.chain_ingestion.scripted import CHAIN_ID, EVENT, NAMED

pytestmark = [pytest.mark.chain, pytest.mark.slow]

DEEP = FollowerOptions(finality_depth_blocks=64, retry=NO_RETRY)
NUMBER = b"\x01"
REVERTS = b""


class Rig:
    """A real node, an emitter on it, and a follower of it."""

    def __init__(self, pool: ProviderPool, emitter: Emitter, root: Address, ws_url: str) -> None:
        self.pool = pool
        self.emitter = emitter
        self.root = root
        self.ws_url = ws_url
        self.troubles = Troubles()

    def follower(self, journal: Journal, options: FollowerOptions = DEEP, window: Window | None = None) -> Follower:
        """Return a follower that writes to a journal."""
        reads = [ReadRequest(self.root, NUMBER), ReadRequest(self.root, REVERTS)]
        watch = Watch([Ledger(self.root, [EVENT, NAMED], NAMED, reads)])
        start = window or Window(0)
        return Follower(CHAIN_ID, self.pool, watch, journal, JumpClock(), start, options, on_error=self.troubles)


@pytest_asyncio.fixture
async def rig() -> AsyncIterator[Rig]:
    """A node of this test's own, finality two blocks behind."""
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(running_node(NodeOptions(timestamp=1_700_000_000)))
        emitter = Emitter(await stack.enter_async_context(LabRpc(node.http_url)))
        clock = JumpClock()
        provider = Provider(node.http_url, CHAIN_ID, clock)
        pool = await stack.enter_async_context(ProviderPool([provider], clock))
        yield Rig(pool, emitter, await emitter.deploy(), node.ws_url)


async def test_fifty_blocks_are_followed(rig: Rig) -> None:
    """Fifty blocks, each with a log, come through whole: linked, with reads at each block's own state, and finality."""
    journal = Journal()
    follower = rig.follower(journal, FollowerOptions(retry=NO_RETRY))
    await follower.follow(await rig.emitter.head())

    for number in range(50):
        await follower.follow(await rig.emitter.emit(rig.root, EVENT, bytes([number])))

    followed = journal.applied[-50:]
    assert journal.chain == await rig.emitter.branch()
    assert [log.data for fact in followed for log in fact.logs] == [bytes([number]) for number in range(50)]
    assert [fact.reads[0].output for fact in followed] == [fact.header.number.to_bytes(32, "big") for fact in followed]
    assert {fact.reads[1] for fact in followed} == {ContractRead(rig.root, REVERTS, None, "execution reverted")}
    assert rig.troubles.errors == []
    final = [fact.number for fact in journal.facts if isinstance(fact, BlockFinalized)]
    assert final == list(range(final[0], followed[-1].header.number - 1))


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
async def test_reorgs_are_undone_and_redone(rig: Rig, depth: int) -> None:
    """A reorg of a real node is one group that ends in the node's own chain, logs included."""
    journal = Journal()
    follower = rig.follower(journal)
    for number in range(8):
        await follower.follow(await rig.emitter.emit(rig.root, EVENT, bytes([number])))

    await follower.follow(await rig.emitter.reorg(depth))

    group = journal.groups[-1]
    assert [type(fact) for fact in group] == [*[BlockReverted] * depth, *[BlockApplied] * depth]
    assert [fact.logs for fact in group if isinstance(fact, BlockApplied)] == [()] * depth
    assert journal.chain == await rig.emitter.branch()
    assert rig.troubles.errors == []


async def test_head_that_moved_down_silently(rig: Rig) -> None:
    """A node whose head moved down is lagging until a new block says otherwise; then the old ones are abandoned."""
    journal = Journal()
    follower = rig.follower(journal)
    await follower.follow(await rig.emitter.head())
    snapshot = await rig.emitter.snapshot()
    for number in range(4):
        await follower.follow(await rig.emitter.emit(rig.root, EVENT, bytes([number])))
    held = list(journal.chain)

    await follower.follow(await rig.emitter.go_back(snapshot))
    assert journal.chain == held

    await follower.follow(await rig.emitter.emit(rig.root, EVENT, b"again"))
    assert journal.chain == await rig.emitter.branch()
    assert journal.applied[-1].logs[0].data == b"again"
    assert len([fact for fact in journal.groups[-1] if isinstance(fact, BlockReverted)]) == 4


async def test_replaced_final_block_halts(rig: Rig) -> None:
    """A reorg below what the chain called final stops the process."""
    journal = Journal()
    follower = rig.follower(journal, FollowerOptions(retry=NO_RETRY))
    await follower.follow(await rig.emitter.mine(10))

    with pytest.raises(FinalityViolated):
        await follower.follow(await rig.emitter.reorg(5))


async def test_restart_after_a_reorg(rig: Rig) -> None:
    """A restarted follower joins by hash: what was abandoned while it was down is reverted first."""
    journal = Journal()
    before = rig.follower(journal)
    for number in range(6):
        await before.follow(await rig.emitter.emit(rig.root, EVENT, bytes([number])))
    await rig.emitter.reorg(3)
    head = await rig.emitter.emit(rig.root, EVENT, b"after")

    await rig.follower(journal, window=Window.resumed(0, journal.chain, 0)).follow(head)

    assert journal.chain == await rig.emitter.branch()
    assert [type(fact) for fact in journal.groups[-1]].count(BlockReverted) == 3


async def test_backfill_then_follow(rig: Rig) -> None:
    """A first start far behind reads final history in ranges, then follows; a contract found on the way is whole."""
    second = await rig.emitter.deploy()
    await rig.emitter.emit(second, EVENT, b"before it was known")
    await rig.emitter.emit(rig.root, NAMED, second)
    for number in range(30):
        await rig.emitter.emit(second if number % 2 else rig.root, EVENT, bytes([number]))
    journal = Journal()
    options = FollowerOptions(finality_depth_blocks=4, gap_blocks_max=10, range_blocks_max=12, retry=NO_RETRY)

    await rig.follower(journal, options).follow(await rig.emitter.head())

    logs = [log for fact in journal.backfilled for block in fact.blocks for log in block.logs]
    logs += [log for fact in journal.applied for log in fact.logs]
    assert [log.data for log in logs] == [b"before it was known", second, *(bytes([number]) for number in range(30))]
    assert len(journal.backfilled) == 3
    assert journal.chain[-1] == await rig.emitter.head()


class Gate:
    """A TCP relay in front of a node that can be shut: the connection that dies without the node's help."""

    def __init__(self, target_port: int) -> None:
        self.port = 0
        self._target_port = target_port
        self._writers: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Gate]:
        """Relay connections for the length of the context."""
        server = await asyncio.start_server(self._relay, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for writer in self._writers:
                writer.close()
            await server.wait_closed()
            self._writers.clear()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        node_reader, node_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        self._writers += [writer, node_writer]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_pump(reader, node_writer))
            tasks.create_task(_pump(node_reader, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    except ConnectionError:
        return
    finally:
        writer.close()


@asynccontextmanager
async def following(rig: Rig, journal: Journal, clock: HandClock, *ws_urls: str) -> AsyncIterator[Heads]:
    """Run heads and follower as the daemon does."""
    slot = HeadSlot()
    options = HeadOptions(
        poll_interval_seconds=2.0,
        subscription=SubscriptionOptions(quiet_seconds_max=30.0),
        reconnect=RetryPolicy(wait_seconds_first=0.5, chance=lambda: 0.0),
    )
    heads = Heads(rig.pool, ws_urls, CHAIN_ID, slot, clock, options, rig.troubles)
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(heads.run()), tasks.create_task(rig.follower(journal).run(slot))]
        try:
            yield heads
        finally:
            for task in running:
                task.cancel()


async def test_websocket_drives_the_follower(rig: Rig) -> None:
    """With a websocket each block is followed at once, no clock needed, reorgs included."""
    journal = Journal()
    async with following(rig, journal, HandClock(), rig.ws_url):
        await journal.wait_tip(*await rig.emitter.head())
        for number in range(10):
            await journal.wait_tip(*await rig.emitter.emit(rig.root, EVENT, bytes([number])))
        await journal.wait_tip(*await rig.emitter.reorg(3))

        assert journal.chain == await rig.emitter.branch()


async def test_gap_while_the_websocket_is_down(rig: Rig) -> None:
    """Blocks mined while the websocket was down are found by polling, and by its first poll when it is back."""
    journal, clock = Journal(), HandClock()
    gate = Gate(int(rig.ws_url.rsplit(":", 1)[1]))
    async with AsyncExitStack() as gate_open:
        await gate_open.enter_async_context(gate.open())
        async with following(rig, journal, clock, f"ws://127.0.0.1:{gate.port}"):
            await journal.wait_tip(*await rig.emitter.head())
            await journal.wait_tip(*await rig.emitter.emit(rig.root, EVENT, b"up"))
            await gate_open.aclose()
            assert isinstance(await rig.troubles.wait_next(), NodeUnreachable)

            polled = await rig.emitter.mine(30)
            clock.advance(2.0)
            await journal.wait_tip(*polled)

            await rig.emitter.emit(rig.root, EVENT, b"down")
            missed = await rig.emitter.mine(5)
            await gate_open.enter_async_context(gate.open())
            clock.advance(1.0)
            await journal.wait_tip(*missed)
            await journal.wait_tip(*await rig.emitter.emit(rig.root, EVENT, b"up again"))

            assert journal.chain == await rig.emitter.branch()
            assert [log.data for fact in journal.applied for log in fact.logs] == [b"up", b"down", b"up again"]
