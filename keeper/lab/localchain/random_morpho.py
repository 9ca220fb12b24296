"""Drive a real Morpho market at random, block by block, and say what the contract made of it.

The twin of :mod:`keeper.lab.localchain.random_market`: every choice comes from the seed and from what the chain
answered, and every block's time and order of transactions is set. A liquidation with ``transaction_index == 0`` ran on
the state of the block before, at the time of its own block, and at the price of the block before.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec

from keeper.core.errors import invariant
from keeper.lab.localchain.accounts import fund, seeded_address
from keeper.lab.localchain.morpho import (
    FIRST_PRICE,
    WAD,
    MarketTotals,
    MorphoAccount,
    MorphoMarket,
    borrow_call,
    collateral_call,
    look,
    morpho_purse_calls,
    supply_call,
)
from keeper.lab.localchain.morpho_actions import (
    MorphoAction,
    MorphoAsk,
    MorphoView,
    governance,
    liquidation,
    next_price,
    price_action,
    user_action,
)
from keeper.lab.localchain.random_governance import seconds_until_next_block
from keeper.lab.localchain.rpc import LabRpc
from keeper.lab.localchain.transactions import Call, Receipt, Trace, decode_answer, send, submit

LOAN_PURSE = 10**18
COLLATERAL_PURSE = 10**27
WHALE_LOAN = 2 * 10**12
ACTORS_MAX = 5
TARGETS_MAX = 2
GOVERNANCE_SHARE = 0.08
PRICE_SHARE = 0.7
ANY_TARGET_SHARE = 0.06
LIQUIDATE_TOPIC = "0xa4946ede45d0c6f06a0f5ce92c9ad3b4751452d2fe0e25010783bcab57a67e41"


@dataclass(frozen=True, slots=True)
class MorphoLiquidation:
    """One attempted liquidation and what came of it.

    Attributes:
        asked: The arguments and the caller.
        timestamp: The time of its block, Unix seconds.
        transaction_index: Its place in the block; at 0 the state before it is that of the block before.
        amounts: Of its event: repaid assets and shares, seized, bad debt assets and shares; empty when reverted.
        revert_data: What it was reverted with.
    """

    asked: MorphoAsk
    timestamp: int
    transaction_index: int
    amounts: tuple[int, ...]
    revert_data: bytes


@dataclass(frozen=True, slots=True)
class MorphoStep:
    """One block: what was done, and what the contract says of everyone afterwards, accrued to the block's time."""

    block_number: int
    timestamp: int
    kinds: tuple[str, ...]
    succeeded: tuple[bool, ...]
    liquidations: tuple[MorphoLiquidation, ...]
    totals: MarketTotals
    accounts: dict[str, MorphoAccount]


class _Header(msgspec.Struct, frozen=True):
    number: str
    timestamp: str


class RandomMorpho:
    """A market in random motion. Made by :func:`random_morpho`.

    Attributes:
        users: Everyone who may have a position: borrowers, who lends, who liquidates, who may get fees.
        liquidator: Who liquidates; it has both tokens, and has allowed them.
    """

    def __init__(self, rpc: LabRpc, market: MorphoMarket, seed: int, borrowers: int) -> None:
        self._rpc = rpc
        self._market = market
        self._chance = random.Random(seed)  # noqa: S311 - a reproducible scenario, not a secret
        self._borrowers = tuple(seeded_address(seed, f"borrower {number}") for number in range(borrowers))
        self._whale = seeded_address(seed, "whale")
        self.liquidator = seeded_address(seed, "third party")
        self._recipients = tuple(seeded_address(seed, f"recipient {number}") for number in range(2))
        self._price = FIRST_PRICE
        self._timestamp = 0
        self.users = (*self._borrowers, self._whale, self.liquidator, *self._recipients)

    async def prepare(self) -> None:
        """Give everyone ether and both tokens, let the whale lend and everyone borrow, and read where all stand."""
        actors = (*self._borrowers, self._whale, self.liquidator)
        await fund(self._rpc, actors, ether=100_000)
        purses = [morpho_purse_calls(self._market, actor, LOAN_PURSE, COLLATERAL_PURSE) for actor in actors]
        await submit(self._rpc, [call for purse in purses for call in purse])
        calls: list[Call] = [supply_call(self._market, self._whale, WHALE_LOAN)]
        for borrower in self._borrowers:
            collateral = self._chance.randint(1, 40 * WAD)
            debt = int(collateral * 2_000 // 10**12 * self._chance.uniform(0.5, 0.85))
            calls += [collateral_call(self._market, borrower, collateral)]
            calls += [borrow_call(self._market, borrower, debt)] if debt else []
        await submit(self._rpc, calls)
        await self.look_again()

    async def look_again(self) -> None:
        """Read where all stand now."""
        head = await self._head()
        self._timestamp = int(head.timestamp, 16)
        self._totals, self._accounts = await look(self._rpc, self._market, self.users)

    async def step(self) -> MorphoStep:
        """Make one block of random transactions and return what it did.

        Raises:
            NodeError: the node failed; a reverted transaction is no failure.
        """
        self._timestamp += seconds_until_next_block(self._chance)
        actions = self._draw()
        hashes = await send(self._rpc, [action.call for action in actions])
        await self._rpc.call("evm_setNextBlockTimestamp", self._timestamp, answer=object)
        await self._rpc.call("evm_mine", answer=str)
        head = await self._head()
        receipts = await self._rpc.call("eth_getBlockReceipts", head.number, answer=list[Receipt])
        ran = [receipt.transaction_hash for receipt in receipts]
        invariant(ran == hashes, "random market", f"block {head.number} holds other transactions or another order")
        number = int(head.number, 16)
        self._totals, self._accounts = await look(self._rpc, self._market, self.users, number)
        return MorphoStep(
            number,
            self._timestamp,
            tuple(action.kind for action in actions),
            tuple(receipt.succeeded for receipt in receipts),
            tuple(await self._liquidations(actions, receipts)),
            self._totals,
            self._accounts,
        )

    async def _head(self) -> _Header:
        return await self._rpc.call("eth_getBlockByNumber", "latest", False, answer=_Header)

    def _draw(self) -> list[MorphoAction]:
        """Draw a block: liquidations first, so that the first of them runs on the state before."""
        chance = self._chance
        view = MorphoView(self._market, self._totals, self._accounts, self._recipients, self._price)
        first = [liquidation(chance, view, target, self.liquidator) for target in self._targets()]
        actors = chance.sample(self._borrowers, chance.randint(0, min(ACTORS_MAX, len(self._borrowers))))
        rest = [user_action(chance, view, actor) for actor in actors]
        if chance.random() < GOVERNANCE_SHARE:
            rest.append(governance(chance, view))
        if chance.random() < PRICE_SHARE:
            self._price = next_price(chance, self._price)
            rest.append(price_action(view, self._price))
        chance.shuffle(rest)
        return first + rest

    def _targets(self) -> list[str]:
        """Draw whom to liquidate: some of the unhealthy, now and then anybody."""
        unhealthy = [user for user in self.users if not self._accounts[user].healthy]
        targets = self._chance.sample(unhealthy, min(len(unhealthy), self._chance.randint(1, TARGETS_MAX)))
        if self._chance.random() < ANY_TARGET_SHARE:
            targets.insert(0, self._chance.choice(self._borrowers))
        return list(dict.fromkeys(targets))

    async def _liquidations(
        self, actions: Sequence[MorphoAction], receipts: Sequence[Receipt]
    ) -> list[MorphoLiquidation]:
        return [
            await self._liquidation(action.asked, receipt)
            for action, receipt in zip(actions, receipts, strict=True)
            if action.asked is not None
        ]

    async def _liquidation(self, asked: MorphoAsk, receipt: Receipt) -> MorphoLiquidation:
        found = [log for log in receipt.logs if log.topics[0] == LIQUIDATE_TOPIC]
        return await self._attempted(asked, receipt, decode_answer(("uint256",) * 5, found[0].data) if found else ())

    async def _attempted(self, asked: MorphoAsk, receipt: Receipt, amounts: tuple[int, ...]) -> MorphoLiquidation:
        data = b"" if amounts else await self._revert_data(receipt)
        return MorphoLiquidation(asked, self._timestamp, int(receipt.transaction_index, 16), amounts, data)

    async def _revert_data(self, receipt: Receipt) -> bytes:
        tracer = {"tracer": "callTracer"}
        trace = await self._rpc.call("debug_traceTransaction", receipt.transaction_hash, tracer, answer=Trace)
        return bytes.fromhex(trace.output.removeprefix("0x"))


@asynccontextmanager
async def random_morpho(
    rpc: LabRpc, market: MorphoMarket, *, seed: int, borrowers: int = 30
) -> AsyncIterator[RandomMorpho]:
    """Open a market nobody uses yet and hold the node's mining still while it is driven.

    Args:
        rpc: A node that does not mine by the clock; nobody else may send to it or mine on it meanwhile.
        market: As new.
        seed: Fixes every choice.
        borrowers: How many accounts act.

    Raises:
        NodeRefused: the opening was reverted.
    """
    async with held_still(rpc):
        driver = RandomMorpho(rpc, market, seed, borrowers)
        await driver.prepare()
        yield driver


@asynccontextmanager
async def held_still(rpc: LabRpc) -> AsyncIterator[None]:
    """Let the node mine when it is told, and afterwards as before."""
    automatic = await rpc.call("anvil_getAutomine", answer=bool)
    await rpc.call("evm_setAutomine", False, answer=type(None))
    try:
        yield
    finally:
        await rpc.call("evm_setAutomine", automatic, answer=type(None))
