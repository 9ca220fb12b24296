"""Perpetual Protocol v2 in the demo: long positions in ether, and a pool that follows the fall as far as it may.

An exchange sees a fall in its own way. Its index is an aggregator of its own; its mark price, which decides who is
unsafe, is an average of what its pool traded at, and a pool may fall by a tenth within fifteen seconds and no further
than a tenth from the index. So an arbitrageur sells the pool down with the index to :data:`FLOOR`, and the mark price
arrives there a quarter of a minute later. Who liquidates steps into the position and needs collateral at the vault.

The takers open their positions under the keeper's eyes, as most accounts of a real exchange would.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from string import Template

from keeper.core.runconfig import ExchangeSpec
from keeper.lab.demo.audit import WAD, ChainAudit
from keeper.lab.localchain.accounts import UINT256_MAX, fund
from keeper.lab.localchain.artifacts import Artifacts
from keeper.lab.localchain.node import LocalNode
from keeper.lab.localchain.perp import (
    CURIE,
    SETTLEMENT_DECIMALS,
    MarketSpec,
    PerpExchange,
    PerpMarket,
    deploy_perp_exchange,
    move_time,
    sqrt_price_x96,
)
from keeper.lab.localchain.random_perp import USD, YOUNG_SECONDS, RandomPerp
from keeper.lab.localchain.rpc import LabRpc
from keeper.lab.localchain.transactions import Call, encode_call, read, submit

TICKER = "WETH"
TAKERS = 12
LEVERAGE = (5.0, 8.5)
DEPOSIT_USD = (1_000, 20_000)
MAKER_USD, LIQUIDITY_USD = 50_000_000, 40_000_000
KEEPER_USD = 2_000_000
FLOOR = 0.91
"""How far the pool is sold down, as a part of the first price: less than the tenth that it may fall at once."""
ARRIVED = 1.001
"""How far the mark price may still be above the pool's when it counts as arrived."""
SECTION = Template("""\
[venues.perp]
protocol = "perp_v2"
chain = "local"
address = "$house"
from_block = $from_block

[venues.perp.contracts]
$contracts
""")


def section_of(exchange: PerpExchange) -> str:
    """Return the part of ``keeper.toml`` that names an exchange and its contracts."""
    names = [name for name in ExchangeSpec.__struct_fields__ if name != "settlement_decimals"]
    told = [f'{name} = "{getattr(exchange, name)}"' for name in names]
    return SECTION.substitute(
        house=exchange.clearing_house,
        from_block=exchange.first_block,
        contracts="\n".join([*told, f"settlement_decimals = {SETTLEMENT_DECIMALS}"]),
    )


@dataclass(slots=True)
class PerpAct:
    """An open exchange with its takers; ``lowest`` is the price that the pool was sold down to (1e-8 USD)."""

    exchange: PerpExchange
    accounts: tuple[str, ...]
    liquidator: str
    driver: RandomPerp
    seed: int
    lowest: int = field(init=False)
    venue: str = "perp"

    def __post_init__(self) -> None:
        self.lowest = self._market.spec.price

    @property
    def _market(self) -> PerpMarket:
        return self.exchange.markets[0]

    @property
    def section(self) -> str:
        """The exchange's part of the configuration."""
        return section_of(self.exchange)

    async def begin(self, rpc: LabRpc) -> None:
        """Deposit for everybody, the liquidator too, offer liquidity, let each taker buy, and time pass."""
        exchange, driver, market = self.exchange, self.driver, self._market
        maker, _, arbitrageur, *_ = driver.others
        chance = random.Random(self.seed)  # noqa: S311 - a reproducible scenario, not a secret
        deposits = {taker: round(chance.uniform(*DEPOSIT_USD)) for taker in self.accounts}
        rich = {maker: MAKER_USD, arbitrageur: MAKER_USD, self.liquidator: KEEPER_USD}
        await fund(rpc, [maker, arbitrageur, *self.accounts])
        admin, token, vault = exchange.admin, exchange.settlement, exchange.vault
        total = sum(rich.values()) + sum(deposits.values())
        calls = [
            Call(admin, token, encode_call("mint(address,uint256)", admin, total * USD)),
            Call(admin, token, encode_call("approve(address,uint256)", vault, UINT256_MAX)),
        ]
        deposit = "depositFor(address,address,uint256)"
        for owner, usd in {**rich, **deposits}.items():
            calls.append(Call(admin, vault, encode_call(deposit, owner, token, usd * USD)))
        calls.append(driver.add_liquidity(maker, market, LIQUIDITY_USD)[1])
        for taker, usd in deposits.items():
            quote = int(usd * chance.uniform(*LEVERAGE)) * WAD
            calls.append(driver.open_position(taker, market, False, quote)[1])
        await submit(rpc, calls)
        await move_time(rpc, YOUNG_SECONDS)

    def price_calls(self, prices: Mapping[str, int]) -> list[Call]:
        """Return the call that sets the aggregator's answer."""
        data = encode_call("set(int256)", prices[TICKER])
        return [Call(self.exchange.admin, self._market.feed, data)] if TICKER in prices else []

    def reactions(self, prices: Mapping[str, int]) -> list[Call]:
        """Return the calls that cache the answer and let the pool follow; each may be refused.

        The cache takes no two answers of one second, and a pool that may not fall further stays.
        """
        calls = [Call(self.exchange.admin, self._market.price_feed, encode_call("update()"))]
        price = max(prices.get(TICKER, self.lowest), round(self._market.spec.price * FLOOR))
        if price < self.lowest:
            self.lowest = price
            seller, most, limit = self.driver.others[2], LIQUIDITY_USD // 4 * WAD, sqrt_price_x96(price)
            calls.append(self.driver.open_position(seller, self._market, True, most, limit)[1])
        return calls

    async def are_safe(self, rpc: LabRpc) -> bool:
        """Tell whether nobody may be liquidated, and the mark price has arrived at the pool's."""
        balance, house, base = self.exchange.account_balance, self.exchange.clearing_house, self._market.base
        (mark,) = await read(rpc, balance, "getMarkPrice(address)", base, returns=("uint256",))
        if mark > self.lowest * 10**10 * ARRIVED:
            return False
        for one in self.accounts:
            (value,) = await read(rpc, house, "getAccountValue(address)", one, returns=("int256",))
            signature = "getMarginRequirementForLiquidation(address)"
            (need,) = await read(rpc, balance, signature, one, returns=("int256",))
            if value < need:
                return False
        return True

    def audit(self, node: LocalNode) -> ChainAudit:
        """Open the check through web3."""
        return PerpAudit(node, self.exchange, self.liquidator)


async def open_perp(rpc: LabRpc, node: LocalNode, *, seed: int, liquidator: str, price: int) -> PerpAct:
    """Deploy an exchange at a price of ether (1e-8 USD); nobody trades on it yet."""
    spec = MarketSpec(symbol="vETH", price=price)
    exchange = await deploy_perp_exchange(rpc, node.node_modules, markets=[spec], collaterals=[])
    driver = RandomPerp(rpc, exchange, seed, TAKERS)
    return PerpAct(exchange, driver.takers, liquidator, driver, seed)


class PerpAudit(ChainAudit):
    """Reads an exchange: value over requirement, as its clearing house compares them."""

    def __init__(self, node: LocalNode, exchange: PerpExchange, liquidator: str) -> None:
        super().__init__(node, liquidator)
        artifacts = Artifacts(node.node_modules, CURIE)
        self._base = self._web3.to_checksum_address(exchange.markets[0].base)
        self._house = self._contract(exchange.clearing_house, artifacts.abi("ClearingHouse"))
        self._balance = self._contract(exchange.account_balance, artifacts.abi("AccountBalance"))

    async def health(self, account: str) -> int:
        """Return what an account is worth over what its positions require, 1e-18; below zero it is bad debt."""
        user = self._web3.to_checksum_address(account)
        need: int = await self._balance.functions.getMarginRequirementForLiquidation(user).call()
        value: int = await self._house.functions.getAccountValue(user).call()
        return value * WAD // need if need else WAD * WAD

    async def _remedy(self, account: str, health: int) -> str | None:
        call = self._house.functions.liquidate(self._web3.to_checksum_address(account), self._base, 0)
        after = await self._health_after(account, call)
        return f"take its position over: {after / WAD:.4f}" if after is not None and after > health else None
