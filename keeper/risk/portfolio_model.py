"""A portfolio's margin in the terms of every other margin: buckets, each of them one scenario.

Derive's portfolio margin adds up over underlyings, the worst scenario of each. So a bucket is one scenario of one
underlying with all others at their worst: the least of all buckets is the account's margin. Figures become integers
here, in units of 1e-8 USD: what secures is rounded down and what is to be secured up, and what that takes has a line.
"""

from __future__ import annotations

from math import ceil, floor, fsum

import numpy as np

from keeper.core.errors import RiskInputError
from keeper.core.margin import Bucket, MarginBreakdown, MarginKind, MarginLine
from keeper.core.units import BigInt
from keeper.risk.grouping import GroupedBook
from keeper.risk.instruments import Instruments, Portfolio
from keeper.risk.portfolio import DeriveMargins, derive_margins
from keeper.risk.scenarios import DeriveParameters

USD = "USD"
SCALE = 10**8
"""Units to the dollar."""
ROUNDED = "rounded to whole units"
"""The item of what becoming integers takes from the account."""


class PortfolioMarginModel:
    """Derive's maintenance margin of the accounts of one portfolio in one market.

    Implements :class:`keeper.core.margin.MarginModel`; its subjects are the portfolio's rows.

    Args:
        instruments: The market.
        portfolio: What is held.
        parameters: The margin's parameters.
        stable_price_usd: Of the stable coin that cash is in.

    Raises:
        RiskInputError: the market or the portfolio gives no figure.
    """

    def __init__(
        self,
        instruments: Instruments,
        portfolio: Portfolio,
        parameters: DeriveParameters,
        *,
        stable_price_usd: float = 1.0,
    ) -> None:
        self._book = GroupedBook.of(instruments, portfolio)
        self._names = instruments.underlyings
        self._scenarios = (*parameters.scenarios.names, "forward away from spot")
        self._margins = derive_margins(instruments, self._book, parameters, stable_price_usd)

    @property
    def margin_kind(self) -> MarginKind:
        """Everything in one account, scenario by scenario."""
        return MarginKind.PORTFOLIO

    @property
    def margins(self) -> DeriveMargins:
        """The figures of all accounts."""
        return self._margins

    def breakdown(self, subject: int) -> MarginBreakdown:
        """Explain an account's maintenance margin, a bucket for each scenario of each underlying that it has.

        Raises:
            RiskInputError: the portfolio has no such row.
        """
        if not 0 <= subject < len(self._book.cash_usd):
            raise RiskInputError(f"account {subject}", "is not a row of the portfolio", "give the place of one")
        cash = float(self._book.cash_usd[subject])
        pairs = np.flatnonzero(self._book.accounts == subject).tolist()
        if not pairs:
            secured = floor(cash * SCALE)
            return MarginBreakdown(self.margin_kind, (Bucket.of_totals("cash", USD, SCALE, secured, 0),))
        worst = {pair: self._pair_need(pair) for pair in pairs}
        value = float(self._margins.value_usd[subject]) - cash
        secures = [("positions at market", value), ("cash", cash)]
        buckets = []
        for pair in pairs:
            others = fsum(need for other, need in worst.items() if other != pair)
            needs = [
                ("static contingency", float(self._margins.static_usd[pair])),
                ("other underlyings at their worst", others),
            ]
            underlying = self._names[int(self._book.underlyings[pair])]
            changes = [*self._margins.losses_usd[pair].tolist(), float(self._margins.basis_usd[pair])]
            for scenario, change in zip(self._scenarios, changes, strict=True):
                buckets.append(_bucket(f"{underlying} {scenario}", change, secures, needs))
        return MarginBreakdown(self.margin_kind, tuple(buckets))

    def _pair_need(self, pair: int) -> float:
        change = min(float(self._margins.span_usd[pair]), float(self._margins.basis_usd[pair]))
        return float(self._margins.static_usd[pair]) - change


def _bucket(name: str, change: float, secures: list[tuple[str, float]], needs: list[tuple[str, float]]) -> Bucket:
    """Return a scenario's bucket; what it brings secures, and what it takes is to be secured."""
    equities = [*secures, ("gain in the scenario", change)] if change > 0 else secures
    requirements = [*needs, ("loss in the scenario", -change)] if change < 0 else needs
    lines = [_line(item, value, equity=_units(value)) for item, value in equities if value]
    lines += [_line(item, -value, requirement=_units(value)) for item, value in requirements if value]
    equity = floor(fsum(value for _, value in equities) * SCALE) - sum(line.equity for line in lines)
    requirement = ceil(fsum(value for _, value in requirements) * SCALE) - sum(line.requirement for line in lines)
    rounded = MarginLine(item=ROUNDED, equity=BigInt(equity), requirement=BigInt(requirement))
    return Bucket(name=name, unit=USD, scale=BigInt(SCALE), lines=(*lines, rounded))


def _line(item: str, value: float, equity: int = 0, requirement: int = 0) -> MarginLine:
    return MarginLine(item=item, value=BigInt(_units(value)), equity=BigInt(equity), requirement=BigInt(requirement))


def _units(value_usd: float) -> int:
    return round(value_usd * SCALE)
