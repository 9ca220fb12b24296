"""The perpetual exchange of the lab is the one that was asked for, and its random run is reproducible and broad."""

from collections import Counter

import pytest

from keeper.lab.localchain.perp import COLLATERALS, MARKETS, PerpExchange
from keeper.lab.localchain.random_perp import PerpLiquidation, PerpStep, random_perp
from keeper.lab.localchain.rpc import LabRpc
from keeper.lab.localchain.transactions import read
from tests.perp_chain import deployed_exchange, exchange, perp_node, perp_rpc

__all__ = ["deployed_exchange", "exchange", "perp_node", "perp_rpc"]

pytestmark = [pytest.mark.chain, pytest.mark.slow]

UINT = ("uint256",)
KINDS = {"price", "update", "long", "short", "close", "deposit", "withdraw", "settle", "add", "remove"}
BLOCKS = 100
PRICE_SCALE = 10**10
PER_MILLE = 1_000


async def test_marks_are_the_prices_asked_for(perp_rpc: LabRpc, exchange: PerpExchange) -> None:
    """Each market's mark price is within a thousandth of its specification: a pool's tick is not finer."""
    for market, spec in zip(exchange.markets, MARKETS, strict=True):
        (mark,) = await read(perp_rpc, exchange.account_balance, "getMarkPrice(address)", market.base, returns=UINT)
        wanted = spec.price * PRICE_SCALE
        assert abs(mark - wanted) < wanted // PER_MILLE


async def test_collaterals_are_priced_and_discounted_as_asked_for(perp_rpc: LabRpc, exchange: PerpExchange) -> None:
    """Each collateral has the price of its feed and the ratios of its specification."""
    manager, types = exchange.collateral_manager, ("(address,uint24,uint24,uint256)",)
    for collateral, spec in zip(exchange.collaterals, COLLATERALS, strict=True):
        price = await read(perp_rpc, manager, "getPrice(address,uint256)", collateral.token, 900, returns=UINT)
        (config,) = await read(perp_rpc, manager, "getCollateralConfig(address)", collateral.token, returns=types)
        assert (price, config[1:3]) == ((spec.price * PRICE_SCALE,), (spec.ratio, spec.discount))


async def _run(
    rpc: LabRpc, exchange: PerpExchange, seed: int, blocks: int
) -> tuple[list[PerpStep], list[PerpLiquidation | None]]:
    """Drive a fresh deployment and take everything back."""
    snapshot = await rpc.call("evm_snapshot", answer=str)
    steps, tried = [], []
    async with random_perp(rpc, exchange, seed=seed, takers=20) as driver:
        for _ in range(blocks):
            steps.append(await driver.step())
            tried.append(await driver.liquidate())
    await rpc.call("evm_revert", snapshot, answer=bool)
    return steps, tried


async def test_a_seed_fixes_the_whole_run(perp_rpc: LabRpc, exchange: PerpExchange) -> None:
    """The same seed on the same chain gives the same actions, times, outcomes and accounts, to the wei."""
    assert await _run(perp_rpc, exchange, 11, 15) == await _run(perp_rpc, exchange, 11, 15)


async def test_a_run_is_broad(perp_rpc: LabRpc, exchange: PerpExchange) -> None:
    """Everything that can be done goes through at least once, and liquidations are both executed and refused."""
    steps, tried = await _run(perp_rpc, exchange, 5, BLOCKS)
    done = Counter(kind for step in steps for kind, fine in zip(step.kinds, step.succeeded, strict=True) if fine)
    assert KINDS - done.keys() == set()
    assert {each.receipt.succeeded for each in tried if each is not None} == {True, False}
