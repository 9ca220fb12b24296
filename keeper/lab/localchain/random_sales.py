"""Put takers of Perpetual Protocol v2 into debt behind collateral, and try at random to buy that collateral.

A part of a driver's takers trade on collateral alone, so that every loss is a debt; some of them provide liquidity. The
terms of a sale change, the vault is paused now and then. Attempts run each in a block of its own that has the time of
the block before, so that they run on a state that could be read. They ask for nothing, for a part, for the most, for
more, in either token, of those whose collateral may be sold and of others.

::

    async with random_perp(rpc, exchange, seed=1, takers=24) as driver:
        sales = await random_sales(rpc, exchange, driver, seed=1)
        for _ in range(100):
            await driver.step()
            block = await sales.change_terms()   # one block more
            told = await sales.standings(block)  # what the views say of everyone
            tried = await sales.attempt()
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from keeper.core.errors import NodeRefused
from keeper.lab.localchain.perp import PerpExchange
from keeper.lab.localchain.random_perp import TRADE_GAS, USD, WAD, RandomPerp
from keeper.lab.localchain.rpc import LabRpc
from keeper.lab.localchain.transactions import (
    Call,
    Receipt,
    decode_answer,
    encode_call,
    read_request,
    revert_data,
    submit,
)

RATIO = 10**6
DEBTOR_SHARE = 0.7
PROVIDERS = 3
OFFERED_USD = 2_000
PLEDGED_USD = 1_500
OPENED_USD = (4_000, 9_000)
TRADES_PER_BLOCK = 5
EVEN = 0.5
CHANGE_SHARE = 0.15
EXTREME_SHARE = 0.04
PAUSE_SHARE = 0.02
ANY_TRADER_SHARE = 0.12
NO_COLLATERAL_SHARE = 0.04
MOST = "getMaxRepaidSettlementAndLiquidatableCollateral(address,address)"
SELL = "liquidateCollateral(address,address,uint256,bool)"

Amounts = tuple[int, int]


@dataclass(frozen=True, slots=True)
class PerpStanding:
    """What the vault's views say of an account; ``None`` where one reverts.

    Attributes:
        seizable: ``isLiquidatable``.
        most: ``getMaxRepaidSettlementAndLiquidatableCollateral`` of each collateral listed.
    """

    seizable: bool | None
    most: dict[str, Amounts | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PerpSale:
    """One attempt, alone in its block: what was asked, and the receipt with the data of the revert."""

    trader: str
    token: str
    amount: int
    in_settlement: bool
    buyer: str
    block_number: int
    receipt: Receipt
    revert: bytes


class RandomSales:
    """Debtors, and those who buy their collateral. Made by :func:`random_sales`."""

    def __init__(self, rpc: LabRpc, exchange: PerpExchange, driver: RandomPerp, seed: int) -> None:
        self._rpc = rpc
        self._exchange = exchange
        self._driver = driver
        self._chance = random.Random(f"{seed} sales")  # noqa: S311 - a reproducible scenario, not a secret
        self.debtors = driver.takers[: round(DEBTOR_SHARE * len(driver.takers))]
        self._buyers = driver.others[2:4]
        self._paused = False
        self._standings: dict[str, PerpStanding] = {}

    async def prepare(self) -> None:
        """Exchange the debtors' deposits for collateral of about the same worth; let some provide liquidity."""
        chance, exchange = self._chance, self._exchange
        calls: list[Call] = []
        for debtor in self.debtors:
            calls.append(self._vault(debtor, "withdraw(address,uint256)", exchange.settlement, 2_000 * USD))
            for collateral in chance.sample(exchange.collaterals, chance.randint(1, len(exchange.collaterals))):
                spec = collateral.spec
                amount = int(PLEDGED_USD * chance.uniform(0.4, 1.2) * 10 ** (spec.decimals + 8)) // spec.price
                calls.append(self._vault(debtor, "deposit(address,uint256)", collateral.token, amount))
        fund, token = exchange.insurance_fund, exchange.collaterals[0]
        gift = 10**token.spec.decimals // 1_000
        calls.append(self._vault(self._buyers[0], "depositFor(address,address,uint256)", fund, token.token, gift))
        await submit(self._rpc, calls)
        offers = [
            self._driver.add_liquidity(debtor, exchange.markets[0], OFFERED_USD)[1]
            for debtor in self.debtors[:PROVIDERS]
        ]
        trades = [
            self._driver.open_position(debtor, market, chance.random() < EVEN, int(chance.uniform(*OPENED_USD) * WAD))[
                1
            ]
            for debtor in self.debtors
            for market in chance.sample(exchange.markets, 1)
        ]
        await submit(self._rpc, offers)
        for start in range(0, len(trades), TRADES_PER_BLOCK):
            await self._driver.mine(trades[start : start + TRADES_PER_BLOCK])

    def _vault(self, sender: str, signature: str, *arguments: object) -> Call:
        return Call(sender, self._exchange.vault, encode_call(signature, *arguments))

    async def change_terms(self) -> int:
        """Make a block in which the terms of a sale may change; return its number."""
        await self._driver.mine([*self._changes(), *self._pause()])
        return int(await self._rpc.call("eth_blockNumber", answer=str), 16)

    def _changes(self) -> list[Call]:
        chance, exchange = self._chance, self._exchange
        token = chance.choice(exchange.collaterals).token
        own = chance.choice((0, chance.randint(1, 100 * USD)))
        drawn: list[tuple[str, tuple[object, ...]]] = [
            ("setMmRatioBuffer(uint24)", (chance.randint(0, 60_000),)),
            ("setDebtNonSettlementTokenValueRatio(uint24)", (self._ratio(0, 600_000),)),
            ("setLiquidationRatio(uint24)", (self._ratio(100_000, 900_000),)),
            ("setCLInsuranceFundFeeRatio(uint24)", (self._ratio(0, 200_000),)),
            ("setDebtThreshold(uint256)", (chance.randint(1, 300 * USD),)),
            ("setCollateralValueDust(uint256)", (chance.randint(0, 1_000 * USD),)),
            ("setWhitelistedDebtThreshold(address,uint256)", (chance.choice(self.debtors), own)),
            ("setDiscountRatio(address,uint24)", (token, self._ratio(0, 300_000))),
            ("setCollateralRatio(address,uint24)", (token, self._ratio(400_000, 900_000))),
        ]
        return [
            Call(exchange.admin, exchange.collateral_manager, encode_call(signature, *arguments))
            for signature, arguments in drawn
            if chance.random() < CHANGE_SHARE
        ]

    def _ratio(self, low: int, high: int) -> int:
        """Draw a ratio, now and then the whole."""
        return RATIO if self._chance.random() < EXTREME_SHARE else self._chance.randint(low, high)

    def _pause(self) -> list[Call]:
        if not self._paused and self._chance.random() >= PAUSE_SHARE:
            return []
        self._paused = not self._paused
        signature = "pause()" if self._paused else "unpause()"
        return [Call(self._exchange.admin, self._exchange.vault, encode_call(signature))]

    async def standings(self, block: int) -> dict[str, PerpStanding]:
        """Return what the vault says of everyone at a block."""
        everyone, tokens = (*self._driver.takers, *self._driver.others), self._tokens()
        calls = [
            call
            for one in everyone
            for call in (
                encode_call("isLiquidatable(address)", one),
                *(encode_call(MOST, one, token) for token in tokens),
            )
        ]
        requests = [read_request(self._exchange.vault, call, block) for call in calls]
        answers = await self._rpc.outcomes(requests, answer=str)
        width = 1 + len(tokens)
        self._standings = {
            one: _standing(tokens, answers[start : start + width])
            for one, start in zip(everyone, range(0, len(answers), width), strict=True)
        }
        return self._standings

    def _tokens(self) -> list[str]:
        return [each.token for each in self._exchange.collaterals]

    async def attempt(self) -> PerpSale | None:
        """Try to buy some collateral, on the standings read last; ``None`` when nothing was tried."""
        chance = self._chance
        targets = [one for one in self.debtors if self._standings[one].seizable]
        if chance.random() < ANY_TRADER_SHARE:
            targets = [*self.debtors, self._exchange.insurance_fund]
        if not targets:
            return None
        trader, token, in_settlement = chance.choice(targets), chance.choice(self._tokens()), chance.random() < EVEN
        most = self._standings[trader].most[token] or (0, 0)
        if chance.random() < NO_COLLATERAL_SHARE:
            token = self._exchange.settlement
        whole = most[0 if in_settlement else 1]
        amount = chance.choice((0, 1, whole, whole, whole + 1, whole // 2, whole // 3, chance.randint(0, whole)))
        buyer = chance.choice(self._buyers)
        data = encode_call(SELL, trader, token, amount, in_settlement)
        (receipt,) = await self._driver.mine([Call(buyer, self._exchange.vault, data, TRADE_GAS)])
        revert = b"" if receipt.succeeded else await revert_data(self._rpc, receipt.transaction_hash)
        return PerpSale(
            trader=trader,
            token=token,
            amount=amount,
            in_settlement=in_settlement,
            buyer=buyer,
            block_number=int(receipt.block_number, 16),
            receipt=receipt,
            revert=revert,
        )


def _standing(tokens: list[str], answers: list[str | NodeRefused]) -> PerpStanding:
    verdict, *most = answers
    seizable = None if isinstance(verdict, NodeRefused) else bool(decode_answer(("bool",), verdict)[0])
    return PerpStanding(seizable, {token: _amounts(answer) for token, answer in zip(tokens, most, strict=True)})


def _amounts(answer: str | NodeRefused) -> Amounts | None:
    if isinstance(answer, NodeRefused):
        return None
    repaid, collateral = decode_answer(("uint256", "uint256"), answer)
    return repaid, collateral


async def random_sales(rpc: LabRpc, exchange: PerpExchange, driver: RandomPerp, *, seed: int) -> RandomSales:
    """Let a part of a driver's takers, which have done nothing yet, trade on collateral alone.

    Raises:
        NodeRefused: the exchange of deposits was reverted.
    """
    sales = RandomSales(rpc, exchange, driver, seed)
    await sales.prepare()
    return sales
