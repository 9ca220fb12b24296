"""The first pass of a postmortem: how many heads a window has, and which accounts something happened to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from keeper.core.codec import Record
from keeper.core.decisions import (
    AuditFailed,
    HealthChanged,
    IntentAdmitted,
    LiquidationObserved,
    ProposalRefused,
    ProtectionRefused,
    RiskHealthChanged,
)
from keeper.core.facts import BlockApplied, BlocksBackfilled
from keeper.core.ids import Address
from keeper.core.risk import RiskStatus
from keeper.core.venue import Status

Subject = tuple[str, Address]

TRACED_MAX = 200
"""More accounts than this are told of in words and sums only."""
HEADS_SAMPLED_MAX = 400
"""A line with more points than this is no clearer."""


class Survey:
    """Takes the window's records.

    Attributes:
        heads: How many blocks were decided on.
        debts: What each account that something happened to owed at most, USD 1e-8, by when it first did.
    """

    def __init__(self) -> None:
        self.heads = 0
        self.debts: dict[Subject, int] = {}

    @property
    def stride(self) -> int:
        """Every how many heads a sample is taken."""
        return max(1, -(-self.heads // HEADS_SAMPLED_MAX))

    @property
    def traced(self) -> tuple[Subject, ...]:
        """The accounts whose distance is drawn: those that owed most, in order of appearance."""
        chosen = sorted(self.debts, key=lambda subject: (-self.debts[subject], subject))[:TRACED_MAX]
        kept = set(chosen)
        return tuple(subject for subject in self.debts if subject in kept)

    def take(self, record: Record) -> None:
        """Take the next record of the window."""
        body = record.body
        if isinstance(body, BlockApplied | BlocksBackfilled):
            self.heads += not body.behind_blocks
        subject = _SUBJECTS.get(type(body))
        found = None if subject is None else subject(body)
        if found is not None:
            key, debt = found
            self.debts[key] = max(debt, self.debts.get(key, 0))


def _judged(body: RiskHealthChanged) -> tuple[Subject, int] | None:
    opinion = body.opinion
    if opinion.status not in (RiskStatus.CALL, RiskStatus.BREACHED):
        return None
    return (opinion.venue, opinion.account), 0


def _changed(body: HealthChanged) -> tuple[Subject, int] | None:
    margin = body.margin
    if Status.LIQUIDATABLE.value not in (margin.health.status.value, body.previous):
        return None
    return (margin.venue, margin.account), int(margin.debt_base)


def _admitted(body: IntentAdmitted) -> tuple[Subject, int] | None:
    intent = body.intent
    return None if intent.kind in ("approval", "exit") else ((intent.venue, intent.account), 0)


_SUBJECTS: Mapping[type, Callable[[Any], tuple[Subject, int] | None]] = MappingProxyType(
    {
        HealthChanged: _changed,
        RiskHealthChanged: _judged,
        IntentAdmitted: _admitted,
        ProposalRefused: lambda body: ((body.proposal.venue, body.proposal.account), 0),
        ProtectionRefused: lambda body: ((body.proposal.venue, body.proposal.account), 0),
        LiquidationObserved: lambda body: ((body.liquidation.venue, body.liquidation.account), 0),
        AuditFailed: lambda body: ((body.venue, body.account), 0),
    }
)
