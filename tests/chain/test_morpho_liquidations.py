"""A liquidation is known before it is sent: amounts, bad debt and all that is left, or the error."""

from __future__ import annotations

import os
from collections import Counter

import pytest

from keeper.core.decisions import Verdict
from keeper.core.ids import parse_address, to_hex
from keeper.core.units import TokenAmount
from keeper.lab.localchain.morpho import MorphoMarket, RateModel, look
from keeper.lab.localchain.node import LocalNode
from keeper.lab.localchain.random_morpho import MorphoLiquidation, random_morpho
from keeper.lab.localchain.rpc import LabRpc
from keeper.lab.localchain.transactions import read
from keeper.venues.morpho_blue.calls import revert_name
from keeper.venues.morpho_blue.ledger import MorphoLedger
from keeper.venues.morpho_blue.liquidation import Form, Outcome
from tests.chain.aave_feed import Feed, JudgedFeed
from tests.chain.morpho_feed import fresh_morpho, open_morpho

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
                    tried[await _tried(rpc, market, feed.ledger, driver.liquidator, user, part)] += 1
    print(f"{tried.total()} slices as previewed: {dict(tried)}")  # noqa: T201 - a randomised run says what it saw
    assert set(tried) >= {"executed", "emptied"}


async def _tried(rpc: LabRpc, market: MorphoMarket, ledger: MorphoLedger, liquidator: str, user: str, part: int) -> str:
    """Execute a slice in the next block, look at the account, and take the block back."""
    account = parse_address(user)
    (pair,) = ledger.pairs(account)
    cover = TokenAmount(max(1, int(pair.cover_max) // part))
    told = ledger.preview(account, pair.debt_asset, pair.collateral_asset, cover)
    if told.revert is not None:
        return told.revert
    call = ledger.liquidation_call(account, told)
    snapshot = await rpc.call("evm_snapshot", answer=str)
    held = await _balances(rpc, market, liquidator)
    await rpc.call("evm_setNextBlockTimestamp", ledger.market().timestamp, answer=object)
    transaction = {"from": liquidator, "to": to_hex(call.to), "data": to_hex(call.data), "gas": hex(1_000_000)}
    await rpc.call("eth_sendTransaction", transaction, answer=str)
    await rpc.call("evm_mine", answer=str)
    now = await _balances(rpc, market, liquidator)
    _, left = await look(rpc, market, [user])
    await rpc.call("evm_revert", snapshot, answer=bool)
    assert (held[0] - now[0], now[1] - held[1]) == (told.repaid, told.seized), told
    assert TokenAmount(0) < told.repaid <= cover
    assert (left[user].debt * 100, left[user].debt == 0) == (told.debt_left_base, told.health_after is None), told
    return "emptied" if left[user].collateral == 0 else "executed"


async def _balances(rpc: LabRpc, market: MorphoMarket, owner: str) -> tuple[int, int]:
    """Return what somebody holds of the loan token and of the collateral."""
    found = [
        await read(rpc, token, "balanceOf(address)", owner, returns=("uint256",))
        for token in (market.loan, market.collateral)
    ]
    return found[0][0], found[1][0]
