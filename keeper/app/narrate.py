"""Decisions in a line, for the log and the status page."""

from __future__ import annotations

from keeper.core.decisions import (
    AnyDecision,
    HealthChanged,
    IntentAdmitted,
    IntentAdvanced,
    LiquidationObserved,
    ProposalRefused,
    SignerHalted,
)
from keeper.core.ids import to_hex
from keeper.core.units import Wad

ID_CHARACTERS = 18


def sentence(decision: AnyDecision) -> str:
    """Say what was concluded, in one line without secrets."""
    match decision:
        case HealthChanged(margin=margin, previous=previous):
            reason = f" ({margin.health.reason})" if margin.health.reason else ""
            status = margin.health.status.value
            health = _ratio(margin.health_wad)
            return f"{to_hex(margin.account)} on {margin.venue}: {previous} -> {status}{reason}, health {health}"
        case ProposalRefused(proposal=proposal):
            return f"slice of {to_hex(proposal.account)} refused: {decision.reason} ({decision.detail})"
        case IntentAdmitted(intent=intent, proposal=proposal):
            why = f": {proposal.rationale}" if proposal is not None else ""
            return f"{intent.kind} {_short(intent.intent_id)} for {to_hex(intent.account)} admitted{why}"
        case IntentAdvanced():
            states = f"{decision.previous.value} -> {decision.state.value}"
            return f"intent {_short(decision.intent_id)}: {states} ({decision.reason})"
        case LiquidationObserved(liquidation=seen):
            whose = "ours" if decision.intent_id is not None else f"by {to_hex(seen.liquidator)}"
            return f"liquidation of {to_hex(seen.account)} in block {decision.block_number}, {whose}"
        case SignerHalted():
            return f"signer {decision.signer} halted: {decision.reason}"


def _short(raw: bytes) -> str:
    return to_hex(raw)[:ID_CHARACTERS]


def _ratio(health_wad: Wad | None) -> str:
    return "none" if health_wad is None else f"{int(health_wad) / Wad.ONE:.6f}"
