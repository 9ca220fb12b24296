"""Small records of one chain, one venue and one signer, for tests that need some."""

from __future__ import annotations

from msgspec.structs import replace

from keeper.core.decisions import (
    HedgeProposed,
    Intent,
    IntentAdmitted,
    IntentAdvanced,
    IntentState,
    LiquidationObserved,
    Proposal,
    Verdict,
)
from keeper.core.facts import AttemptSent, BlockApplied, BlockHeader, ReceiptSeen, RunStarted, TokenSpend
from keeper.core.ids import Address, Hash32, content_id
from keeper.core.own_money import HedgePlan, ProtectionProposal
from keeper.core.runconfig import ChainSpec, Limits, RunConfig, SignerSpec, VenueSpec
from keeper.core.units import BaseAmount, BigInt, TokenAmount, Wad, Wei
from keeper.core.venue import Epoch, LiquidationSeen, Preview

CHAIN_ID = 31337
POOL = Address(b"\x01" * 20)
ACCOUNT = Address(b"\x02" * 20)
DEBT = Address(b"\x03" * 20)
COLLATERAL = Address(b"\x04" * 20)
SIGNER = Address(b"\x05" * 20)
INTENT_ID = content_id("intent")
TX_HASH = content_id("transaction")
USD = 10**8


def run_config() -> RunConfig:
    """Return the configuration of a run on one chain."""
    return RunConfig(
        live=True,
        chains=(
            ChainSpec(
                name="local",
                chain_id=CHAIN_ID,
                finality_depth_blocks=None,
                stale_after_seconds=60,
                wrapped_native=COLLATERAL,
            ),
        ),
        venues=(VenueSpec(name="aave", protocol="aave_v3", chain_id=CHAIN_ID, root=POOL, from_block=0, prices="read"),),
        signers=(
            SignerSpec(
                name="main",
                address=SIGNER,
                in_flight_max=4,
                bump_after_blocks=3,
                valid_for_blocks=20,
                balance_wei_min=Wei(0),
            ),
        ),
        strategies=(),
        limits=Limits(
            profit_base_min=BaseAmount(0),
            gas_price_wei_max=Wei(10**12),
            spend_base_per_hour_max=BaseAmount(10**18),
            spend_base_per_intent_max=BaseAmount(10**18),
            attempts_per_account_max=3,
            head_age_seconds_max=60,
        ),
    )


def run_started(unix_ms: int = 1_700_000_000_000) -> RunStarted:
    """Return the first fact of a run."""
    return RunStarted(content_id("run"), "0.1.0", run_config(), "{}", unix_ms)


def header(number: int, timestamp: int = 1_700_000_000) -> BlockHeader:
    """Return a block's header; each number has one hash, and its parent's is that of the number before."""
    return BlockHeader(number, block_hash(number), block_hash(number - 1), timestamp, 7, bytes(256))


def block_hash(number: int) -> Hash32:
    """Return the hash of a block."""
    return content_id("block", number)


def block_applied(
    number: int, timestamp: int = 1_700_000_000, *, behind_blocks: int = 0, seen_unix_ms: int = 0
) -> BlockApplied:
    """Return an empty block."""
    return BlockApplied(CHAIN_ID, header(number, timestamp), (), (), behind_blocks, seen_unix_ms)


def proposal() -> Proposal:
    """Return a slice that repays 100 USD, seizes 105, and costs 1 in gas and 2 in slippage."""
    preview = Preview(
        DEBT,
        COLLATERAL,
        TokenAmount(1000),
        TokenAmount(1000),
        TokenAmount(500),
        TokenAmount(0),
        BaseAmount(100 * USD),
        BaseAmount(105 * USD),
        BaseAmount(0),
        Wad(105 * 10**16),
        None,
    )
    return Proposal(
        "partial_liquidation",
        "aave",
        ACCOUNT,
        Epoch(5, 0),
        "target-health",
        Wad(99 * 10**16),
        preview,
        BaseAmount(1 * USD),
        BaseAmount(2 * USD),
        BaseAmount(2 * USD),
        "smallest slice",
        (),
    )


def intent() -> Intent:
    """Return the intent of :func:`proposal`."""
    return Intent(
        INTENT_ID,
        "liquidation",
        "aave",
        CHAIN_ID,
        "main",
        ACCOUNT,
        Epoch(5, 0),
        POOL,
        b"\x00",
        TokenSpend(DEBT, TokenAmount(1000)),
        BaseAmount(100 * USD),
        BaseAmount(2 * USD),
        Wei(10**11),
        10,
        30,
    )


def admitted() -> IntentAdmitted:
    """Return the admission of :func:`intent`."""
    return IntentAdmitted(intent(), proposal())


def protection() -> ProtectionProposal:
    """Return a repayment of 100 USD that brings an own account from 1.1 to 1.3."""
    return ProtectionProposal(
        strategy="self_protect",
        venue="aave",
        account=ACCOUNT,
        epoch=Epoch(5, 0),
        health_before=Wad(11 * 10**17),
        floor_health=Wad(115 * 10**16),
        target_health=Wad(13 * 10**17),
        action="repay",
        asset=DEBT,
        amount=TokenAmount(1000),
        amount_base=BaseAmount(100 * USD),
        health_after=Wad(13 * 10**17),
        gas_cost_base=BaseAmount(1 * USD),
        rationale="the least",
        alternatives=(),
    )


def protected() -> IntentAdmitted:
    """Return the admission of :func:`protection`."""
    return IntentAdmitted(replace(intent(), kind="protection"), None, protection())


def hedge(size: int = -5 * 10**17) -> HedgeProposed:
    """Return the plan to sell half a whole at 2,000 USD, no more than a hundredth below."""
    plan = HedgePlan(
        strategy="delta_hedge",
        venue="perp",
        market=COLLATERAL,
        account=SIGNER,
        exposures=(),
        position=BigInt(0),
        delta_base=BaseAmount(-size * 2_000 * USD // 10**18),
        band_base=BaseAmount(100 * USD),
        size=BigInt(size),
        size_base=BaseAmount(size * 2_000 * USD // 10**18),
        mark_base=BaseAmount(2_000 * USD),
        bound_base=BaseAmount((1_980 if size < 0 else 2_020) * USD),
        why="beyond the band",
    )
    return HedgeProposed(plan, 11)


def advanced(previous: IntentState, state: IntentState) -> IntentAdvanced:
    """Return a step of :func:`intent`."""
    return IntentAdvanced(INTENT_ID, previous, state, "")


def sent() -> AttemptSent:
    """Return a provider's acceptance of the intent's transaction."""
    return AttemptSent(INTENT_ID, TX_HASH, "http://127.0.0.1:8545", "accepted", "")


def receipt(number: int = 11) -> ReceiptSeen:
    """Return a receipt of 300000 gas at 2 gwei."""
    return ReceiptSeen(INTENT_ID, TX_HASH, number, block_hash(number), True, 300_000, Wei(2 * 10**9), None)


def liquidated(*, repaid: int = 1000, seized: int = 500, ours: bool = True) -> LiquidationObserved:
    """Return the venue's own event of a liquidation; one that is not ours was refused."""
    seen = LiquidationSeen("aave", ACCOUNT, SIGNER, DEBT, COLLATERAL, TokenAmount(repaid), TokenAmount(seized), TX_HASH)
    verdict, why = (Verdict.OURS, "") if ours else (Verdict.REFUSED, "dry_run")
    return LiquidationObserved(seen, 11, INTENT_ID if ours else None, verdict, why)
