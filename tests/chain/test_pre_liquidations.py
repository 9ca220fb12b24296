"""A pre-liquidation is known before it is sent, on the published Morpho: amounts and all that is left, or the error."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from keeper.core.decisions import Verdict
from keeper.core.ids import parse_address, to_hex
from keeper.core.units import Wad
from keeper.lab.localchain.node import LocalNode
from keeper.lab.localchain.pre_liquidation import (
    PreAsk,
    deploy_pre_liquidation,
    random_pre_liquidation,
)
from keeper.lab.localchain.random_morpho import MorphoLiquidation, MorphoStep
from keeper.lab.localchain.rpc import LabRpc
from keeper.venues.morpho_blue.calls import revert_name
from keeper.venues.morpho_blue.liquidation import Form
from keeper.venues.morpho_blue.pre_ledger import PreLiquidationLedger
from tests.chain.aave_feed import Feed, JudgedFeed
from tests.chain.morpho_feed import Executed, execute_slice, fresh_morpho, open_pre_liquidation

SEED = int(os.environ.get("KEEPER_SEED", "1"))
STEPS = 300
BORROWERS = 30
ATTEMPTS_MIN = 250
SLICES_MIN = 50
PARTS = (1, 3, 1_000_000)
RELOAD_EVERY_STEPS = 50
OUTCOMES = {"executed", "NotPreLiquidatablePosition", "PreLiquidationTooLarge", "unauthorized"}


@pytest.mark.chain
@pytest.mark.parametrize(
    ("seed", "own_oracle"),
    [pytest.param(SEED, True, marks=pytest.mark.slow), pytest.param(SEED + 1, False, marks=pytest.mark.soak)],
)
async def test_an_attempt_does_what_was_foretold(
    rpc: LabRpc, anvil_node: LocalNode, seed: int, *, own_oracle: bool
) -> None:
    """On the state of the block before, at the time of its own, every amount is foretold to the wei, or the error.

    Afterwards every position is the contract's, and who was closed in part had been past the line by the ledger too.
    """
    outcomes: Counter[str] = Counter()
    agreed = 0
    async with fresh_morpho(rpc, anvil_node) as market:
        contract = await deploy_pre_liquidation(rpc, anvil_node.node_modules, market, own_oracle=own_oracle)
        async with random_pre_liquidation(rpc, market, contract, seed=seed, borrowers=BORROWERS) as driver:
            feed = JudgedFeed(rpc, open_pre_liquidation(market, contract), first=market.first_block)
            for number in range(STEPS):
                step = await driver.step()
                await feed.up_to(step.block_number - 1)
                if number % RELOAD_EVERY_STEPS == 0:
                    feed.ledger = _reloaded(feed.ledger, open_pre_liquidation(market, contract))
                attempts = [each for each in step.liquidations if isinstance(each.asked, PreAsk)]
                outcomes.update(_checked(feed.ledger, each) for each in attempts if each.transaction_index == 0)
                await feed.up_to(step.block_number)
                if number % RELOAD_EVERY_STEPS == 0:
                    agreed += await _audited(feed)
                assert _differing(feed.ledger, step) == [], f"seed {seed}, block {step.block_number}"
                assert len(feed.seen) == sum(bool(attempt.amounts) for attempt in attempts)
                feed.seen.clear()
    print(f"seed {seed}: {outcomes.total()} attempts foretold, 0 wrong: {dict(outcomes)}")  # noqa: T201 - a randomised run says its seed
    assert outcomes.total() >= ATTEMPTS_MIN
    assert set(feed.verdicts) == {Verdict.DECIDED_LATE}
    assert set(outcomes) >= OUTCOMES
    assert agreed >= STEPS // RELOAD_EVERY_STEPS


async def _audited(feed: Feed[PreLiquidationLedger]) -> int:
    """Return how many accounts the chain says of what the ledger says; of none it says anything else."""
    requests = feed.ledger.audit_reads(feed.ledger.accounts())
    findings = feed.ledger.audit_findings(await feed.reads(feed.blocks[-1].header.hash, requests))
    assert [each for each in findings if not each.agrees] == []
    return len(findings)


def _reloaded(ledger: PreLiquidationLedger, empty: PreLiquidationLedger) -> PreLiquidationLedger:
    empty.load(ledger.dump())
    assert empty.dump() == ledger.dump()
    return empty


def _checked(ledger: PreLiquidationLedger, attempt: MorphoLiquidation) -> str:
    """Compare an attempt with what was foretold; return what it came to."""
    asked = attempt.asked
    form = Form(asked.seized, asked.repaid_shares)
    told = ledger.outcome(parse_address(asked.borrower), form, at_timestamp=attempt.timestamp)
    if isinstance(told, str):
        assert (told, ()) == (revert_name(attempt.revert_data), attempt.amounts), attempt
        return told.partition("(")[0]
    assert (told.repaid, told.repaid_shares, told.seized) == attempt.amounts, attempt
    return "executed"


def _differing(ledger: PreLiquidationLedger, step: MorphoStep) -> list[str]:
    ours = {user: ledger.position(parse_address(user)) for user in step.accounts}
    return [
        user
        for user, told in step.accounts.items()
        if (ours[user].supply_shares, ours[user].borrow_shares, ours[user].collateral)
        != (told.supply_shares, told.borrow_shares, told.collateral)
    ]


@pytest.mark.chain
@pytest.mark.slow
async def test_a_slice_does_what_its_preview_said(rpc: LabRpc, anvil_node: LocalNode) -> None:
    """The call for all that the close factor lets, a third of it and a sliver does as each preview says, to the wei."""
    tried: Counter[str] = Counter()
    async with fresh_morpho(rpc, anvil_node) as market:
        contract = await deploy_pre_liquidation(rpc, anvil_node.node_modules, market)
        async with random_pre_liquidation(rpc, market, contract, seed=SEED + 7, borrowers=BORROWERS) as driver:
            feed = Feed(rpc, open_pre_liquidation(market, contract), first=market.first_block)
            while tried.total() < SLICES_MIN:
                await feed.up_to((await driver.step()).block_number)
                for account in feed.ledger.accounts():
                    for part in PARTS if feed.ledger.pairs(account) else ():
                        who = (driver.liquidator, to_hex(account))
                        done = await execute_slice(rpc, market, feed.ledger, who, part)
                        tried[_came_to(done, feed.ledger.liquidation_gas)] += 1
    print(f"{tried.total()} slices as previewed: {dict(tried)}")  # noqa: T201 - a randomised run says what it saw
    assert set(tried) >= {"executed", "out of the zone"}


def _came_to(done: Executed | str, gas_max: int) -> str:
    """Say what a slice came to; its gas is below what the venue says."""
    if isinstance(done, str):
        return done
    assert done.gas < gas_max
    health = done.told.health_after
    return "out of the zone" if health is None or health >= Wad(Wad.ONE) else "executed"
