"""The random market is reproducible, broad, and tells the truth about what it did."""

from collections import Counter

import pytest

from keeper.lab.localchain.aave import AaveMarket
from keeper.lab.localchain.accounts import account_data
from keeper.lab.localchain.random_actions import USER_ACTIONS
from keeper.lab.localchain.random_market import Step, random_market
from keeper.lab.localchain.rpc import LabRpc

pytestmark = [pytest.mark.chain, pytest.mark.slow]

BLOCKS = 150


async def _run(rpc: LabRpc, market: AaveMarket, seed: int, blocks: int) -> list[Step]:
    """Drive a fresh market and take everything back."""
    snapshot = await rpc.call("evm_snapshot", answer=str)
    async with random_market(rpc, market, seed=seed, borrowers=20) as driver:
        steps = [await driver.step() for _ in range(blocks)]
    await rpc.call("evm_revert", snapshot, answer=bool)
    return steps


async def test_a_seed_fixes_the_whole_run(rpc: LabRpc, market: AaveMarket) -> None:
    """The same seed on the same chain gives the same actions, times, outcomes and accounts, to the unit."""
    assert await _run(rpc, market, 11, 25) == await _run(rpc, market, 11, 25)


async def test_another_seed_is_another_run(rpc: LabRpc, market: AaveMarket) -> None:
    """Actions differ from seed to seed."""
    first, second = await _run(rpc, market, 11, 5), await _run(rpc, market, 12, 5)
    assert [step.actions for step in first] != [step.actions for step in second]


@pytest.mark.parametrize("versioned_market", ["3.0", "3.6"], indirect=True)
async def test_every_kind_of_action_succeeds_sometimes(rpc: LabRpc, versioned_market: AaveMarket) -> None:
    """In a run of moderate length everything that participants can do has gone through at least once."""
    steps, version = await _run(rpc, versioned_market, 5, BLOCKS), versioned_market.version
    done = Counter(
        action.kind
        for step in steps
        for action, succeeded in zip(step.actions, step.succeeded, strict=True)
        if succeeded
    )
    drawn = {draw.__name__ for _, draw in USER_ACTIONS} - {"rebalance_stable_rate"}
    drawn -= {"swap_rate_mode"} if version != "3.0" else set()
    assert (drawn | {"liquidation", "price"}) - done.keys() == set()


async def test_liquidations_are_many_and_of_both_kinds(rpc: LabRpc, market: AaveMarket) -> None:
    """A run has liquidations paid in tokens and in aTokens, refused ones, and many that ran first in their block."""
    steps = await _run(rpc, market, 5, BLOCKS)
    tried = [one for step in steps for one in step.liquidations]
    kinds = {(one.succeeded, one.asked.receive_a_token) for one in tried}
    first = [one for one in tried if one.succeeded and one.transaction_index == 0]
    assert kinds == {(True, True), (True, False), (False, True), (False, False)}
    assert len(first) >= BLOCKS // 5


async def test_a_liquidation_has_amounts_or_a_reason(rpc: LabRpc, market: AaveMarket) -> None:
    """Amounts are those of the event, so positive, when it went through; nothing when it was reverted."""
    steps = await _run(rpc, market, 5, 60)
    for one in (one for step in steps for one in step.liquidations):
        assert (one.debt_covered > 0, one.collateral_seized > 0) == (one.succeeded, one.succeeded)


async def test_account_data_is_that_of_the_block(rpc: LabRpc, market: AaveMarket) -> None:
    """What a step says about everyone is what the pool says at that block, also later."""
    async with random_market(rpc, market, seed=5, borrowers=20) as driver:
        step, *_ = [await driver.step() for _ in range(5)]
        assert step.accounts == await account_data(rpc, market.pool, driver.users, step.block_number)


async def test_block_times_are_those_drawn(rpc: LabRpc, market: AaveMarket) -> None:
    """Blocks bear the time the driver set, and time never goes back."""
    steps = await _run(rpc, market, 5, 20)
    times = [step.timestamp for step in steps]
    assert times == sorted(times)
