"""The ledger equals the contract: every user, every block, all six figures, on a real market in random motion."""

from __future__ import annotations

import os
import random
from dataclasses import astuple

import msgspec
import pytest

from keeper.core.decisions import Verdict
from keeper.core.ids import parse_address
from keeper.lab.localchain.aave import AaveMarket
from keeper.lab.localchain.accounts import AccountData
from keeper.lab.localchain.random_market import random_market
from keeper.lab.localchain.rpc import LabRpc
from keeper.venues.aave_v3.market import Unknown
from tests.chain.aave_feed import Feed, JudgedFeed, missed, open_aave

SEED = int(os.environ.get("KEEPER_SEED", "1"))
STEPS = 260
BORROWERS = 40
COMPARISONS_MIN = 10_000
UNDO_SHARE = 0.1
UNDO_DEPTH_MAX = 5
RELOAD_EVERY_STEPS = 50


@pytest.mark.chain
@pytest.mark.parametrize(
    ("versioned_market", "seed"),
    [
        pytest.param("3.6", SEED, marks=pytest.mark.slow),
        *(
            pytest.param(*each, marks=pytest.mark.soak)
            for each in (("3.0", SEED), ("3.0", SEED + 1), ("3.6", SEED + 1))
        ),
    ],
    indirect=["versioned_market"],
)
async def test_account_data_equals_the_contract_for_every_user_at_every_block(
    rpc: LabRpc, versioned_market: AaveMarket, seed: int
) -> None:
    """In both price modes every value of getUserAccountData is equal to the wei, through undo and reload.

    Everyone whom the contract let be liquidated is unsafe by the ledger too, just before; at every block whoever is not
    healthy is a suspect, and not everyone is.
    """
    market, chance = versioned_market, random.Random(seed)
    feeds = {prices: JudgedFeed(rpc, open_aave(market, prices)) for prices in ("read", "events")}
    compared, screened = dict.fromkeys(feeds, 0), dict.fromkeys(feeds, 0)
    async with random_market(rpc, market, seed=seed, borrowers=BORROWERS) as driver:
        for number in range(STEPS):
            step = await driver.step()
            for prices, feed in feeds.items():
                await feed.up_to(step.block_number)
                if chance.random() < UNDO_SHARE:
                    _undo_and_feed_again(feed, chance.randint(1, UNDO_DEPTH_MAX))
                if number % RELOAD_EVERY_STEPS == 0:
                    _reload(market, feed, prices)
                assert _differing(feed, step.accounts) == {}, f"seed {seed}, block {step.block_number}, {prices}"
                assert missed(feed.ledger) == [], f"seed {seed}, block {step.block_number}, {prices}"
                screened[prices] += len(feed.ledger.accounts()) - len(feed.ledger.suspects())
                compared[prices] += len(step.accounts)
    print(f"v{market.version}, seed {seed}: {compared} comparisons of six figures, 0 different")  # noqa: T201 - a randomised run says its seed
    assert min(compared.values()) >= COMPARISONS_MIN
    assert min(screened.values()) > 0
    assert [set(feed.verdicts) for feed in feeds.values()] == [{Verdict.DECIDED_LATE}, {Verdict.DECIDED_LATE}]


def _differing(feed: Feed, accounts: dict[str, AccountData]) -> dict[str, tuple[object, object]]:
    found = {user: feed.ledger.account_data(parse_address(user)) for user in accounts}
    ours = {user: data if isinstance(data, Unknown) else msgspec.structs.astuple(data) for user, data in found.items()}
    return {user: (ours[user], astuple(theirs)) for user, theirs in accounts.items() if ours[user] != astuple(theirs)}


def _undo_and_feed_again(feed: Feed, depth: int) -> None:
    """Reorganise to the same blocks, which must leave no trace."""
    before = feed.ledger.dump()
    undone = [feed.undo() for _ in range(depth)]
    for block in reversed(undone):
        feed.apply(block)
    assert feed.ledger.dump() == before


def _reload(market: AaveMarket, feed: Feed, prices: str) -> None:
    """Go on with a ledger that was loaded from the dump of the one so far."""
    ledger = open_aave(market, prices)
    ledger.load(feed.ledger.dump())
    assert ledger.dump() == feed.ledger.dump()
    feed.ledger = ledger
