"""A liquidation is known before it is sent: amounts, bad debt and all that is left, or the error."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from keeper.core.decisions import Verdict
from keeper.core.ids import parse_address
from keeper.lab.localchain.morpho import RateModel
from keeper.lab.localchain.node import LocalNode
from keeper.lab.localchain.random_morpho import MorphoLiquidation, random_morpho
from keeper.lab.localchain.rpc import LabRpc
from keeper.venues.morpho_blue.calls import revert_name
from keeper.venues.morpho_blue.ledger import MorphoLedger
from keeper.venues.morpho_blue.liquidation import Form, Outcome
from tests.chain.aave_feed import Feed, JudgedFeed
from tests.chain.morpho_feed import Executed, execute_slice, fresh_morpho, open_morpho

SEED = int(os.environ.get("KEEPER_SEED", "1"))
STEPS = 300
BORROWERS = 30
ATTEMPTS_MIN = 50
SLICES_MIN = 50
PARTS = (1, 3, 1_000_000)


@pytest.mark.chain
@pytest.mark.parametrize(
    ("seed", "model"),
    [
        pytest.param(SEED, "adaptive", marks=pytest.mark.slow),
        pytest.param(SEED + 1, "utilization", marks=pytest.mark.soak),
        pytest.param(SEED + 2, "none", marks=pytest.mark.soak),
    ],
)
async def test_an_attempt_does_what_was_foretold(
    rpc: LabRpc, anvil_node: LocalNode, seed: int, model: RateModel
) -> None:
    """On the state of the block before, at the time of its own, every amount is foretold to the wei, or the error.

    Everyone whom the contract let be liquidated is unsafe by the ledger too, just before.
    """
    outcomes: Counter[str] = Counter()
    async with (
        fresh_morpho(rpc, anvil_node, model) as market,
        random_morpho(rpc, market, seed=seed, borrowers=BORROWERS) as driver,
    ):
        feed = JudgedFeed(rpc, open_morpho(market), first=market.first_block)
        for _ in range(STEPS):
            step = await driver.step()
            await feed.up_to(step.block_number - 1)
            for attempt in step.liquidations:
                if attempt.transaction_index == 0:
                    outcomes[_checked(feed.ledger, attempt)] += 1
            await feed.up_to(step.block_number)
            assert len(feed.seen) == sum(bool(attempt.amounts) for attempt in step.liquidations)
            feed.seen.clear()
    print(f"seed {seed}, {model}: {outcomes.total()} attempts foretold, 0 wrong: {dict(outcomes)}")  # noqa: T201 - a randomised run says its seed
    assert outcomes.total() >= ATTEMPTS_MIN
    assert set(feed.verdicts) == {Verdict.DECIDED_LATE}
    assert {"executed", "position is healthy", "Panic(0x11)"} <= set(outcomes)


def _checked(ledger: MorphoLedger, attempt: MorphoLiquidation) -> str:
    """Compare an attempt with what was foretold; return what it came to."""
    asked = attempt.asked
    form = Form(asked.seized, asked.repaid_shares)
    told = ledger.outcome(parse_address(asked.borrower), form, at_timestamp=attempt.timestamp)
    if isinstance(told, str):
        assert (told, ()) == (revert_name(attempt.revert_data), attempt.amounts), attempt
        return told
    assert _amounts(told) == attempt.amounts, attempt
    return "executed with bad debt" if told.bad_debt else "executed"


def _amounts(told: Outcome) -> tuple[int, ...]:
    return (told.repaid, told.repaid_shares, told.seized, told.bad_debt, told.bad_debt_shares)


@pytest.mark.chain
@pytest.mark.slow
async def test_a_slice_does_what_its_preview_said(rpc: LabRpc, anvil_node: LocalNode) -> None:
    """The call for all of an unsafe account, a third of it and a sliver changes it as each preview says, to the wei."""
    tried: Counter[str] = Counter()
    async with (
        fresh_morpho(rpc, anvil_node) as market,
        random_morpho(rpc, market, seed=SEED + 7, borrowers=BORROWERS) as driver,
    ):
        feed = Feed(rpc, open_morpho(market), first=market.first_block)
        while tried.total() < SLICES_MIN:
            step = await driver.step()
            await feed.up_to(step.block_number)
            for user, account in step.accounts.items():
                for part in PARTS if not account.healthy else ():
                    done = await execute_slice(rpc, market, feed.ledger, (driver.liquidator, user), part)
                    tried[_came_to(done)] += 1
    print(f"{tried.total()} slices as previewed: {dict(tried)}")  # noqa: T201 - a randomised run says what it saw
    assert set(tried) >= {"executed", "emptied"}


def _came_to(done: Executed | str) -> str:
    """Say what a slice came to; a debt is gone exactly when its preview says so."""
    if isinstance(done, str):
        return done
    assert (done.left.debt == 0) is (done.told.health_after is None), done
    return "emptied" if done.left.collateral == 0 else "executed"
