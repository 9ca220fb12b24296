"""Seeded actors on a local market: a liquidity provider, borrowers of every sort, a liquidator with an inventory.

They act on the chain only; the keeper that watches shares nothing with them. The same seed gives the same accounts,
sizes and debts on every run.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from eth_account.signers.local import LocalAccount

from keeper.lab.localchain.aave import AaveMarket
from keeper.lab.localchain.accounts import fund, purse_calls, seeded_account, seeded_address, units_worth
from keeper.lab.localchain.assets import STABLECOINS
from keeper.lab.localchain.rpc import LabRpc
from keeper.lab.localchain.transactions import Call, encode_call, submit

USD = 10**8
WHALE_SUPPLY_USD = 100_000_000
LIQUIDATOR_INVENTORY_USD = 20_000_000
HEALTH_MIN = 1.03
HEALTH_MAX = 1.6
SMALL_SHARE = 0.1
SMALL_USD = (5, 50)
USUAL_USD = (500, 1_000_000)
LTV_USED_MAX = 0.999
VARIABLE_RATE = 2

SUPPLY = "supply(address,uint256,address,uint16)"
BORROW = "borrow(address,uint256,uint256,uint16,address)"


@dataclass(frozen=True, slots=True)
class Sort:
    """A sort of borrower: how common, what it supplies and owes (in equal parts), in which efficiency mode."""

    weight: int
    collateral: tuple[str, ...]
    debt: tuple[str, ...]
    category: int = 0


SORTS = (
    Sort(18, ("WETH",), ("USDC",)),
    Sort(12, ("WETH",), ("DAI",)),
    Sort(12, ("WBTC",), ("USDC",)),
    Sort(8, ("WBTC",), ("DAI",)),
    Sort(12, ("WETH", "WBTC"), ("USDC", "DAI")),
    Sort(8, ("WETH", "DAI"), ("USDC",)),
    Sort(6, ("WBTC",), ("WETH",)),
    Sort(5, ("USDC",), ("WETH",)),
    Sort(7, ("DAI",), ("USDC",), STABLECOINS),
    Sort(12, ("WETH", "USDC"), ("DAI",), STABLECOINS),
)


@dataclass(frozen=True, slots=True)
class Borrower:
    """An account to be opened: amounts are base units by ticker."""

    address: str
    collateral: tuple[tuple[str, int], ...]
    debt: tuple[tuple[str, int], ...]
    category: int


async def open_whale(rpc: LabRpc, market: AaveMarket, seed: int, supply_usd: int = WHALE_SUPPLY_USD) -> str:
    """Supply liquidity of every asset from one account and return its address."""
    whale = seeded_address(seed, "whale")
    await fund(rpc, [whale])
    calls: list[Call] = []
    for asset in market.assets:
        amount = units_worth(asset, supply_usd * USD)
        calls += purse_calls(market, whale, asset, amount)
        calls.append(Call(whale, market.pool, encode_call(SUPPLY, asset.token, amount, whale, 0)))
    await submit(rpc, calls)
    return whale


async def open_liquidator(
    rpc: LabRpc,
    market: AaveMarket,
    seed: int,
    inventory_usd: int = LIQUIDATOR_INVENTORY_USD,
    name: str = "liquidator",
) -> LocalAccount:
    """Give one account ether and an inventory of every asset, without allowances, and return it with its key."""
    liquidator = seeded_account(seed, name)
    address = liquidator.address.lower()
    await fund(rpc, [address])
    amounts = [(asset.token, units_worth(asset, inventory_usd * USD)) for asset in market.assets]
    await submit(
        rpc, [Call(address, token, encode_call("mint(address,uint256)", address, amount)) for token, amount in amounts]
    )
    return liquidator


def plan_borrowers(market: AaveMarket, count: int, seed: int) -> list[Borrower]:
    """Draw borrowers: health spread over 1.03 to 1.6 at deployment prices, sizes over decades, a tenth of them small.

    The lowest health a sort can have is its threshold over its loan to value, so some start a little above 1.03.
    """
    chance = random.Random(seed)  # noqa: S311 - a reproducible scenario, not a secret
    addresses = [seeded_address(seed, f"borrower {number}") for number in range(count)]
    return [_draw(chance, market, address) for address in addresses]


def _draw(chance: random.Random, market: AaveMarket, address: str) -> Borrower:
    (sort,) = chance.choices(SORTS, [one.weight for one in SORTS])
    low, high = SMALL_USD if chance.random() < SMALL_SHARE else USUAL_USD
    each_base = int(math.exp(chance.uniform(math.log(low), math.log(high))) * USD) // len(sort.collateral)
    ltv, threshold = _power(market, sort, each_base)
    debt_base = int(min(threshold / chance.uniform(HEALTH_MIN, HEALTH_MAX), ltv * LTV_USED_MAX)) // len(sort.debt)
    return Borrower(
        address,
        tuple((symbol, units_worth(market.asset(symbol), each_base)) for symbol in sort.collateral),
        tuple((symbol, units_worth(market.asset(symbol), debt_base)) for symbol in sort.debt),
        sort.category,
    )


def _power(market: AaveMarket, sort: Sort, each_base: int) -> tuple[float, float]:
    """Return collateral weighted by loan to value and by threshold, 1e-8 USD."""
    ltv = threshold = 0.0
    categories = {one.number: one for one in market.categories}
    for symbol in sort.collateral:
        spec = market.asset(symbol).spec
        source = categories[sort.category] if sort.category and spec.category == sort.category else spec
        ltv += each_base * source.ltv_bps / 10_000
        threshold += each_base * source.threshold_bps / 10_000
    return ltv, threshold


async def open_borrowers(rpc: LabRpc, market: AaveMarket, count: int, seed: int) -> list[Borrower]:
    """Open seeded borrowers on a market that has liquidity (:func:`open_whale`) and return them in drawing order.

    One sponsor supplies for all of them; each then takes its efficiency mode and its debt itself.

    Raises:
        NodeRefused: a transaction was reverted, as when the market lacks liquidity or prices have moved.
    """
    borrowers = plan_borrowers(market, count, seed)
    sponsor = seeded_address(seed, "sponsor")
    await fund(rpc, [sponsor, *(one.address for one in borrowers)])
    await submit(rpc, list(_supplies(market, sponsor, borrowers)))
    await submit(rpc, [call for one in borrowers for call in _debts(market, one)])
    return borrowers


def _supplies(market: AaveMarket, sponsor: str, borrowers: Sequence[Borrower]) -> Iterator[Call]:
    for asset in market.assets:
        total = sum(amount for one in borrowers for symbol, amount in one.collateral if symbol == asset.symbol)
        yield from purse_calls(market, sponsor, asset, total)
    for one in borrowers:
        for symbol, amount in one.collateral:
            data = encode_call(SUPPLY, market.asset(symbol).token, amount, one.address, 0)
            yield Call(sponsor, market.pool, data)


def _debts(market: AaveMarket, borrower: Borrower) -> Iterator[Call]:
    if borrower.category:
        yield Call(borrower.address, market.pool, encode_call("setUserEMode(uint8)", borrower.category))
    for symbol, amount in borrower.debt:
        data = encode_call(BORROW, market.asset(symbol).token, amount, VARIABLE_RATE, 0, borrower.address)
        yield Call(borrower.address, market.pool, data)
