"""The ledger equals the contract: every account, every block, position, debt and verdict, in random motion."""

from __future__ import annotations

import os
import random

import pytest

from keeper.core.ids import parse_address
from keeper.core.venue import Status
from keeper.lab.localchain.morpho import MarketTotals, MorphoAccount, MorphoMarket, RateModel
from keeper.lab.localchain.node import LocalNode
from keeper.lab.localchain.random_morpho import random_morpho
from keeper.lab.localchain.rpc import LabRpc
from keeper.venues.morpho_blue.ledger import MorphoLedger
from keeper.venues.morpho_blue.market import Unknown
from tests.chain.aave_feed import Feed, missed
from tests.chain.morpho_feed import fresh_morpho, open_morpho

SEED = int(os.environ.get("KEEPER_SEED", "1"))
STEPS = 330
BORROWERS = 30
COMPARISONS_MIN = 10_000
UNDO_SHARE = 0.1
UNDO_DEPTH_MAX = 5
RELOAD_EVERY_STEPS = 50


@pytest.mark.chain
@pytest.mark.parametrize(
    ("seed", "model"),
    [
        pytest.param(SEED, "adaptive", marks=pytest.mark.slow),
        pytest.param(SEED + 1, "utilization", marks=pytest.mark.soak),
        pytest.param(SEED + 2, "none", marks=pytest.mark.soak),
    ],
)
async def test_positions_debts_and_verdicts_equal_the_contracts(
    rpc: LabRpc, anvil_node: LocalNode, seed: int, model: RateModel
) -> None:
    """With either interest-rate model and with none, all figures are equal to the wei, through undo and reload."""
    chance = random.Random(seed)
    compared = unhealthy = 0
    async with (
        fresh_morpho(rpc, anvil_node, model) as market,
        random_morpho(rpc, market, seed=seed, borrowers=BORROWERS) as driver,
    ):
        feed = Feed(rpc, open_morpho(market), first=market.first_block)
        for number in range(STEPS):
            step = await driver.step()
            await feed.up_to(step.block_number)
            if chance.random() < UNDO_SHARE:
                _undo_and_feed_again(feed, chance.randint(1, UNDO_DEPTH_MAX))
            if number % RELOAD_EVERY_STEPS == 0:
                _reload(market, feed)
            where = f"seed {seed}, block {step.block_number}"
            assert _totals(feed.ledger) == step.totals, where
            assert _differing(feed.ledger, step.accounts) == {}, where
            assert feed.ledger.accounts() == _debtors(step.accounts), where
            assert missed(feed.ledger) == [], where
            compared += len(step.accounts)
            unhealthy += sum(not account.healthy for account in step.accounts.values())
    print(f"seed {seed}, {model}: {compared} comparisons, 0 different; {unhealthy} of unhealthy accounts")  # noqa: T201 - a randomised run says its seed
    assert compared >= COMPARISONS_MIN


def _totals(ledger: MorphoLedger) -> MarketTotals:
    totals = ledger.market().totals
    figures = (totals.supply_assets, totals.supply_shares, totals.borrow_assets, totals.borrow_shares)
    return MarketTotals(*figures, totals.last_update, totals.fee)


def _debtors(accounts: dict[str, MorphoAccount]) -> tuple[bytes, ...]:
    return tuple(sorted(parse_address(user) for user, account in accounts.items() if account.borrow_shares))


def _differing(ledger: MorphoLedger, accounts: dict[str, MorphoAccount]) -> dict[str, tuple[object, object]]:
    ours = {user: _ours(ledger, user) for user in accounts}
    return {user: (ours[user], theirs) for user, theirs in accounts.items() if ours[user] != theirs}


def _ours(ledger: MorphoLedger, user: str) -> MorphoAccount | str:
    account = parse_address(user)
    position, figures = ledger.position(account), ledger.figures(account)
    if isinstance(figures, Unknown):
        return figures.reason
    held = (position.supply_shares, position.borrow_shares, position.collateral)
    return MorphoAccount(*held, figures.debt, ledger.margin(account).health.status is Status.HEALTHY)


def _undo_and_feed_again(feed: Feed[MorphoLedger], depth: int) -> None:
    """Reorganise to the same blocks, which must leave no trace."""
    before = feed.ledger.dump()
    undone = [feed.undo() for _ in range(depth)]
    for block in reversed(undone):
        feed.apply(block)
    assert feed.ledger.dump() == before


def _reload(market: MorphoMarket, feed: Feed[MorphoLedger]) -> None:
    """Go on with a ledger that was loaded from the dump of the one so far."""
    ledger = open_morpho(market)
    ledger.load(feed.ledger.dump())
    assert ledger.dump() == feed.ledger.dump()
    feed.ledger = ledger
