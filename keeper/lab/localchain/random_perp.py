"""Drive Perpetual Protocol v2 at random, block by block, and say what the contracts made of it.

Takers open, reduce and close positions, deposit and withdraw; a maker comes and goes; feeds move, now and then
without anybody telling the protocol; an arbitrageur pulls each pool towards its index. Liquidations are tried in a
block of their own that has the time of the block before, so that they run on a state that could be read. Every choice
comes from the seed and from what the chain answered.

::

    exchange = await deploy_perp_exchange(rpc, node.node_modules)
    async with random_perp(rpc, exchange, seed=1, takers=30) as driver:
        for _ in range(200):
            step = await driver.step()        # one block; step.accounts is what the views say of everyone
            tried = await driver.liquidate()  # at most one block more; None when nothing was tried
"""

from __future__ import annotations

import math
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from keeper.core.errors import NodeRefused
from keeper.lab.localchain.accounts import UINT256_MAX, fund, seeded_address
from keeper.lab.localchain.perp import SETTLEMENT_DECIMALS, Head, PerpExchange, PerpMarket, sqrt_price_x96
from keeper.lab.localchain.rpc import LabRpc
from keeper.lab.localchain.transactions import (
    Call,
    Receipt,
    decode_answer,
    encode_call,
    read_request,
    revert_reason,
    send,
    submit,
)

USD = 10**SETTLEMENT_DECIMALS
WAD = 10**18
TRADE_GAS = 3_500_000
ACTORS_MAX = 3
TICK_SPACING = 200
YOUNG_SECONDS = 1_000
"""Longer than funding averages over: while a market is younger, it averages over its age."""

ZERO_WORD = b"\0" * 32
OPEN = "openPosition((address,bool,bool,uint256,uint256,uint256,uint160,bytes32))"
CLOSE = "closePosition((address,uint160,uint256,uint256,bytes32))"
ADD_LIQUIDITY = "addLiquidity((address,uint256,uint256,int24,int24,uint256,uint256,bool,uint256))"
REMOVE_LIQUIDITY = "removeLiquidity((address,int24,int24,uint128,uint256,uint256,uint256))"
ORDER = ("(uint128,int24,int24,uint256,int256,int256,int256,uint256,uint256)",)
JUMP_SHARE = 0.12
MOVE_SHARE = 0.5
UPDATE_SHARE = 0.8
ARBITRAGE_SHARE = 0.6
MAKER_SHARE = 0.08
ANY_TARGET_SHARE = 0.2
POOR_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class PerpAccount:
    """What the views say of an account at one block, each ``None`` where the view reverts.

    Attributes:
        account_value: ``ClearingHouse.getAccountValue``, 1e-18.
        requirement: ``AccountBalance.getMarginRequirementForLiquidation``, 1e-18.
        free_collateral: ``Vault.getFreeCollateral``, base units of the settlement token.
        seizable: ``Vault.isLiquidatable``: whether collateral may be sold for debt.
    """

    account_value: int | None
    requirement: int | None
    free_collateral: int | None
    seizable: bool | None

    @property
    def liquidatable(self) -> bool | None:
        """What ``ClearingHouse._isLiquidatable`` compares."""
        if self.account_value is None or self.requirement is None:
            return None
        return self.account_value < self.requirement


@dataclass(frozen=True, slots=True)
class PerpStep:
    """One block: what was done, whether each succeeded, and what the views say of everyone afterwards."""

    block_number: int
    timestamp: int
    kinds: tuple[str, ...]
    succeeded: tuple[bool, ...]
    accounts: dict[str, PerpAccount]


@dataclass(frozen=True, slots=True, kw_only=True)
class PerpLiquidation:
    """One attempt, alone in its block: what was asked, and the receipt or the reason of the revert."""

    trader: str
    base: str
    size: int
    liquidator: str
    block_number: int
    receipt: Receipt
    reason: str


Drawn = tuple[str, Call]


class RandomPerp:
    """A protocol in random motion. Made by :func:`random_perp`.

    Attributes:
        takers: Those who trade.
        others: Makers, the arbitrageur, the liquidators and the insurance fund.
    """

    def __init__(self, rpc: LabRpc, exchange: PerpExchange, seed: int, takers: int) -> None:
        self._rpc = rpc
        self._exchange = exchange
        self._chance = random.Random(seed)  # noqa: S311 - a reproducible scenario, not a secret
        names = ("maker", "visitor", "arbitrageur", "liquidator", "poor liquidator")
        self._maker, self._visitor, self._arbitrageur, self._rich, self._poor = (
            seeded_address(seed, name) for name in names
        )
        self.takers = tuple(seeded_address(seed, f"taker {number}") for number in range(takers))
        self.others = (self._maker, self._visitor, self._arbitrageur, self._rich, self._poor, exchange.insurance_fund)
        self._prices = {market.base: market.spec.price for market in exchange.markets}
        self._collateral_prices = {each.token: each.spec.price for each in exchange.collaterals}
        self._visiting: dict[str, tuple[int, int]] = {}
        self._timestamp = 0
        self._accounts: dict[str, PerpAccount] = {}

    async def prepare(self) -> None:
        """Give everyone a purse and a deposit, and each market its liquidity."""
        everyone = (*self.takers, *self.others[:-1])
        await fund(self._rpc, everyone, ether=100_000)
        rich = {self._maker, self._arbitrageur, self._rich, self._visitor}
        for start in range(0, len(everyone), 10):
            calls = [call for one in everyone[start : start + 10] for call in self._purse(one)]
            await submit(self._rpc, calls)
        deposits = [
            self._deposit(one, self._exchange.settlement, (20_000_000 if one in rich else 2_000) * USD)
            for one in everyone
            if one != self._poor
        ]
        await submit(self._rpc, deposits)
        for market in self._exchange.markets:
            first = self.open_position(self._arbitrageur, market, False, WAD)[1]
            await submit(self._rpc, [self.add_liquidity(self._maker, market, 10_000_000)[1], first])
        head = await self._rpc.call("eth_getBlockByNumber", "latest", False, answer=Head)
        self._timestamp = int(head.timestamp, 16) + YOUNG_SECONDS

    def _purse(self, owner: str) -> list[Call]:
        exchange = self._exchange
        tokens = {exchange.settlement: 50_000_000 * USD}
        tokens |= {each.token: 10_000 * 10**each.spec.decimals for each in exchange.collaterals}
        return [
            Call(owner, token, encode_call(signature, to, amount))
            for token, minted in tokens.items()
            for signature, to, amount in (
                ("mint(address,uint256)", owner, minted),
                ("approve(address,uint256)", exchange.vault, UINT256_MAX),
            )
        ]

    async def step(self) -> PerpStep:
        """Make one block of random transactions and return what it did.

        Raises:
            NodeError: the node failed; a reverted transaction is no failure.
        """
        self._timestamp += self._chance.choice((1, 2, 5, 12, 60, 300, 900))
        drawn = [*self._feeds(), *await self._trades()]
        receipts = await self.mine([call for _, call in drawn])
        head = await self._rpc.call("eth_getBlockByNumber", "latest", False, answer=Head)
        number = int(head.number, 16)
        self._accounts = await self.accounts(number)
        kinds, succeeded = tuple(kind for kind, _ in drawn), tuple(each.succeeded for each in receipts)
        return PerpStep(number, self._timestamp, kinds, succeeded, self._accounts)

    async def accounts(self, block: int) -> dict[str, PerpAccount]:
        """Return what the views say of everyone at a block."""
        everyone = (*self.takers, *self.others)
        views = (
            (self._exchange.clearing_house, "getAccountValue(address)", "int256"),
            (self._exchange.account_balance, "getMarginRequirementForLiquidation(address)", "int256"),
            (self._exchange.vault, "getFreeCollateral(address)", "uint256"),
            (self._exchange.vault, "isLiquidatable(address)", "bool"),
        )
        count = len(views)
        requests = [read_request(to, encode_call(name, one), block) for one in everyone for to, name, _ in views]
        answers = await self._rpc.outcomes(requests, answer=str)
        types = [kind for _ in everyone for _, _, kind in views]
        words = [_word(kind, answer) for kind, answer in zip(types, answers, strict=True)]
        told: dict[str, PerpAccount] = {}
        for one, start in zip(everyone, range(0, len(words), count), strict=True):
            value, requirement, free, seizable = words[start : start + count]
            told[one] = PerpAccount(value, requirement, free, None if seizable is None else bool(seizable))
        return told

    async def liquidate(self) -> PerpLiquidation | None:
        """Try one liquidation in a block that has the time of the block before; ``None`` when nobody is a target."""
        targets = [one for one in self.takers if self._accounts[one].liquidatable]
        if not targets and self._chance.random() < ANY_TARGET_SHARE:
            targets = [self._chance.choice((*self.takers, self._maker))]
        if not targets:
            return None
        trader, market = self._chance.choice(targets), self._chance.choice(self._exchange.markets)
        size = await self._size(trader, market)
        asked = self._chance.choice((0, size, size // 3, size * 2, -size if self._chance.random() < POOR_SHARE else 0))
        liquidator = self._poor if self._chance.random() < POOR_SHARE else self._rich
        data = encode_call("liquidate(address,address,int256)", trader, market.base, asked)
        (receipt,) = await self.mine([Call(liquidator, self._exchange.clearing_house, data, TRADE_GAS)])
        reason = "" if receipt.succeeded else await revert_reason(self._rpc, receipt.transaction_hash)
        return PerpLiquidation(
            trader=trader,
            base=market.base,
            size=asked,
            liquidator=liquidator,
            block_number=int(receipt.block_number, 16),
            receipt=receipt,
            reason=reason,
        )

    async def mine(self, calls: Sequence[Call]) -> list[Receipt]:
        """Make a block of these transactions, at the time of the block before."""
        await send(self._rpc, calls)
        await self._rpc.call("evm_setNextBlockTimestamp", self._timestamp, answer=object)
        await self._rpc.call("evm_mine", answer=str)
        return await self._rpc.call("eth_getBlockReceipts", "latest", answer=list[Receipt])

    def _feeds(self) -> list[Drawn]:
        """Move prices; most of the time the protocol is told at once."""
        drawn: list[Drawn] = []
        feeds = [(market.base, market.feed, market.price_feed, self._prices) for market in self._exchange.markets]
        feeds += [(one.token, one.feed, one.price_feed, self._collateral_prices) for one in self._exchange.collaterals]
        for key, feed, price_feed, prices in feeds:
            if self._chance.random() >= MOVE_SHARE:
                continue
            spread = 0.06 if self._chance.random() < JUMP_SHARE else 0.008
            prices[key] = max(1, round(prices[key] * math.exp(self._chance.gauss(0, spread))))
            drawn.append(("price", Call(self._exchange.admin, feed, encode_call("set(int256)", prices[key]))))
            if self._chance.random() < UPDATE_SHARE:
                drawn.append(("update", Call(self._exchange.admin, price_feed, encode_call("update()"))))
        return drawn

    async def _trades(self) -> list[Drawn]:
        chance = self._chance
        actors = chance.sample(self.takers, chance.randint(0, min(ACTORS_MAX, len(self.takers))))
        drawn = [await self._taker(actor) for actor in actors]
        if chance.random() < ARBITRAGE_SHARE:
            drawn.append(await self._arbitrage(chance.choice(self._exchange.markets)))
        if chance.random() < MAKER_SHARE:
            drawn.append(await self._visit(chance.choice(self._exchange.markets)))
        return drawn

    async def _taker(self, actor: str) -> Drawn:
        """Draw what a taker does: mostly a trade with high leverage, else a movement of collateral."""
        chance, exchange = self._chance, self._exchange
        market, sort = chance.choice(exchange.markets), chance.random()
        if sort < 0.55:  # noqa: PLR2004 - one of five shares
            return self.open_position(actor, market, chance.random() < 0.5, int(chance.uniform(200, 16_000) * WAD))  # noqa: PLR2004 - either way
        if sort < 0.7:  # noqa: PLR2004 - as above
            arguments = (market.base, 0, 0, UINT256_MAX, ZERO_WORD)
            return "close", Call(actor, exchange.clearing_house, encode_call(CLOSE, arguments), TRADE_GAS)
        token, unit = exchange.settlement, USD * 1_000
        if chance.random() < 0.5:  # noqa: PLR2004 - either sort of collateral
            collateral = chance.choice(exchange.collaterals)
            token, unit = collateral.token, 10 ** (collateral.spec.decimals + 11) // collateral.spec.price
        amount = max(1, int(unit * chance.random()))
        if sort < 0.82:  # noqa: PLR2004 - as above
            return "deposit", self._deposit(actor, token, amount)
        if sort < 0.95:  # noqa: PLR2004 - as above
            return "withdraw", Call(actor, exchange.vault, encode_call("withdraw(address,uint256)", token, amount))
        return "settle", Call(
            actor, exchange.clearing_house, encode_call("settleAllFunding(address)", actor), TRADE_GAS
        )

    def _deposit(self, owner: str, token: str, amount: int) -> Call:
        return Call(owner, self._exchange.vault, encode_call("deposit(address,uint256)", token, amount))

    def open_position(self, actor: str, market: PerpMarket, is_short: bool, quote: int, limit: int = 0) -> Drawn:  # noqa: FBT001 - the contract's own argument
        """Trade for so much quote, 1e-18, in either direction."""
        arguments = (market.base, is_short, not is_short, quote, 0 if not is_short else UINT256_MAX, UINT256_MAX)
        data = encode_call(OPEN, (*arguments, limit, ZERO_WORD))
        return ("short" if is_short else "long"), Call(actor, self._exchange.clearing_house, data, TRADE_GAS)

    async def _arbitrage(self, market: PerpMarket) -> Drawn:
        """Trade towards the index, at most to it."""
        wanted = sqrt_price_x96(self._prices[market.base])
        (answer,) = await self._rpc.batch([read_request(market.pool, encode_call("slot0()"))], answer=str)
        now = int(answer[2:66], 16)
        quote = int(self._chance.uniform(50_000, 400_000) * WAD)
        return self.open_position(self._arbitrageur, market, now > wanted, quote, wanted if now != wanted else 0)

    async def _visit(self, market: PerpMarket) -> Drawn:
        """Let the visiting maker add liquidity, or take all of it away again."""
        ticks = self._visiting.pop(market.base, None)
        if ticks is None:
            kind, call, self._visiting[market.base] = self.add_liquidity(self._visitor, market, 300_000)
            return kind, call
        request = read_request(
            self._exchange.order_book,
            encode_call("getOpenOrder(address,address,int24,int24)", self._visitor, market.base, *ticks),
        )
        (answer,) = await self._rpc.batch([request], answer=str)
        (order,) = decode_answer(ORDER, answer)
        arguments = (market.base, *ticks, order[0], 0, 0, UINT256_MAX)
        return "remove", Call(
            self._visitor, self._exchange.clearing_house, encode_call(REMOVE_LIQUIDITY, arguments), TRADE_GAS
        )

    def add_liquidity(self, maker: str, market: PerpMarket, usd: int) -> tuple[str, Call, tuple[int, int]]:
        """Offer so much on both sides of the price, from half of it to twice of it."""
        price = self._prices[market.base]
        middle = math.log(price / 10**8) / math.log(1.0001)
        lower, upper = (round((middle + side * 7_000) / TICK_SPACING) * TICK_SPACING for side in (-1, 1))
        base = usd * WAD * 10**8 // price
        arguments = (market.base, base, usd * WAD, lower, upper, 0, 0, False, UINT256_MAX)
        data = encode_call(ADD_LIQUIDITY, arguments)
        return "add", Call(maker, self._exchange.clearing_house, data, TRADE_GAS), (lower, upper)

    async def _size(self, trader: str, market: PerpMarket) -> int:
        data = encode_call("getTakerPositionSize(address,address)", trader, market.base)
        (answer,) = await self._rpc.batch([read_request(self._exchange.account_balance, data)], answer=str)
        return int(decode_answer(("int256",), answer)[0])


def _word(kind: str, answer: str | NodeRefused) -> int | None:
    return None if isinstance(answer, NodeRefused) else int(decode_answer((kind,), answer)[0])


@asynccontextmanager
async def random_perp(rpc: LabRpc, exchange: PerpExchange, *, seed: int, takers: int = 30) -> AsyncIterator[RandomPerp]:
    """Open makers and takers on a fresh deployment and hold the node's mining still while it is driven.

    Args:
        rpc: A node that does not mine by the clock; nobody else may send to it or mine on it meanwhile.
        exchange: A deployment nobody uses yet.
        seed: Fixes every choice.
        takers: How many accounts trade.

    Raises:
        NodeRefused: the opening was reverted.
    """
    automatic = await rpc.call("anvil_getAutomine", answer=bool)
    await rpc.call("evm_setAutomine", False, answer=type(None))
    try:
        driver = RandomPerp(rpc, exchange, seed, takers)
        await driver.prepare()
        yield driver
    finally:
        await rpc.call("evm_setAutomine", automatic, answer=type(None))
