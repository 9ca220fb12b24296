"""Drive a real market at random, block by block, and say what the contracts made of it.

The comparison suites fold the event logs of such a run and compare every account of every block with what the pool
says. Every choice comes from the seed and from what the chain answered, every block's time and order of transactions
is set, so on a node with a fixed genesis time the same seed makes the same chain.

::

    options = NodeOptions(timestamp=1_700_000_000, timestamp_interval_seconds=1)
    async with running_node(options) as node, LabRpc(node.http_url) as rpc:
        market = await deploy_aave_market(rpc, node.node_modules)
        async with random_market(rpc, market, seed=1, borrowers=40) as driver:
            for _ in range(300):
                step = await driver.step()
                # step.accounts: what the pool says about everyone at step.block_number
                # step.liquidations: asked, and what came of it

A liquidation with ``transaction_index == 0`` ran on the state of the block before, at the time of its own block; that
is the one to compare a preview with. The others ran after other transactions of their block.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec

from keeper.core.errors import invariant
from keeper.lab.localchain.aave import AaveMarket
from keeper.lab.localchain.accounts import (
    AccountData,
    account_data,
    fund,
    positions,
    purse_calls,
    seeded_address,
    units_worth,
)
from keeper.lab.localchain.prices import price_call
from keeper.lab.localchain.random_actions import Action, LiquidationAsk, View, liquidation, user_action
from keeper.lab.localchain.random_governance import governance, next_prices, seconds_until_next_block
from keeper.lab.localchain.rpc import LabRpc
from keeper.lab.localchain.scenario import USD, open_borrowers, open_whale
from keeper.lab.localchain.transactions import Receipt, decode_answer, revert_data, send, submit

PURSE_USD = 1_000_000_000
ONE_WAD = 10**18
ACTORS_MAX = 5
TARGETS_MAX = 3
GOVERNANCE_SHARE = 0.15
UNDO_SHARE = 0.4
UNORDERED_SHARE = 0.15
ANY_TARGET_SHARE = 0.06
LIQUIDATION_TOPIC = "0xe413a321e8681d831f4dbccbca790d2952b56f977908e45be37335533e005286"
DEFICIT_TOPIC = "0x2bccfb3fad376d59d7accf970515eb77b2f27b082c90ed0fb15583dd5a942699"


@dataclass(frozen=True, slots=True)
class Liquidation:
    """One attempted liquidation and what came of it.

    Attributes:
        asked: The arguments and the caller.
        block_number: The block it ran in.
        timestamp: That block's time, Unix seconds.
        transaction_index: Its place in the block; at 0 the state before it is that of the block before.
        succeeded: Whether it was not reverted.
        debt_covered: ``debtToCover`` of its event, base units of the debt asset; 0 when reverted.
        collateral_seized: ``liquidatedCollateralAmount`` of its event, base units of the collateral; 0 when reverted.
        revert_data: What the pool gave as its error; empty when it succeeded or gave none.
        deficits: How many debts were written off with it.
    """

    asked: LiquidationAsk
    block_number: int
    timestamp: int
    transaction_index: int
    succeeded: bool
    debt_covered: int
    collateral_seized: int
    revert_data: bytes
    deficits: int


@dataclass(frozen=True, slots=True)
class Step:
    """One block: what was done, whether each was reverted, and what the pool says about everyone afterwards."""

    block_number: int
    timestamp: int
    actions: tuple[Action, ...]
    succeeded: tuple[bool, ...]
    liquidations: tuple[Liquidation, ...]
    accounts: dict[str, AccountData]


class _Header(msgspec.Struct, frozen=True):
    number: str
    timestamp: str


class RandomMarket:
    """A market in random motion. Made by :func:`random_market`.

    Attributes:
        users: Everyone who may have a position: borrowers, the liquidity provider, the liquidator, the treasury.
    """

    def __init__(self, rpc: LabRpc, market: AaveMarket, seed: int, borrowers: tuple[str, ...], whale: str) -> None:
        self._rpc = rpc
        self._market = market
        self._chance = random.Random(seed)  # noqa: S311 - a reproducible scenario, not a secret
        self._borrowers = borrowers
        self._liquidator = seeded_address(seed, "third party")
        self._prices = {asset.symbol: asset.price for asset in market.assets}
        self._undo: list[Action] = []
        self._timestamp = 0
        self._accounts: dict[str, AccountData] = {}
        self.users = (*borrowers, whale, self._liquidator, market.treasury)

    async def prepare(self) -> None:
        """Give everyone ether and a purse of every asset, and read where everyone stands."""
        actors = (*self._borrowers, self._liquidator)
        await fund(self._rpc, actors, ether=100_000)
        purses = [
            (actor, asset, units_worth(asset, PURSE_USD * USD)) for actor in actors for asset in self._market.assets
        ]
        await submit(
            self._rpc,
            [call for actor, asset, amount in purses for call in purse_calls(self._market, actor, asset, amount)],
        )
        head = await self._rpc.call("eth_getBlockByNumber", "latest", False, answer=_Header)
        self._timestamp = int(head.timestamp, 16)
        self._accounts = await account_data(self._rpc, self._market.pool, self.users)

    async def go_on(self, market: AaveMarket) -> None:
        """Drive the same market as it is called after an upgrade, from the newest block on."""
        self._market = market
        self._undo.clear()
        head = await self._rpc.call("eth_getBlockByNumber", "latest", False, answer=_Header)
        self._timestamp = int(head.timestamp, 16)
        self._accounts = await account_data(self._rpc, market.pool, self.users)

    async def step(self) -> Step:
        """Make one block of random transactions and return what it did.

        Raises:
            NodeError: the node failed; a reverted transaction is no failure.
        """
        self._timestamp += seconds_until_next_block(self._chance)
        actions = await self._draw()
        hashes = await send(self._rpc, [action.call for action in actions])
        await self._rpc.call("evm_setNextBlockTimestamp", self._timestamp, answer=object)
        await self._rpc.call("evm_mine", answer=str)
        head = await self._rpc.call("eth_getBlockByNumber", "latest", False, answer=_Header)
        receipts = await self._receipts(head, hashes)
        block_number = int(head.number, 16)
        self._accounts = await account_data(self._rpc, self._market.pool, self.users, block_number)
        return Step(
            block_number,
            self._timestamp,
            tuple(actions),
            tuple(receipt.succeeded for receipt in receipts),
            tuple(
                [
                    await self._liquidation(action.asked, receipt)
                    for action, receipt in zip(actions, receipts, strict=True)
                    if action.asked is not None
                ]
            ),
            self._accounts,
        )

    async def _draw(self) -> list[Action]:
        """Draw a block: liquidations first, so that they run on the state before; a share of blocks in any order."""
        chance = self._chance
        actors = chance.sample(self._borrowers, chance.randint(0, min(ACTORS_MAX, len(self._borrowers))))
        targets = self._targets()
        drawn = list(dict.fromkeys([*actors, *targets]))
        held = await positions(self._rpc, self._market, drawn)
        view = View(self._market, self.users, self._accounts, held, self._prices)
        first = [liquidation(chance, view, target, self._caller()) for target in targets]
        rest = [user_action(chance, view, actor) for actor in actors] + self._world()
        chance.shuffle(rest)
        actions = first + rest
        if chance.random() < UNORDERED_SHARE:
            chance.shuffle(actions)
        return actions

    def _targets(self) -> list[str]:
        """Draw whom to liquidate: some of the unhealthy that have collateral, now and then anybody."""
        unhealthy = [user for user in self.users if _can_be_liquidated(self._accounts[user])]
        targets = self._chance.sample(unhealthy, min(len(unhealthy), self._chance.randint(1, TARGETS_MAX)))
        if self._chance.random() < ANY_TARGET_SHARE:
            targets.append(self._chance.choice(self._borrowers))
        return targets

    def _caller(self) -> str:
        """Draw who liquidates: a third party, one time in ten somebody with a position."""
        return self._liquidator if self._chance.random() < 0.9 else self._chance.choice(self._borrowers)  # noqa: PLR2004 - the docstring's share

    def _world(self) -> list[Action]:
        """Draw what happens to the market: prices, and now and then governance."""
        moved = next_prices(self._chance, self._market, self._prices)
        self._prices |= moved
        feeds = {asset.symbol: asset.feed for asset in self._market.assets}
        actions = [Action("price", price_call(self._market, feeds[symbol], price)) for symbol, price in moved.items()]
        if self._undo and self._chance.random() < UNDO_SHARE:
            actions.append(self._undo.pop())
        if self._chance.random() < GOVERNANCE_SHARE:
            change = governance(self._chance, self._market)
            actions.append(change.action)
            self._undo += [change.undo] if change.undo is not None else []
        return actions

    async def _receipts(self, head: _Header, hashes: Sequence[str]) -> list[Receipt]:
        """Return the block's receipts in the order asked for, which is the order they ran in."""
        receipts = await self._rpc.call("eth_getBlockReceipts", head.number, answer=list[Receipt])
        ran = [receipt.transaction_hash for receipt in receipts]
        invariant(
            ran == list(hashes), "random market", f"block {head.number} holds other transactions or another order"
        )
        invariant(int(head.timestamp, 16) == self._timestamp, "random market", "the node set another block time")
        return receipts

    async def _liquidation(self, asked: LiquidationAsk, receipt: Receipt) -> Liquidation:
        covered = seized = 0
        for log in receipt.logs:
            if log.topics[0] == LIQUIDATION_TOPIC:
                covered, seized = decode_answer(("uint256", "uint256"), log.data)
        return Liquidation(
            asked,
            int(receipt.block_number, 16),
            self._timestamp,
            int(receipt.transaction_index, 16),
            receipt.succeeded,
            covered,
            seized,
            b"" if receipt.succeeded else await revert_data(self._rpc, receipt.transaction_hash),
            sum(log.topics[0] == DEFICIT_TOPIC for log in receipt.logs),
        )


def _can_be_liquidated(account: AccountData) -> bool:
    return account.health_wad < ONE_WAD and account.collateral_base > 0


@asynccontextmanager
async def random_market(
    rpc: LabRpc, market: AaveMarket, *, seed: int, borrowers: int = 40
) -> AsyncIterator[RandomMarket]:
    """Open a whale and borrowers on a fresh market and hold the node's mining still while the market is driven.

    Args:
        rpc: A node that does not mine by the clock; nobody else may send to it or mine on it meanwhile.
        market: A market nobody uses yet.
        seed: Fixes every choice.
        borrowers: How many accounts act.

    Raises:
        NodeRefused: the opening was reverted.
    """
    automatic = await rpc.call("anvil_getAutomine", answer=bool)
    await rpc.call("evm_setAutomine", False, answer=type(None))
    try:
        whale = await open_whale(rpc, market, seed)
        opened = await open_borrowers(rpc, market, borrowers, seed)
        driver = RandomMarket(rpc, market, seed, tuple(one.address for one in opened), whale)
        await driver.prepare()
        yield driver
    finally:
        await rpc.call("evm_setAutomine", automatic, answer=type(None))
