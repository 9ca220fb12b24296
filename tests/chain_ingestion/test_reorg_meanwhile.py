"""A reorg while another is being resolved: whatever was under way, the journal holds a chain, and ends on the head."""

from __future__ import annotations

import pytest

from keeper.chain.follower import Follower, FollowerOptions
from keeper.chain.pool import ProviderPool
from keeper.chain.retry import NO_RETRY
from keeper.chain.watch import Watch
from keeper.chain.window import Window
from keeper.core.facts import ReadRequest
from tests.chain_ingestion.fakes import Journal, JumpClock, Ledger
from tests.chain_ingestion.scripted import CHAIN_ID, EVENT, PASS, ROOT, Json, ScriptedServer, hashes

REQUESTS = range(1, 16)
"""At which request of the first resolution the second reorg comes; from the last on it comes too late to matter."""


def follower(pool: ProviderPool, journal: Journal) -> Follower:
    """Return a follower from the genesis block on."""
    watch = Watch([Ledger(ROOT, [EVENT], None, [ReadRequest(ROOT, b"\x50")])])
    options = FollowerOptions(finality_depth_blocks=12, gap_blocks_max=20, retry=NO_RETRY)
    return Follower(CHAIN_ID, pool, watch, journal, JumpClock(), Window(0), options)


def fork(server: ScriptedServer, depth: int, blocks: int, salt: str) -> None:
    """Replace the newest blocks; the node forgets the old ones, as nodes without archives do."""
    for block in server.chain.branch[-depth:]:
        server.chain.by_hash.pop(block.header.hash)
    server.chain.fork(depth)
    server.chain.mine_many(blocks, salt=salt)


class Meanwhile:
    """Lets a reorg come at a request, once."""

    def __init__(self, server: ScriptedServer, at: int, depth: int) -> None:
        self._server = server
        self._left = at
        self._depth = depth

    def __call__(self, _method: str, _params: list[Json]) -> Json:
        """Count a request."""
        self._left -= 1
        if self._left == 0:
            fork(self._server, self._depth, self._depth + 1, "second")
        return PASS


@pytest.mark.fault(37)
@pytest.mark.parametrize("depth", [1, 3, 6])
@pytest.mark.parametrize("at", REQUESTS)
async def test_a_reorg_while_a_reorg_is_resolved(
    server: ScriptedServer, pool: ProviderPool, at: int, depth: int
) -> None:
    """At whichever request the second reorg comes, nothing half is recorded, and the next head ends on it."""
    journal = Journal()
    following = follower(pool, journal)
    server.chain.mine_many(10)
    await following.follow(server.chain.head)
    fork(server, 4, 5, "first")
    whole = [journal.chain.copy(), hashes(server.chain.branch)]
    server.fault = Meanwhile(server, at, depth)

    await following.follow(server.chain.head)
    assert journal.chain in [*whole, hashes(server.chain.branch)]  # what could not be finished was not begun
    server.fault = None
    server.chain.mine_many(1, salt="after")
    await following.follow(server.chain.head)

    assert journal.chain == hashes(server.chain.branch)


@pytest.mark.fault(37)
@pytest.mark.parametrize("at", REQUESTS)
async def test_a_reorg_while_ranges_are_filled(server: ScriptedServer, pool: ProviderPool, at: int) -> None:
    """A reorg of the newest blocks while a long gap is filled leaves a chain, and the next head ends on it."""
    journal = Journal()
    following = follower(pool, journal)
    server.chain.mine_many(2)
    await following.follow(server.chain.head)
    server.chain.mine_many(60)
    server.fault = Meanwhile(server, at, 6)
    await following.follow(server.chain.head)
    server.fault = None
    server.chain.mine_many(1, salt="after")
    await following.follow(server.chain.head)

    held = dict(hashes(server.chain.branch))
    assert journal.chain[-1] == (server.chain.head.number, server.chain.head.hash)
    assert all(held[number] == block_hash for number, block_hash in journal.chain)
