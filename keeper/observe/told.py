"""A decision as the status and the page tell it: its line, and of whom and why, where it says so."""

from __future__ import annotations

from keeper.core.decisions import (
    AnyDecision,
    AuditAgreed,
    AuditFailed,
    HealthChanged,
    HedgeProposed,
    IntentAdmitted,
    LiquidationObserved,
    ProposalRefused,
    ProtectionRefused,
    RiskHealthChanged,
    VenuePaused,
)
from keeper.core.ids import Address, to_hex
from keeper.observe.lines import summary
from keeper.observe.status import DecisionStatus


def told(decision: AnyDecision, sequence: int, unix_ms: int) -> DecisionStatus:
    """Return what is shown of a decision."""
    venue, account = _subject(decision)
    return DecisionStatus(
        sequence=sequence,
        unix_ms=unix_ms,
        kind=type(decision).__name__,
        summary=summary(decision),
        venue=venue,
        account=None if account is None else to_hex(account),
        reason=_reason(decision),
    )


def _reason(decision: AnyDecision) -> str | None:
    """Return the rule by which something was refused, and the figures it went by."""
    if not isinstance(decision, ProposalRefused | ProtectionRefused):
        return None
    return f"{decision.reason}: {decision.detail}" if decision.detail else decision.reason


def _subject(decision: AnyDecision) -> tuple[str | None, Address | None]:  # noqa: PLR0911 - one line for each kind
    """Return the venue and the account that a decision is about; an intent's later steps name neither."""
    match decision:
        case HealthChanged(margin=of) | RiskHealthChanged(opinion=of):
            return of.venue, of.account
        case ProposalRefused(proposal=of) | ProtectionRefused(proposal=of) | HedgeProposed(plan=of):
            return of.venue, of.account
        case IntentAdmitted(intent=of):
            return of.venue, of.account
        case LiquidationObserved(liquidation=of):
            return of.venue, of.account
        case AuditFailed(venue=venue, account=account):
            return venue, account
        case AuditAgreed(venue=venue) | VenuePaused(venue=venue):
            return venue, None
    return None, None
