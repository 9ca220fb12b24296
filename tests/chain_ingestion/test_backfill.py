"""Back-fill against providers that refuse, fail and lie: complete ranges or none."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from aiohttp import web

from keeper.chain.backfill import Backfill, Range, RangeSize
from keeper.chain.pool import ProviderPool
from keeper.chain.retry import NO_RETRY, RetryPolicy
from keeper.chain.watch import Watch
from keeper.core.errors import FinalityViolated, KeeperError, NodeError, NodeMalformed, NodeRefused, NodeUnreachable
from keeper.core.facts import BlocksBackfilled, ReadRequest
from keeper.core.ids import Hash32, to_hex
from tests.chain_ingestion.fakes import JumpClock, Ledger, Troubles
from tests.chain_ingestion.folding import hide, invent
from tests.chain_ingestion.scripted import (
    CHAIN_ID,
    EVENT,
    NAMED,
    OTHER,
    PASS,
    ROOT,
    Fault,
    Json,
    Refuse,
    ScriptedServer,
    log_of,
    some_hash,
)

STARTED = b"\x5a" * 32
GENESIS_PARENT = Hash32(bytes(32))


def backfill(pool: ProviderPool, troubles: Troubles, *, attempts: int = 1, blocks_max: int = 64) -> Backfill:
    """Return a back-fill of the scripted chain."""
    watch = Watch([Ledger(ROOT, [EVENT, NAMED], NAMED, [ReadRequest(ROOT, b"\x50")])])
    policy = RetryPolicy(attempts_max=attempts) if attempts > 1 else NO_RETRY
    return Backfill(CHAIN_ID, pool, watch, JumpClock(), blocks_max=blocks_max, policy=policy, on_error=troubles)


async def collect(ranges: AsyncIterator[Range], into: list[BlocksBackfilled]) -> None:
    """Collect ranges until they end or fail."""
    async for found in ranges:
        into.append(found.fact)  # noqa: PERF401 - what came before a failure must stay


def check_complete(server: ScriptedServer, found: list[BlocksBackfilled], last: int) -> None:
    """Compare what was found with the chain: no hole, nothing twice, each log in its block."""
    edges = [(fact.first, fact.last.number) for fact in found]
    assert [first for first, _ in edges] == [0, *(end + 1 for _, end in edges[:-1])]
    assert edges[-1][1] == last
    assert [(block.number, block.hash, block.timestamp, block.logs) for fact in found for block in fact.blocks] == [
        (block.header.number, block.header.hash, block.header.timestamp, block.logs)
        for block in server.chain.branch[: last + 1]
        if block.logs
    ]


def width(params: list[Json]) -> int:
    """How many blocks a getLogs asks for."""
    return int(params[0]["toBlock"], 16) - int(params[0]["fromBlock"], 16) + 1


def refuse_wider(blocks: int) -> Fault:
    """Refuse ranges of more blocks."""

    def fault(method: str, params: list[Json]) -> Json:
        if method == "eth_getLogs" and width(params) > blocks:
            raise Refuse(-32602, "query exceeds max results 20000")
        return PASS

    return fault


@pytest.mark.parametrize("limit", [1, 7, 50])
async def test_refused_ranges_are_split(server: ScriptedServer, pool: ProviderPool, limit: int) -> None:
    """Whatever the provider's limit, the whole history is read, without an attempt of the policy."""
    server.chain.mine_many(120)
    server.fault = refuse_wider(limit)
    found: list[BlocksBackfilled] = []

    await collect(backfill(pool, Troubles()).ranges(0, 120, parent=GENESIS_PARENT, head_number=130), found)

    check_complete(server, found, 120)
    assert max(fact.last.number - fact.first + 1 for fact in found) <= limit
    assert [fact.behind_blocks for fact in found] == [130 - fact.last.number for fact in found]
    assert [bool(fact.reads) for fact in found] == [*[False] * (len(found) - 1), True]


async def test_ranges_too_large_to_answer_are_split(server: ScriptedServer, pool: ProviderPool) -> None:
    """A range whose answer breaks off, as too large ones do, is asked for again in halves."""
    server.chain.mine_many(60)

    def raw(body: Json) -> web.Response | None:
        wide = [each for each in body if each["method"] == "eth_getLogs" and width(each["params"]) > 10]
        return web.Response(text='[{"jsonrpc"') if wide else None

    await pool.call("eth_chainId", ())
    server.raw = raw
    found: list[BlocksBackfilled] = []

    await collect(backfill(pool, Troubles(), attempts=5).ranges(0, 60, parent=GENESIS_PARENT, head_number=70), found)

    check_complete(server, found, 60)


@pytest.mark.parametrize("limit", [64, 7])
async def test_what_calls_must_start_is_read_at_its_own_block(
    server: ScriptedServer, pool: ProviderPool, limit: int
) -> None:
    """A range ends at each block whose logs only calls at its end can complete, and nothing is left out for it."""
    for number in range(50):
        server.chain.mine(*([log_of(b"started", 0, OTHER, STARTED)] if number in (4, 5, 30) else []))
    watch = Watch(
        [Ledger(ROOT, [EVENT, STARTED], None, [ReadRequest(ROOT, b"\x50")], STARTED), Ledger(OTHER, [STARTED])]
    )
    ranges = Backfill(CHAIN_ID, pool, watch, JumpClock(), blocks_max=limit, policy=NO_RETRY)
    found: list[BlocksBackfilled] = []

    await collect(ranges.ranges(0, 49, parent=GENESIS_PARENT, head_number=60), found)

    check_complete(server, found, 49)
    assert [fact.last.number for fact in found if fact.reads] == [5, 6, 31, 49]


async def test_refused_block_is_not_skipped(server: ScriptedServer, pool: ProviderPool) -> None:
    """A single block that is refused ends the back-fill there; nothing after it is yielded."""
    server.chain.mine_many(40)

    def fault(method: str, params: list[Json]) -> Json:
        if method == "eth_getLogs" and int(params[0]["fromBlock"], 16) <= 21 <= int(params[0]["toBlock"], 16):
            raise Refuse(-32000, "internal error")
        return PASS

    server.fault = fault
    found: list[BlocksBackfilled] = []

    with pytest.raises(NodeRefused):
        await collect(backfill(pool, Troubles()).ranges(0, 40, parent=GENESIS_PARENT, head_number=50), found)

    check_complete(server, found, 20)


BROKEN: dict[str, tuple[int, str, type[KeeperError]]] = {
    "html": (200, "<html>", NodeMalformed),
    "truncated": (200, '[{"jsonrpc":"2.0","id":1,"re', NodeMalformed),
    "missing": (200, "[]", NodeMalformed),
    "503": (503, "", NodeUnreachable),
}


@pytest.mark.parametrize("name", list(BROKEN))
@pytest.mark.parametrize("recovers", [True, False])
async def test_broken_answers_are_tried_again(
    server: ScriptedServer, pool: ProviderPool, name: str, *, recovers: bool
) -> None:
    """A broken answer is tried again as the policy allows; when it stays broken the back-fill stops, holding less."""
    server.chain.mine_many(40)
    await pool.call("eth_chainId", ())
    status, text, expected = BROKEN[name]
    failures = [0]

    def raw(body: Json) -> web.Response | None:
        if not isinstance(body, list) or (recovers and failures[0] == 2):
            return None
        failures[0] += 1
        return web.Response(text=text, status=status)

    server.raw = raw
    found: list[BlocksBackfilled] = []
    troubles = Troubles()
    work = collect(backfill(pool, troubles, attempts=3).ranges(0, 40, parent=GENESIS_PARENT, head_number=50), found)

    if recovers:
        await work
        check_complete(server, found, 40)
    else:
        with pytest.raises(expected):
            await work
        assert found == []
    assert [type(error) for error in troubles.errors] == [expected, expected]


async def test_end_of_range_must_be_there(server: ScriptedServer, pool: ProviderPool) -> None:
    """A node that does not have the range's last block has no say about its logs."""
    server.chain.mine_many(10)
    found: list[BlocksBackfilled] = []

    with pytest.raises(NodeError, match="unknown to the node"):
        await collect(backfill(pool, Troubles()).ranges(0, 11, parent=GENESIS_PARENT, head_number=12), found)

    assert found == []


async def test_range_must_stand_on_what_we_hold(server: ScriptedServer, pool: ProviderPool) -> None:
    """A final range whose first block has another parent than we hold stops the process."""
    server.chain.mine_many(10)

    with pytest.raises(FinalityViolated, match="we hold"):
        await collect(backfill(pool, Troubles()).ranges(5, 8, parent=some_hash("other"), head_number=10), [])


@pytest.mark.parametrize("in_logs", [True, False])
async def test_timestamps_are_known(server: ScriptedServer, pool: ProviderPool, *, in_logs: bool) -> None:
    """Each block has its timestamp, from the logs where they say it, from its header where not."""
    server.chain.timestamps_in_logs = in_logs
    server.chain.mine_many(20)
    found: list[BlocksBackfilled] = []

    await collect(backfill(pool, Troubles()).ranges(0, 20, parent=GENESIS_PARENT, head_number=21), found)

    check_complete(server, found, 20)
    assert (server.methods.count("eth_getBlockByNumber") > 2) is not in_logs


async def test_logs_of_another_branch_are_refused(server: ScriptedServer, pool: ProviderPool) -> None:
    """Logs whose hash is not their header's are of another branch: not believed."""
    server.chain.mine_many(6)
    server.chain.timestamps_in_logs = False

    def lie(method: str, params: list[Json]) -> Json:
        answer = server.chain.answer(method, params)
        if method == "eth_getLogs":
            answer[2]["blockHash"] = to_hex(some_hash("another branch"))
        return answer

    server.fault = lie
    found: list[BlocksBackfilled] = []

    with pytest.raises(NodeMalformed, match="its header has hash"):
        await collect(backfill(pool, Troubles()).ranges(0, 6, parent=GENESIS_PARENT, head_number=7), found)

    assert found == []


async def test_discovered_contracts_are_read_from_the_first_block(server: ScriptedServer, pool: ProviderPool) -> None:
    """A contract that a range makes necessary is read from that range's first block, over several rounds."""
    third = bytes([0x33]) * 20
    server.chain.mine(log_of(b"before", 0, ROOT), log_of(OTHER, 1, ROOT, NAMED))
    server.chain.mine(log_of(third, 0, OTHER, NAMED))
    server.chain.mine(log_of(b"event", 0, type(ROOT)(third)))
    found: list[BlocksBackfilled] = []

    await collect(backfill(pool, Troubles()).ranges(0, 3, parent=GENESIS_PARENT, head_number=4), found)

    check_complete(server, found, 3)
    assert [read.target for read in found[-1].reads] == [ROOT, OTHER, third]


async def test_another_provider_takes_over(
    server: ScriptedServer, second: ScriptedServer, pool_of_two: ProviderPool
) -> None:
    """When one provider stays broken, the retries reach the other one."""
    server.chain.mine_many(40)
    server.raw = lambda _: web.Response(status=503)
    found: list[BlocksBackfilled] = []

    await collect(
        backfill(pool_of_two, Troubles(), attempts=4).ranges(0, 40, parent=GENESIS_PARENT, head_number=50), found
    )

    check_complete(server, found, 40)
    assert "eth_getLogs" in second.methods


def test_range_size_adapts() -> None:
    """The size doubles until the first failure, halves on each, then grows by an eighth up to the ceiling."""
    size = RangeSize(2000)
    seen = [size.blocks]
    for _ in range(4):
        size.grow()
        seen.append(size.blocks)
    size.shrink(2000)
    seen.append(size.blocks)
    size.grow()
    seen.append(size.blocks)
    size.shrink(1)
    seen.append(size.blocks)
    size.grow()
    seen.append(size.blocks)

    assert seen == [256, 512, 1024, 2000, 2000, 1000, 1125, 1, 2]


@pytest.mark.fault(33)
async def test_ranges_are_compared_before_they_are_recorded(
    server: ScriptedServer, second: ScriptedServer, pool_of_two: ProviderPool
) -> None:
    """Two providers that say the same make a range verified, by both their names."""
    server.chain.mine_many(20)
    ranges = backfill(pool_of_two, Troubles()).ranges(0, 20, parent=GENESIS_PARENT, head_number=20)
    found = [each async for each in ranges]

    names = tuple(provider.name for provider in pool_of_two.statistics())
    assert [each.verified.providers for each in found if each.verified is not None] == [names]
    assert second.methods.count("eth_getLogs") == 1


@pytest.mark.fault(32, 33)
@pytest.mark.parametrize("lie", [hide, invent])
async def test_a_disputed_range_is_read_again_without_the_liar(
    server: ScriptedServer, pool_of_two: ProviderPool, lie: Callable[[ScriptedServer, int], Fault]
) -> None:
    """A log that one provider hides or invents is found out before the range is recorded; the liar is out."""
    server.chain.mine_many(9)
    server.chain.mine(log_of(b"one", 0), log_of(b"two", 1))
    server.chain.mine_many(10)
    server.fault = lie(server, 10)
    found: list[BlocksBackfilled] = []

    ranges = backfill(pool_of_two, Troubles(), attempts=5).ranges(0, 20, parent=GENESIS_PARENT, head_number=20)
    await collect(ranges, found)

    check_complete(server, found, 20)
    assert [provider.quarantine is None for provider in pool_of_two.statistics()] == [False, True]


async def test_a_second_provider_that_fails_leaves_the_range_unverified(
    server: ScriptedServer, second: ScriptedServer, pool_of_two: ProviderPool
) -> None:
    """A range that only one provider answered is given, and counts as unverified."""
    server.chain.mine_many(20)
    second.fault = refuse_wider(0)
    ranges = backfill(pool_of_two, Troubles()).ranges(0, 20, parent=GENESIS_PARENT, head_number=20)

    assert [each.verified async for each in ranges] == [None]


@pytest.mark.fault(31, 32)
async def test_an_index_that_lags_behind_the_blocks_is_noticed(server: ScriptedServer, pool: ProviderPool) -> None:
    """A node that has a range's last block but not its logs yet gives no complete range."""
    server.chain.mine_many(20)

    def lag(method: str, params: list[Json]) -> Json:
        return [] if method == "eth_getLogs" and "fromBlock" in params[0] else PASS

    server.fault = lag
    with pytest.raises(NodeMalformed, match="none when asked by range"):
        await collect(backfill(pool, Troubles()).ranges(0, 20, parent=GENESIS_PARENT, head_number=20), [])


@pytest.mark.fault(31)
async def test_a_range_beyond_the_node_s_head_is_not_empty(server: ScriptedServer, pool: ProviderPool) -> None:
    """A node that answers a range beyond its own head with an empty list does not have the range."""
    server.chain.mine_many(20)

    with pytest.raises(NodeMalformed, match="unknown to the node"):
        await collect(backfill(pool, Troubles()).ranges(0, 30, parent=GENESIS_PARENT, head_number=40), [])
