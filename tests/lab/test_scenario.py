"""The seeded actors stand on the chain as they were drawn, and the crash hurts them as intended."""

import pytest

from keeper.lab.localchain.aave import AaveMarket
from keeper.lab.localchain.accounts import UINT256_MAX, account_data, positions, seeded_account
from keeper.lab.localchain.prices import VOLATILE, move_prices, price_walk
from keeper.lab.localchain.rpc import LabRpc
from keeper.lab.localchain.scenario import open_borrowers, open_liquidator, open_whale, plan_borrowers
from keeper.lab.localchain.transactions import Call, encode_call, read, submit

pytestmark = pytest.mark.chain

ANSWER_UPDATED = "0x0559884fd3a460db3073b7fc896cc77986f16e378210ded43186175bf646fc5f"
LIQUIDATION_CALL = "0xe413a321e8681d831f4dbccbca790d2952b56f977908e45be37335533e005286"
WAD = 10**18


async def test_feed_emits_answer_updated(rpc: LabRpc, market: AaveMarket) -> None:
    """Setting a price emits Chainlink's event with the new answer and the next round."""
    (receipt,) = await move_prices(rpc, market, {"WETH": 123_456})
    (log,) = receipt.logs
    assert (log.address, log.topics) == (
        market.asset("WETH").feed,
        [ANSWER_UPDATED, f"0x{123_456:064x}", f"0x{2:064x}"],
    )


async def test_feed_answers_like_chainlink(rpc: LabRpc, market: AaveMarket) -> None:
    """The feed has the readings that Chainlink's have, and they agree."""
    feed = market.asset("WBTC").feed
    await move_prices(rpc, market, {"WBTC": 777})
    types = ("uint80", "int256", "uint256", "uint256", "uint80")
    round_id, answer, started, updated, answered = await read(rpc, feed, "latestRoundData()", returns=types)
    head = await rpc.call("eth_getBlockByNumber", "latest", False, answer=dict)
    now = int(head["timestamp"], 16)
    assert (round_id, answer, started, updated, answered) == (2, 777, now, now, 2)


async def test_feed_describes_itself(rpc: LabRpc, market: AaveMarket) -> None:
    """The feed tells its pair and its decimals."""
    feed = market.asset("DAI").feed
    described = (
        *await read(rpc, feed, "description()", returns=("string",)),
        *await read(rpc, feed, "decimals()", returns=("uint8",)),
    )
    assert described == ("DAI / USD", 8)


async def test_borrowers_open_within_the_health_range(rpc: LabRpc, market: AaveMarket) -> None:
    """Everyone opens at a health of 1.03 to 1.6, some near either end."""
    await open_whale(rpc, market, seed=3)
    borrowers = await open_borrowers(rpc, market, count=60, seed=3)
    accounts = await account_data(rpc, market.pool, [one.address for one in borrowers])
    health = sorted(account.health_wad / WAD for account in accounts.values())
    assert 1.02 < health[0] < 1.07
    assert 1.5 < health[-1] < 1.61


async def test_borrowers_hold_what_was_drawn(rpc: LabRpc, market: AaveMarket) -> None:
    """Supplies and debts on the chain are the plan's, but for the interest of a few seconds."""
    await open_whale(rpc, market, seed=3)
    (borrower, *_) = borrowers = await open_borrowers(rpc, market, count=5, seed=3)
    held = await positions(rpc, market, [borrower.address])
    assert borrowers == plan_borrowers(market, 5, 3)
    for symbol, amount in borrower.collateral:
        assert held[borrower.address, symbol].supplied == pytest.approx(amount, rel=1e-6)
    for symbol, amount in borrower.debt:
        assert held[borrower.address, symbol].variable_debt == pytest.approx(amount, rel=1e-6)


async def test_borrowers_are_of_every_sort(market: AaveMarket) -> None:
    """Fifty draws hold small accounts, several collaterals, several debts and an efficiency mode."""
    borrowers = plan_borrowers(market, 50, 1)
    assert any(len(one.collateral) > 1 for one in borrowers)
    assert any(len(one.debt) > 1 for one in borrowers)
    assert any(one.category for one in borrowers)
    assert any(amount < 100 * 10**6 for one in borrowers for symbol, amount in one.debt if symbol == "USDC")


async def test_liquidator_has_inventory_and_no_allowance(rpc: LabRpc, market: AaveMarket) -> None:
    """The liquidator owns every asset, and the pool may not yet take any."""
    liquidator = await open_liquidator(rpc, market, seed=3, inventory_usd=1_000)
    weth = market.asset("WETH").token
    balance = await read(rpc, weth, "balanceOf(address)", liquidator.address, returns=("uint256",))
    allowance = await read(
        rpc, weth, "allowance(address,address)", liquidator.address, market.pool, returns=("uint256",)
    )
    assert (balance, allowance) == ((4 * 10**17,), (0,))


async def test_a_liquidation_succeeds_after_the_fall(rpc: LabRpc, market: AaveMarket) -> None:
    """When the price has fallen, a hand-made liquidation goes through and its event names the pair and the user."""
    await open_whale(rpc, market, seed=3)
    borrowers = await open_borrowers(rpc, market, count=20, seed=3)
    liquidator = (await open_liquidator(rpc, market, seed=3)).address.lower()
    victim = next(one for one in borrowers if [symbol for symbol, _ in one.collateral + one.debt] == ["WETH", "USDC"])
    weth, usdc = market.asset("WETH"), market.asset("USDC")
    await move_prices(rpc, market, {"WETH": weth.price // 2})
    data = encode_call(
        "liquidationCall(address,address,address,uint256,bool)",
        weth.token,
        usdc.token,
        victim.address,
        UINT256_MAX,
        False,
    )
    *_, receipt = await submit(
        rpc,
        [
            Call(liquidator, usdc.token, encode_call("approve(address,uint256)", market.pool, UINT256_MAX)),
            Call(liquidator, market.pool, data),
        ],
    )
    (event,) = [log for log in receipt.logs if log.topics[0] == LIQUIDATION_CALL]
    assert [topic[-40:] for topic in event.topics[1:]] == [one[2:] for one in (weth.token, usdc.token, victim.address)]


async def test_the_crash_makes_a_part_of_the_borrowers_unsafe(rpc: LabRpc, market: AaveMarket) -> None:
    """At the bottom of the crash a good part of the borrowers, not all, can be liquidated."""
    await open_whale(rpc, market, seed=1)
    borrowers = await open_borrowers(rpc, market, count=50, seed=1)
    walk = price_walk(market, seed=1)
    await move_prices(rpc, market, min(walk, key=lambda prices: prices["WETH"]))
    accounts = await account_data(rpc, market.pool, [one.address for one in borrowers])
    assert 15 <= sum(account.health_wad < WAD for account in accounts.values()) <= 40


@pytest.mark.parametrize("symbol", VOLATILE)
async def test_the_crash_falls_and_partly_recovers(market: AaveMarket, symbol: str) -> None:
    """For any seed the fall is 25 to 31 %, and a part of it is made good at the end."""
    start = market.asset(symbol).price
    for seed in range(20):
        walk = [prices[symbol] / start for prices in price_walk(market, seed)]
        assert len(walk) == 30
        assert 0.69 <= min(walk) <= 0.755
        assert min(walk) + 0.03 < walk[-1] < 0.9


def test_accounts_follow_from_seed_and_name() -> None:
    """The same seed and name give the same account; another seed or name gives another."""
    addresses = {seeded_account(seed, name).address for seed in (1, 2) for name in ("a", "b") for _ in range(2)}
    assert len(addresses) == 4
