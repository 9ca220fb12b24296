"""A market of Morpho Blue in the demo: ether against dollars, at the price that the other protocols see."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from string import Template

from keeper.lab.demo.audit import WAD, ChainAudit
from keeper.lab.localchain.accounts import fund, seeded_address
from keeper.lab.localchain.morpho import (
    PRICE_SCALE,
    MorphoMarket,
    borrow_call,
    collateral_call,
    deploy_morpho_market,
    look,
    morpho_purse_calls,
    price_call,
    supply_call,
)
from keeper.lab.localchain.morpho_actions import ORACLE_SCALE
from keeper.lab.localchain.node import LocalNode
from keeper.lab.localchain.rpc import LabRpc
from keeper.lab.localchain.transactions import Call, submit

COLLATERAL = "WETH"
BORROWERS = 12
USD_BASE, USDC = 10**8, 10**6
LENT_USD, INVENTORY_USD = 50_000_000, 10_000_000
DEBT_USD = (1_000, 500_000)
HEALTH = (1.03, 1.5)
SECTION = Template("""\
[venues.morpho]
protocol = "morpho_blue"
chain = "local"
address = "$morpho"
from_block = $from_block
market = "$market"
loan_usd = 1
""")
LENS_ABI = [
    {
        "type": "function",
        "name": "look",
        "stateMutability": "nonpayable",
        "inputs": [
            {"name": "morpho", "type": "address"},
            {"name": "params", "type": "tuple", "components": [
                *({"name": name, "type": "address"} for name in ("loan", "collateral", "oracle", "irm")),
                {"name": "lltv", "type": "uint256"},
            ]},
            {"name": "users", "type": "address[]"},
        ],
        "outputs": [
            {"name": "totals", "type": "uint256[6]"},
            {"name": "accounts", "type": "tuple[]", "components": [
                *({"name": name, "type": "uint256"} for name in ("supplyShares", "borrowShares", "collateral", "debt")),
                {"name": "healthy", "type": "bool"},
            ]},
        ],
    },
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class MorphoAct:
    """An open market with its borrowers."""

    market: MorphoMarket
    accounts: tuple[str, ...]
    liquidator: str
    venue: str = "morpho"

    @property
    def section(self) -> str:
        """The market's part of the configuration."""
        market = self.market
        return SECTION.substitute(morpho=market.morpho, market=market.market_id, from_block=market.first_block)

    async def begin(self, rpc: LabRpc) -> None:
        """Do nothing: the borrowers are there."""

    def price_calls(self, prices: Mapping[str, int]) -> list[Call]:
        """Return the call that sets the oracle's price."""
        return [price_call(self.market, _oracle_price(prices[COLLATERAL]))] if COLLATERAL in prices else []

    def reactions(self, prices: Mapping[str, int]) -> list[Call]:  # noqa: ARG002 - nobody is needed
        """Return nothing: the oracle's price is the market's."""
        return []

    async def are_safe(self, rpc: LabRpc) -> bool:
        """Tell whether the contract would let nobody be liquidated."""
        _, accounts = await look(rpc, self.market, self.accounts)
        return all(account.healthy for account in accounts.values())

    def audit(self, node: LocalNode) -> ChainAudit:
        """Open the check through web3."""
        return MorphoAudit(node, self.market, self.liquidator)


async def open_morpho(rpc: LabRpc, node: LocalNode, *, seed: int, liquidator: str, price: int) -> MorphoAct:
    """Deploy the market at a price of ether (1e-8 USD), open its borrowers and give the liquidator dollars."""
    market = await deploy_morpho_market(rpc, node.node_modules)
    lender = seeded_address(seed, "morpho lender")
    borrowers = tuple(seeded_address(seed, f"morpho borrower {number}") for number in range(BORROWERS))
    await fund(rpc, [lender, *borrowers])
    calls = [price_call(market, _oracle_price(price))]
    calls += [*morpho_purse_calls(market, lender, LENT_USD * USDC, 0), supply_call(market, lender, LENT_USD * USDC)]
    chance = random.Random(seed)  # noqa: S311 - a reproducible scenario, not a secret
    for borrower in borrowers:
        debt = int(math.exp(chance.uniform(*map(math.log, DEBT_USD))) * USDC)
        carried = debt * WAD // market.lltv * ORACLE_SCALE // _oracle_price(price)
        collateral = int(carried * chance.uniform(*HEALTH))
        calls += morpho_purse_calls(market, borrower, 0, collateral)
        calls += [collateral_call(market, borrower, collateral), borrow_call(market, borrower, debt)]
    calls.append(morpho_purse_calls(market, liquidator, INVENTORY_USD * USDC, 0)[0])
    await submit(rpc, calls)
    return MorphoAct(market, borrowers, liquidator)


def _oracle_price(usd_base: int) -> int:
    return usd_base * PRICE_SCALE // USD_BASE


class MorphoAudit(ChainAudit):
    """Reads the market: the verdict is the contract's own, asked by calls that are always reverted."""

    def __init__(self, node: LocalNode, market: MorphoMarket, liquidator: str) -> None:
        super().__init__(node, liquidator)
        self._market = market
        self._params = tuple(
            self._web3.to_checksum_address(each) if isinstance(each, str) else each for each in market.params
        )
        self._lens = self._contract(market.lens, LENS_ABI)
        self._oracle = self._contract(market.oracle, [_view("price", "uint256")])
        self._morpho = self._contract(market.morpho, [_liquidate()])

    async def health(self, account: str) -> int:
        """Return what may be owed over what is owed, 1e-18; never on the other side of one than the verdict."""
        _, collateral, debt, healthy = await self._look(account)
        if not debt:
            return WAD * WAD
        price = await self._oracle.functions.price().call()
        ratio: int = collateral * price // ORACLE_SCALE * self._market.lltv // debt
        return max(ratio, WAD) if healthy else min(ratio, WAD - 1)

    async def _look(self, account: str) -> tuple[int, int, int, bool]:
        users = [self._web3.to_checksum_address(account)]
        morpho = self._web3.to_checksum_address(self._market.morpho)
        _, ((_, shares, collateral, debt, healthy),) = await self._lens.functions.look(
            morpho, self._params, users
        ).call()
        return shares, collateral, debt, healthy

    async def _remedy(self, account: str, health: int) -> str | None:
        shares, *_ = await self._look(account)
        for part in (10, 2):
            user = self._web3.to_checksum_address(account)
            call = self._morpho.functions.liquidate(self._params, user, 0, shares // part, b"")
            after = await self._health_after(account, call)
            if after is not None and after > health:
                return f"repay one part in {part}: {after / WAD:.4f}"
        return None


def _view(name: str, answer: str) -> dict[str, object]:
    outputs = [{"name": "", "type": answer}]
    return {"type": "function", "name": name, "stateMutability": "view", "inputs": [], "outputs": outputs}


def _liquidate() -> dict[str, object]:
    """Return the ABI of ``liquidate``."""
    inputs = [
        LENS_ABI[0]["inputs"][1],
        {"name": "borrower", "type": "address"},
        {"name": "seized", "type": "uint256"},
        {"name": "shares", "type": "uint256"},
        {"name": "data", "type": "bytes"},
    ]
    outputs = [{"name": "", "type": "uint256"}, {"name": "", "type": "uint256"}]
    return {
        "type": "function",
        "name": "liquidate",
        "stateMutability": "nonpayable",
        "inputs": inputs,
        "outputs": outputs,
    }
