"""One line for each kind of record, for people: the newest decisions in ``/status``, and ``keeper journal tail``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from keeper.core.codec import AnyBody
from keeper.core.decisions import (
    AuditAgreed,
    AuditFailed,
    HealthChanged,
    HedgeProposed,
    IntentAdmitted,
    IntentAdvanced,
    LiquidationObserved,
    ProposalRefused,
    ProtectionRefused,
    RiskHealthChanged,
    SignerHalted,
    VenuePaused,
)
from keeper.core.facts import (
    AccountsAudited,
    AttemptPrepared,
    AttemptSent,
    BlockApplied,
    BlockFinalized,
    BlockReverted,
    BlocksBackfilled,
    BootstrapCompleted,
    BootstrapStarted,
    ClockTicked,
    HoldersFound,
    IntentDropped,
    KillSwitchChanged,
    LogsRepaired,
    PreflightSeen,
    ProviderChanged,
    RangeVerified,
    ReceiptSeen,
    RunStarted,
    RunStopped,
    SettingsReloaded,
    SignerRead,
    SignerReleased,
    VenueRead,
)
from keeper.core.ids import Hash32, to_hex
from keeper.core.own_money import ProtectionProposal
from keeper.core.risk import PPM
from keeper.core.units import BaseAmount, Wad
from keeper.core.venue import Preview

ID_CHARACTERS = 10
NOTABLE = (SignerHalted, HealthChanged, RiskHealthChanged, AuditFailed)
"""Decisions that an operator wants to see among everything else."""
_BASE_PER_CENT = 10**6
_WAD_PER_TENTHOUSANDTH = 10**14


def summary(body: AnyBody) -> str:
    """Say what a record says, in one line; every figure is exact or rounded down."""
    return " ".join(_SUMMARIES[type(body)](body).split())


def short_id(value: Hash32) -> str:
    """Return the first digits of a hash, enough to tell it by."""
    return to_hex(value)[:ID_CHARACTERS]


def dollars(amount: BaseAmount) -> str:
    """Write a USD amount in cents, rounded down."""
    cents = int(amount) // _BASE_PER_CENT
    return f"{'-' if cents < 0 else ''}${abs(cents) // 100:,}.{abs(cents) % 100:02}"


def percent(ppm: int) -> str:
    """Write a share in percent, two places."""
    return f"{ppm / PPM:.2%}"


def health(value: Wad | None) -> str:
    """Write a health factor with four places, rounded down so that below one never reads as one."""
    if value is None:
        return "-"
    tenthousandths = int(value) // _WAD_PER_TENTHOUSANDTH
    return f"{tenthousandths // 10_000}.{tenthousandths % 10_000:04}"


def _slice(preview: Preview) -> str:
    debt, collateral = to_hex(preview.debt_asset), to_hex(preview.collateral_asset)
    return (
        f"repay {dollars(preview.repaid_base)} of {debt}, seize {dollars(preview.seized_base)} of {collateral}, "
        f"health after {health(preview.health_after)}"
    )


def _run_started(fact: RunStarted) -> str:
    return f"run {short_id(fact.run_id)} of version {fact.code_version}, {'live' if fact.config.live else 'dry-run'}"


def _backfilled(fact: BlocksBackfilled) -> str:
    logs = sum(len(block.logs) for block in fact.blocks)
    return f"blocks {fact.first} to {fact.last.number}, {logs} logs, {len(fact.reads)} reads, {_behind(fact)}"


def _applied(fact: BlockApplied) -> str:
    place = f"block {fact.header.number} {short_id(fact.header.hash)}"
    return f"{place}, {len(fact.logs)} logs, {len(fact.reads)} reads, {_behind(fact)}"


def _behind(fact: BlocksBackfilled | BlockApplied) -> str:
    return f"{fact.behind_blocks} behind the head" if fact.behind_blocks else "at the head"


def _health_changed(decision: HealthChanged) -> str:
    margin = decision.margin
    why = f" ({margin.health.reason})" if margin.health.reason else ""
    return (
        f"{margin.venue} {to_hex(margin.account)} {decision.previous} -> {margin.health.status.value}{why}, "
        f"health {health(margin.health_wad)}, debt {dollars(margin.debt_base)}"
    )


def _risk_changed(decision: RiskHealthChanged) -> str:
    opinion = decision.opinion
    who = f"{opinion.venue} {to_hex(opinion.account)} {decision.previous} -> {opinion.status.value}"
    if opinion.reason is not None:
        return f"{who} ({opinion.reason})"
    return (
        f"{who}, health {health(opinion.health_wad)}, {health(opinion.stressed_wad)} after the moves of the "
        f"{opinion.model} model, chance of a breach {percent(opinion.breach_ppm)}"
    )


def _refused(decision: ProposalRefused) -> str:
    proposal = decision.proposal
    detail = f" ({decision.detail})" if decision.detail else ""
    return (
        f"{proposal.venue} {to_hex(proposal.account)} {decision.reason}{detail}: {_slice(proposal.preview)}, "
        f"profit {dollars(proposal.profit_base)}"
    )


def _admitted(decision: IntentAdmitted) -> str:
    intent, proposal = decision.intent, decision.proposal
    if decision.protection is not None:
        return f"{short_id(intent.intent_id)} {intent.venue} {to_hex(intent.account)} {_care(decision.protection)}"
    own = intent.why or f"allow {to_hex(intent.spend.token)}"
    what = own if proposal is None else _slice(proposal.preview)
    return f"{short_id(intent.intent_id)} {intent.venue} {to_hex(intent.account)} {intent.kind}: {what}"


def _care(proposal: ProtectionProposal) -> str:
    what = f"{proposal.action} {int(proposal.amount)} of {to_hex(proposal.asset)}, {dollars(proposal.amount_base)}"
    lines = f"floor {health(proposal.floor_health)}, target {health(proposal.target_health)}"
    moves = f"health {health(proposal.health_before)} -> {health(proposal.health_after)}"
    return f"protection: {what}, {moves} ({lines}; {proposal.rationale})"


def _protection_refused(decision: ProtectionRefused) -> str:
    proposal = decision.proposal
    detail = f" ({decision.detail})" if decision.detail else ""
    return f"{proposal.venue} {to_hex(proposal.account)} {decision.reason}{detail}: {_care(proposal)}"


def _hedged(decision: HedgeProposed) -> str:
    plan, size = decision.plan, decision.plan.size
    side = f"{'sell' if size < 0 else 'buy'} {abs(int(size))} / 10^18" if size else "nothing"
    price = f" at {dollars(plan.bound_base)} {'or more' if size < 0 else 'or less'}" if size else " to trade"
    place = f"{plan.venue} {to_hex(plan.account)} at block {decision.block_number}"
    return (
        f"{place}: {side} of {to_hex(plan.market)}{price}, "
        f"delta {dollars(plan.delta_base)}, band {dollars(plan.band_base)} ({plan.why})"
    )


def _advanced(decision: IntentAdvanced) -> str:
    return f"{short_id(decision.intent_id)} {decision.previous.value} -> {decision.state.value} ({decision.reason})"


def _observed(decision: LiquidationObserved) -> str:
    seen = decision.liquidation
    by = f"others, {decision.verdict.value}" if decision.intent_id is None else f"intent {short_id(decision.intent_id)}"
    why = f" ({decision.why})" if decision.why else ""
    return (
        f"{seen.venue} {to_hex(seen.account)} at block {decision.block_number} by {by}{why}: "
        f"repaid {int(seen.repaid)} of {to_hex(seen.debt_asset)}, "
        f"seized {int(seen.seized)} of {to_hex(seen.collateral_asset)}"
    )


def _preflight(fact: PreflightSeen) -> str:
    outcome = f"{fact.gas} gas" if fact.revert is None else f"would revert: {fact.revert.name}"
    return f"{short_id(fact.intent_id)} at block {fact.block_number}, {outcome}"


def _prepared(fact: AttemptPrepared) -> str:
    which = f"attempt {fact.attempt} ({fact.kind}) {short_id(fact.tx_hash)}, nonce {fact.nonce}"
    fees = f"fee {int(fact.fee_wei_max)} wei, priority {int(fact.priority_fee_wei_max)} wei"
    return f"{short_id(fact.intent_id)} {which}, {fees}"


def _sent(fact: AttemptSent) -> str:
    return f"{short_id(fact.intent_id)} {short_id(fact.tx_hash)} {fact.answer} by {fact.provider} {fact.message}"


def _receipt(fact: ReceiptSeen) -> str:
    outcome = "succeeded" if fact.succeeded else f"reverted: {fact.revert.name if fact.revert else 'unknown'}"
    place = f"in block {fact.block_number}, {fact.gas_used} gas at {int(fact.gas_price_wei)} wei"
    return f"{short_id(fact.intent_id)} {short_id(fact.tx_hash)} {outcome} {place}"


_SUMMARIES: Mapping[type, Callable[[Any], str]] = MappingProxyType(
    {
        RunStarted: _run_started,
        RunStopped: lambda fact: f"run {short_id(fact.run_id)}: {fact.reason}",
        SettingsReloaded: lambda fact: (
            f"at {fact.unix_ms} ms, {len(fact.settings_redacted_json)} characters of settings"
        ),
        BlocksBackfilled: _backfilled,
        BlockApplied: _applied,
        BlockReverted: lambda fact: f"block {fact.number} {short_id(fact.hash)}",
        BlockFinalized: lambda fact: f"block {fact.number} {short_id(fact.hash)}",
        RangeVerified: lambda fact: f"blocks {fact.first} to {fact.last} by {' and '.join(fact.providers)}",
        LogsRepaired: lambda fact: (
            f"from block {fact.first} on by {fact.source}, {fact.liar or 'nobody known'} had been wrong"
        ),
        BootstrapStarted: lambda fact: f"venues are read at block {fact.header.number} {short_id(fact.header.hash)}",
        HoldersFound: lambda fact: f"{len(fact.holders)} holders at {fact.venue} in blocks {fact.first} to {fact.last}",
        VenueRead: lambda fact: (
            f"{len(fact.items)} items of {fact.venue}, {len(fact.reads)} reads at block {short_id(fact.block_hash)}"
        ),
        BootstrapCompleted: lambda fact: f"chain {fact.chain_id} goes on from block {short_id(fact.block_hash)}",
        AccountsAudited: lambda fact: f"{len(fact.reads)} accounts of {fact.venue} at block {fact.block_number}",
        ClockTicked: lambda fact: f"{fact.unix_ms} ms",
        KillSwitchChanged: lambda fact: f"{'armed' if fact.armed else 'disarmed'} ({fact.reason})",
        ProviderChanged: lambda fact: (
            f"{fact.provider} of chain {fact.chain_id} {'is up' if fact.up else f'is down: {fact.reason}'}"
        ),
        SignerRead: lambda fact: (
            f"{fact.signer} at block {fact.block_number}: {int(fact.balance_wei)} wei, nonce {fact.nonce}"
        ),
        PreflightSeen: _preflight,
        AttemptPrepared: _prepared,
        AttemptSent: _sent,
        ReceiptSeen: _receipt,
        IntentDropped: lambda fact: f"{short_id(fact.intent_id)} {fact.reason}",
        HealthChanged: _health_changed,
        RiskHealthChanged: _risk_changed,
        ProposalRefused: _refused,
        ProtectionRefused: _protection_refused,
        HedgeProposed: _hedged,
        IntentAdmitted: _admitted,
        IntentAdvanced: _advanced,
        LiquidationObserved: _observed,
        SignerReleased: lambda fact: f"{fact.signer} goes on from nonce {fact.nonce} on chain {fact.chain_id}",
        VenuePaused: lambda decision: f"{decision.venue} up to block {decision.until_block}: {decision.reason}",
        SignerHalted: lambda decision: f"{decision.signer}: {decision.reason}",
        AuditFailed: lambda decision: (
            f"{decision.venue} {to_hex(decision.account)} at block {decision.block_number}: "
            f"ours {decision.ours}, the venue's {decision.theirs}"
        ),
        AuditAgreed: lambda decision: (
            f"{len(decision.accounts)} accounts of {decision.venue} at block {decision.block_number}"
        ),
    }
)
