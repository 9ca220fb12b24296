"""Put a pre-liquidation contract beside a local Morpho market, and drive both at random.

The contract is our own stand-in with the published interface (``contracts/PreLiquidation.sol``): npm does not have the
original. Morpho, whose bytecode is the published one, runs under it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from keeper.lab.localchain.accounts import UINT256_MAX
from keeper.lab.localchain.compile import compile_contract
from keeper.lab.localchain.morpho import FIRST_PRICE, WAD, MorphoMarket, create, price_call, published_bytecode
from keeper.lab.localchain.morpho_actions import ORACLE_SCALE, MorphoAction, MorphoAsk
from keeper.lab.localchain.random_actions import LIQUIDATION_GAS, part_of
from keeper.lab.localchain.random_morpho import MorphoLiquidation, RandomMorpho, held_still
from keeper.lab.localchain.rpc import LabRpc
from keeper.lab.localchain.transactions import Call, Receipt, decode_answer, encode_arguments, encode_call, submit

PRE_LLTV = 80 * WAD // 100
CLOSE_FACTORS = (5 * WAD // 100, 50 * WAD // 100)
INCENTIVES = (101 * WAD // 100, 10_438 * WAD // 10_000)
ARGUMENTS = "(address,bytes32,(uint256,uint256,uint256,uint256,uint256,address))"
PRE_LIQUIDATE_TOPIC = "0xd5b01f148b35d6069b626af105bf8881bc2e30ee1ce3de4630903abab0ba8580"
AUTHORIZED_SHARE = 0.8
TURN_SHARE = 0.1
ANY_TARGET_SHARE = 0.15
DRIFT_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class PreContract:
    """A deployed contract and the oracle it asks."""

    address: str
    oracle: str


async def deploy_pre_liquidation(
    rpc: LabRpc, node_modules: Path, market: MorphoMarket, *, own_oracle: bool = False
) -> PreContract:
    """Deploy the contract for a market, with the market's oracle or one of its own.

    Raises:
        ConfigError: a contract or the compiler is missing.
        NodeRefused: a transaction was reverted.
    """
    oracle = market.oracle
    if own_oracle:
        (oracle,) = await create(rpc, market.admin, [published_bytecode("OracleMock", node_modules)])
        await submit(rpc, [price_call(replace(market, oracle=oracle), FIRST_PRICE)])
    code = await asyncio.to_thread(compile_contract, "PreLiquidation", node_modules)
    terms = (PRE_LLTV, *CLOSE_FACTORS, *INCENTIVES, oracle)
    arguments = encode_arguments(ARGUMENTS, market.morpho, bytes.fromhex(market.market_id[2:]), terms)
    (address,) = await create(rpc, market.admin, [code + arguments])
    return PreContract(address, oracle)


def authorize_call(market: MorphoMarket, contract: PreContract, owner: str, *, allowed: bool = True) -> Call:
    """Return the call by which a borrower lets the contract close its debts, or no longer."""
    return Call(owner, market.morpho, encode_call("setAuthorization(address,bool)", contract.address, allowed))


def allow_call(market: MorphoMarket, contract: PreContract, owner: str) -> Call:
    """Return the call that lets the contract take the loan token."""
    return Call(owner, market.loan, encode_call("approve(address,uint256)", contract.address, UINT256_MAX))


class PreAsk(MorphoAsk):
    """The arguments of one ``preLiquidate``, and who makes it."""


class RandomPreLiquidation(RandomMorpho):
    """A market in random motion with a pre-liquidation contract, which runs first in its block."""

    def __init__(self, rpc: LabRpc, market: MorphoMarket, contract: PreContract, seed: int, borrowers: int) -> None:
        super().__init__(rpc, market, seed, borrowers)
        self._contract = contract
        self._pre_price = FIRST_PRICE

    async def prepare(self) -> None:
        """Open the market, and let most borrowers authorise the contract."""
        await super().prepare()
        some = [each for each in self._borrowers if self._chance.random() < AUTHORIZED_SHARE]
        calls = [authorize_call(self._market, self._contract, each) for each in some]
        await submit(self._rpc, [allow_call(self._market, self._contract, self.liquidator), *calls])
        await self.look_again()

    def _draw(self) -> list[MorphoAction]:
        """Draw a block: a pre-liquidation, then what happens in any market, then who trusts whom, and prices."""
        chance = self._chance
        first = [self._attempt(each) for each in self._pre_targets()]
        rest = super()._draw()
        if chance.random() < TURN_SHARE:
            owner, allowed = chance.choice(self._borrowers), chance.random() < AUTHORIZED_SHARE
            call = authorize_call(self._market, self._contract, owner, allowed=allowed)
            rest.append(MorphoAction("authorisation", call))
        if self._contract.oracle != self._market.oracle:
            drift = chance.gauss(0, 0.05) if chance.random() < DRIFT_SHARE else 0.0
            self._pre_price = int(self._price * (1 + drift))
            at = replace(self._market, oracle=self._contract.oracle)
            rest.append(MorphoAction("price", price_call(at, self._pre_price)))
        else:
            self._pre_price = self._price
        return first + rest

    def _pre_targets(self) -> list[str]:
        """Draw whom to close a part of: one in the zone, now and then anybody."""
        inside = [user for user in self._borrowers if self._is_inside(user)]
        if not inside or self._chance.random() < ANY_TARGET_SHARE:
            return [self._chance.choice(self._borrowers)]
        return [self._chance.choice(inside)]

    def _is_inside(self, user: str) -> bool:
        account = self._accounts[user]
        value = account.collateral * self._pre_price // ORACLE_SCALE
        return value * PRE_LLTV // WAD < account.debt <= value * self._market.lltv // WAD

    def _attempt(self, borrower: str) -> MorphoAction:
        """Draw the amounts: by collateral or by shares, from one unit to more than the close factor lets."""
        chance, account = self._chance, self._accounts[borrower]
        seized = shares = 0
        if chance.random() < 0.5:  # noqa: PLR2004 - a share
            seized = part_of(chance, int(account.collateral * chance.uniform(0.02, 0.5)))
        else:
            shares = part_of(chance, int(account.borrow_shares * chance.uniform(0.02, 0.5)))
        data = encode_call("preLiquidate(address,uint256,uint256,bytes)", borrower, seized, shares, b"")
        call = Call(self.liquidator, self._contract.address, data, LIQUIDATION_GAS)
        return MorphoAction("pre-liquidation", call, PreAsk(borrower, seized, shares, self.liquidator))

    async def _liquidation(self, asked: MorphoAsk, receipt: Receipt) -> MorphoLiquidation:
        if not isinstance(asked, PreAsk):
            return await super()._liquidation(asked, receipt)
        found = [log for log in receipt.logs if log.topics[0] == PRE_LIQUIDATE_TOPIC]
        amounts = decode_answer(("uint256",) * 3, found[0].data) if found else ()
        return await self._attempted(asked, receipt, amounts)


@asynccontextmanager
async def random_pre_liquidation(
    rpc: LabRpc, market: MorphoMarket, contract: PreContract, *, seed: int, borrowers: int = 30
) -> AsyncIterator[RandomPreLiquidation]:
    """Open a market nobody uses yet and hold the node's mining still while it and the contract are driven.

    Raises:
        NodeRefused: the opening was reverted.
    """
    async with held_still(rpc):
        driver = RandomPreLiquidation(rpc, market, contract, seed, borrowers)
        await driver.prepare()
        yield driver
