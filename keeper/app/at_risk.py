"""Who of a venue's accounts is at risk, by either opinion: the venue's own, and that of the model of risk."""

from __future__ import annotations

import heapq
import math

from keeper.core.ids import Address, to_hex
from keeper.core.risk import RiskHealth
from keeper.core.units import Wad
from keeper.core.venue import AccountMargin, Status
from keeper.engine.step import Engine
from keeper.observe.status import AtRiskStatus

SHOWN_MAX = 50
"""Accounts of a venue in one picture, those nearest to the line, or furthest past it."""
_ORDER = {Status.LIQUIDATABLE: 0, Status.UNKNOWN: 1, Status.HEALTHY: 2}


def at_risk(engine: Engine, venue: str) -> tuple[int, tuple[AtRiskStatus, ...]]:
    """Return how many accounts are at risk, and the first of them: may be closed, unknown, then by distance."""
    margins = {account: margin for (name, account), margin in engine.margins.items() if name == venue}
    opinions = {account: opinion for (name, account), opinion in engine.risk.unsafe.items() if name == venue}
    accounts = margins.keys() | opinions.keys()

    def place(account: Address) -> tuple[int, float, Address]:
        margin, opinion = margins.get(account), opinions.get(account)
        status = Status.HEALTHY if margin is None else margin.health.status
        judged = margin or opinion
        away = None if judged is None else distance(judged.health_wad)
        return _ORDER[status], math.inf if away is None else away, account

    first = heapq.nsmallest(SHOWN_MAX, accounts, key=place)
    ledger = engine.ledgers[venue]
    rows = [
        _row(margins.get(account) or ledger.margin(account), opinions.get(account), engine.refused(venue, account))
        for account in first
    ]
    return len(accounts), tuple(sorted(rows, key=_row_place))


def _row_place(row: AtRiskStatus) -> tuple[int, float, str]:
    """Order the rows by the venue's own figures, which the second opinion need not have."""
    return _ORDER[Status(row.status)], math.inf if row.distance is None else row.distance, row.account


def distance(health: Wad | None) -> float | None:
    """Return the logarithm of a health: below zero past the line, ``None`` where there is no health to tell by."""
    return math.log(int(health) / Wad.ONE) if health else None


def _row(margin: AccountMargin, opinion: RiskHealth | None, refused: str | None) -> AtRiskStatus:
    return AtRiskStatus(
        account=to_hex(margin.account),
        status=margin.health.status.value,
        reason=margin.health.reason,
        health_wad=_text(margin.health_wad),
        distance=distance(margin.health_wad),
        collateral_base=str(int(margin.collateral_base)),
        debt_base=str(int(margin.debt_base)),
        refused=refused,
        risk_status=None if opinion is None else opinion.status.value,
        risk_reason=None if opinion is None else opinion.reason,
        risk_health_wad=None if opinion is None else _text(opinion.health_wad),
        risk_stressed_wad=None if opinion is None else _text(opinion.stressed_wad),
        risk_breach_ppm=None if opinion is None else opinion.breach_ppm,
    )


def _text(health: Wad | None) -> str | None:
    return None if health is None else str(int(health))
