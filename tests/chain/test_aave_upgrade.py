"""A market that is upgraded under the ledger's eyes: the rules change with the block, and so for every replay."""

from __future__ import annotations

import os
from collections import Counter

import msgspec
import pytest

from keeper.core.facts import ContractRead
from keeper.core.ids import parse_address
from keeper.lab.localchain.aave import AaveMarket
from keeper.lab.localchain.aave_v36 import upgrade_to_v36
from keeper.lab.localchain.accounts import AccountData, account_data
from keeper.lab.localchain.node import LocalNode
from keeper.lab.localchain.random_market import random_market
from keeper.lab.localchain.rpc import LabRpc
from keeper.venues.aave_v3.ledger import AaveLedger
from keeper.venues.aave_v3.market import Unknown
from tests.chain.aave_feed import FedBlock, Feed, open_aave

SEED = int(os.environ.get("KEEPER_SEED", "1"))
STEPS_BEFORE = 60
STEPS_AFTER = 90
BORROWERS = 30
RANGE_BLOCKS = 23


@pytest.mark.chain
@pytest.mark.soak
@pytest.mark.parametrize("seed", [SEED, SEED + 1])
async def test_an_upgrade_in_mid_chain_changes_the_rules_at_its_block(
    rpc: LabRpc, anvil_node: LocalNode, market: AaveMarket, seed: int
) -> None:
    """Every figure is equal to the wei before, at and after it; undone and fed again, and in ranges, it is the same."""
    feeds = [Feed(rpc, open_aave(market, prices)) for prices in ("read", "events")]
    compared: Counter[str] = Counter()
    async with random_market(rpc, market, seed=seed, borrowers=BORROWERS) as driver:
        for _ in range(STEPS_BEFORE):
            step = await driver.step()
        compared["3.0"] += await _compare(rpc, market, feeds, driver.users, step.block_number)
        upgraded = await upgrade_to_v36(rpc, anvil_node.node_modules, market)
        head = int(await rpc.call("eth_blockNumber", answer=str), 16)
        compared["at the upgrade"] += await _compare(rpc, market, feeds, driver.users, head)
        await driver.go_on(upgraded)
        for _ in range(STEPS_AFTER):
            step = await driver.step()
        compared["3.6"] += await _compare(rpc, market, feeds, driver.users, step.block_number)
    print(f"seed {seed}: {dict(compared)} comparisons of six figures, 0 different")  # noqa: T201 - a randomised run says its seed
    _undo_to_before(feeds[0], head)
    await _in_ranges(market, feeds[0], driver.users)


async def _compare(rpc: LabRpc, market: AaveMarket, feeds: list[Feed], users: tuple[str, ...], last: int) -> int:
    """Feed up to a block, compare everybody at each block that has a market with users, and return how often."""
    first = feeds[0].blocks[-1].header.number + 1 if feeds[0].blocks else last - STEPS_BEFORE + 1
    for number in range(first, last + 1):
        theirs = await account_data(rpc, market.pool, users, number)
        for feed in feeds:
            await feed.up_to(number)
            assert _figures(feed.ledger, users) == theirs, f"block {number}"
    return (last + 1 - first) * len(users) * len(feeds)


def _figures(ledger: AaveLedger, users: tuple[str, ...]) -> dict[str, AccountData | Unknown]:
    found = {user: ledger.account_data(parse_address(user)) for user in users}
    return {
        user: data if isinstance(data, Unknown) else AccountData(*msgspec.structs.astuple(data))
        for user, data in found.items()
    }


def _undo_to_before(feed: Feed, number: int) -> None:
    """Reorganise from before the upgrade to the same blocks, which must leave no trace."""
    before = feed.ledger.dump()
    undone: list[FedBlock] = []
    while feed.blocks[-1].header.number > number - RANGE_BLOCKS:
        undone.append(feed.undo())
    for block in reversed(undone):
        feed.apply(block)
    assert feed.ledger.dump() == before


async def _in_ranges(market: AaveMarket, feed: Feed, users: tuple[str, ...]) -> None:
    """Fold the same blocks as back-filling does, with reads at the end of each range only."""
    by_ranges, by_blocks = open_aave(market, "read"), open_aave(market, "read")
    for start in range(0, len(feed.blocks), RANGE_BLOCKS):
        blocks = feed.blocks[start : start + RANGE_BLOCKS]
        last = blocks[-1].header
        requests = by_ranges.reads([log for block in blocks for log in block.logs])
        for block in blocks:
            _fold(by_blocks, block, block.reads)
            _fold(by_ranges, block, ())
        by_ranges.apply_reads(await feed.reads(last.hash, requests))
        assert _figures(by_ranges, users) == _figures(by_blocks, users), f"block {last.number}"


def _fold(ledger: AaveLedger, block: FedBlock, reads: tuple[ContractRead, ...]) -> None:
    ledger.begin_block(block.header)
    for log in block.logs:
        ledger.apply_log(log)
    ledger.apply_reads(reads)
